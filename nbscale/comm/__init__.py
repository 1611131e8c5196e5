"""Frames between processes: signed, numbered, and checked before anybody looks inside."""
