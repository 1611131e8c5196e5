"""``read_parquet``."""

from __future__ import annotations


def read_parquet(path):
    raise NotImplementedError
