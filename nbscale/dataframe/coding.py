"""Number rows by their keys: equal keys, equal numbers, in order of first sight.

The grouping of frames stands on this: a partition is numbered once for all aggregates, and the
keys of several partitions are numbered again to merge them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nbscale.dataframe.arrays import joined
from nbscale.record import record

__all__ = ["Codes", "compact", "encode", "hashes", "ranks"]

_TABLE = 1 << 16
"""A table of this many entries is cheaper than hashing whatever the number of rows."""


@record
class Codes:
    """The group of every row, -1 for rows that belong to none, and the keys of every group."""

    codes: np.ndarray
    keys: tuple[Any, ...]

    @property
    def groups(self) -> int:
        """Number of groups."""
        return len(self.keys[0])


def compact(values: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Number integers from 0 up to ``size`` by first sight; also the integer of each number.

    Costs a few passes over the rows where ``size`` allows a table, else a hash table.
    """
    n = len(values)
    if size > max(_TABLE, 2 * n):
        codes, found = pd.factorize(values)
        return codes, found
    first = np.full(size, n, dtype=np.int64)
    # The last assignment to a repeated position holds: backwards, that is the first sight.
    first[values[::-1]] = np.arange(n - 1, -1, -1, dtype=np.int64)
    present = np.flatnonzero(first < n)
    found = present[np.argsort(first[present])]
    first[found] = np.arange(len(found))
    return first[values], found


def encode(arrays: Sequence[Any], *, dropna: bool) -> Codes:
    """Number rows by one or more arrays of keys.

    With ``dropna`` rows with a missing key belong to no group; else missing is a key like others.
    """
    if len(arrays) == 1:
        codes, found = pd.factorize(arrays[0], use_na_sentinel=dropna)
        return Codes(codes, (found,))
    parts = [pd.factorize(array, use_na_sentinel=dropna) for array in arrays]
    combined, size = parts[0][0].astype(np.int64), max(1, len(parts[0][1]))
    outside = combined < 0
    for codes, found in parts[1:]:
        if size * max(1, len(found)) >= 1 << 62:
            combined, seen = compact(np.where(outside, 0, combined), size)
            size = max(1, len(seen))
        combined = combined * max(1, len(found)) + codes
        size *= max(1, len(found))
        outside |= codes < 0
    inside = None
    if outside.any():
        inside = np.flatnonzero(~outside)
        combined = combined[inside]
    numbers, _ = compact(combined, size)
    rows = _first_rows(numbers)
    where = rows if inside is None else inside[rows]
    keys = tuple(found.take(codes[where]) for codes, found in parts)
    if inside is not None:
        spread = np.full(len(outside), -1, dtype=np.int64)
        spread[inside] = numbers
        numbers = spread
    return Codes(numbers, keys)


def _first_rows(numbers: np.ndarray) -> np.ndarray:
    """The first row of each number; numbers ascend by first sight."""
    n = len(numbers)
    rows = np.empty(int(numbers.max()) + 1 if n else 0, dtype=np.int64)
    rows[numbers[::-1]] = np.arange(n - 1, -1, -1, dtype=np.int64)
    return rows


def hashes(arrays: Sequence[Any]) -> np.ndarray:
    """One 64-bit hash for each row of keys, the same in every process."""
    total = np.zeros(len(arrays[0]), dtype=np.uint64)
    for array in arrays:
        values = array
        if isinstance(values, np.ndarray) and values.dtype.kind == "f":
            # Equal keys must have equal bits: one zero, one NaN.
            values = np.where(np.isnan(values), np.nan, values + 0.0)
        each = pd.util.hash_array(values, categorize=False)
        total = (total * np.uint64(0x9E3779B97F4A7C15)) ^ (each + (total >> np.uint64(7)))
    return total


def ranks(columns: Sequence[Sequence[Any]]) -> list[np.ndarray]:
    """Comparable numbers for the rows of several tables, ordered as ``sort_values`` orders them.

    ``columns[k][t]`` is key k of table t. Missing keys come last.
    """
    lengths = [len(array) for array in columns[0]]
    total: np.ndarray = np.zeros(sum(lengths), dtype=np.int64)
    for arrays in columns:
        together = joined(list(arrays))
        if isinstance(together, pd.Categorical):
            codes, size = together.codes.astype(np.int64), len(together.categories)
        else:
            codes, found = pd.factorize(together, sort=True)
            size = len(found)
        codes = np.where(codes < 0, size, codes)
        if total.any():
            _, total = np.unique(total, return_inverse=True)
        total = total * (size + 1) + codes
    bounds = np.cumsum(lengths)[:-1]
    return np.split(total, bounds)
