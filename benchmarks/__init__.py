"""Benchmarks: how long nbscale and its peers take over the same jobs, and the gates that follow.

Run by hand (``python -m benchmarks``), never as part of the tests. README.md says how to read the
figures.
"""
