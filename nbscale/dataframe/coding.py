"""Number rows by their keys: equal keys, equal numbers, in order of first sight.

The grouping of frames stands on this: a partition is numbered once for all aggregates, and the
keys of several partitions are numbered again to merge them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.core.arrays.arrow import ArrowExtensionArray

from nbscale.dataframe.arrays import joined
from nbscale.record import record

__all__ = ["Codes", "compact", "encode", "places", "ranks"]

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


def _factorized(array: Any, *, dropna: bool) -> tuple[np.ndarray, Any]:
    """Number one array of keys by first sight."""
    if isinstance(array, np.ndarray) and array.dtype.kind in "iu" and len(array):
        low, high = int(array.min()), int(array.max())
        if high - low < _TABLE:
            codes, found = compact((array - array.dtype.type(low)).astype(np.int64), high - low + 1)
            return codes, (found + low).astype(array.dtype)
    codes, uniques = pd.factorize(array, use_na_sentinel=dropna)
    return codes, uniques


def encode(arrays: Sequence[Any], *, dropna: bool) -> Codes:
    """Number rows by one or more arrays of keys.

    With ``dropna`` rows with a missing key belong to no group; else missing is a key like others.
    """
    if len(arrays) == 1:
        codes, found = _factorized(arrays[0], dropna=dropna)
        return Codes(codes, (found,))
    parts = [_factorized(array, dropna=dropna) for array in arrays]
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


def places(bounds: Sequence[Any], keys: Sequence[Any]) -> np.ndarray:
    """For each row of keys, how many bounds lie below it; bounds ascend, missing keys come last."""
    if len(keys) == 1:
        found = _places_of_one(bounds[0], keys[0])
        if found is not None:
            return found
    limits, own = ranks([[bound, key] for bound, key in zip(bounds, keys, strict=True)])
    return np.searchsorted(limits, own, side="left")


def _places_of_one(bounds: Any, keys: Any) -> np.ndarray | None:
    """Without ordering the keys themselves, where a comparison with the bounds is enough."""
    if isinstance(keys, np.ndarray) and keys.dtype.kind in "iufbmM":
        return np.searchsorted(bounds, keys, side="left")  # NumPy, too, has missing ones last
    if not isinstance(keys, ArrowExtensionArray) or len(bounds) == 0:
        return None
    missing = int(np.asarray(pd.isna(bounds)).sum())
    low = np.zeros(len(keys), dtype=np.int64)
    high = np.full(len(keys), len(bounds) - missing, dtype=np.int64)
    # Halve all intervals at once: a few comparisons of whole arrays.
    while (low < high).any():
        middle = (low + high) >> 1
        above = np.asarray(keys > bounds.take(np.minimum(middle, len(bounds) - 1)), dtype=bool)
        above &= low < high
        low = np.where(above, middle + 1, low)
        high = np.where(above, high, np.minimum(middle, high))
    low[np.asarray(keys.isna())] = len(bounds) - missing
    return low


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
