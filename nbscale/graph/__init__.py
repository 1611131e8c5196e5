"""Stages, the maps between them, and the job that makes them: how work depends on work."""
