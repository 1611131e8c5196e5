"""Engines: run the tasks of a job and say what happened."""
