"""Lazy lists of any Python objects, in partitions: ``import nbscale.bag as nb``."""

from __future__ import annotations

from nbscale.bag.bag import Bag, Item
from nbscale.bag.create import concat, from_delayed, from_sequence, map, map_partitions, range, zip
from nbscale.bag.text import from_url, read_text

__all__ = [
    "Bag",
    "Item",
    "concat",
    "from_delayed",
    "from_sequence",
    "from_url",
    "map",
    "map_partitions",
    "range",
    "read_text",
    "zip",
]
