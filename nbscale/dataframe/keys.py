"""Keys of rows: taking them out of a partition, comparing them with cuts, hashing them.

Rows move between partitions by where their keys lie among *cuts* (sorted sample values) or by a
hash. Both must agree with pandas on what is equal: 1 and 1.0 are, so are None and NaN.
"""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Hashable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from nbscale.record import record

__all__ = ["Cuts", "Keys", "common_dtype", "destinations", "hashes", "sample_positions"]

_NULL = np.uint64(0x9E3779B97F4A7C15)


@record
class Keys:
    """Which values of a row are its key.

    Attributes
    ----------
    of
        ``"columns"``: of a frame, or levels of its index where a name is no column; ``"index"``:
        levels of the index; ``"values"``: the values of a series.
    names
        Columns, or positions of levels; empty for all levels.
    dtypes
        What to convert each key to first, so that two frames are compared alike; empty for as
        they are.
    """

    of: Literal["columns", "index", "values"]
    names: tuple[Hashable, ...] = ()
    dtypes: tuple[Any, ...] = ()

    def arrays(self, value: Any) -> list[Any]:
        """The key columns of a partition, each an array with one value for each row."""
        found = self._found(value)
        if not self.dtypes:
            return found
        return [
            a if a.dtype == dtype else pd.Series(a).astype(dtype).array
            for a, dtype in zip(found, self.dtypes, strict=True)
        ]

    def _found(self, value: Any) -> list[Any]:
        if self.of == "values":
            return [value.array]
        if self.of == "columns":
            return [
                value[name].array
                if name in value.columns
                else value.index.get_level_values(name).array
                for name in self.names
            ]
        index = value if isinstance(value, pd.Index) else value.index
        levels = self.names or range(index.nlevels)
        if index.nlevels == 1:
            return [index.array for _ in levels]
        return [index.get_level_values(level).array for level in levels]

    def columns_of(self, columns: Sequence[Hashable]) -> tuple[Hashable, ...]:
        """Those of the columns that are read."""
        if self.of != "columns":
            return ()
        return tuple(name for name in self.names if name in columns)

    def cast(self, dtypes: Sequence[Any]) -> Keys:
        """The same keys, converted."""
        return dataclasses.replace(self, dtypes=tuple(dtypes))


def common_dtype(one: Any, other: Any) -> Any:
    """The dtype in which pandas compares values of two dtypes."""
    if one == other:
        return one
    ends = [pd.Series([], dtype=_plain_dtype(dtype)) for dtype in (one, other)]
    return pd.concat(ends).dtype


def _plain_dtype(dtype: Any) -> Any:
    """Categories of different sets are compared by what they stand for."""
    return dtype.categories.dtype if isinstance(dtype, pd.CategoricalDtype) else dtype


def sample_positions(rows: int, wanted: int, seed: int) -> npt.NDArray[np.int64]:
    """About ``wanted`` positions of a partition, one in each of as many equal pieces.

    Where in its piece is drawn from a generator with a fixed seed: the same every run, and in no
    step with values that repeat.
    """
    if rows <= wanted:
        return np.arange(rows)
    jitter = np.random.default_rng(seed).random(wanted)
    return ((np.arange(wanted) + jitter) * (rows / wanted)).astype(np.int64)


# Order --------------------------------------------------------------------------------------


def _sortable(values: Any) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Values as NumPy compares them in pandas' order, and where they are missing."""
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        codes = np.asarray(values.codes, dtype=np.int64)
        return codes, codes < 0
    missing = np.asarray(pd.isna(values))
    if hasattr(values, "asi8"):
        return values.asi8, missing
    if isinstance(dtype, np.dtype):
        array = np.asarray(values)
        return array.view(np.uint8) if array.dtype == bool else array, missing
    kind = getattr(dtype, "kind", "O")
    if kind in "iufb":
        plain = dtype.numpy_dtype if hasattr(dtype, "numpy_dtype") else np.dtype("float64")
        return values.to_numpy(dtype=plain, na_value=plain.type(0)), missing
    return np.asarray(values, dtype=object), missing


@record
class Cuts:
    """Keys at which rows are cut into ranges, ascending: range i holds keys from cut i - 1 on.

    Attributes
    ----------
    values, missing
        For each key column, its value in each cut, and whether it is missing there.
    tags
        Row tags of the cuts, for cutting among equal keys too; or None.
    """

    values: tuple[npt.NDArray[Any], ...]
    missing: tuple[npt.NDArray[np.bool_], ...]
    tags: npt.NDArray[np.int64] | None = None

    @classmethod
    def none(cls) -> Cuts:
        """No cut: one range."""
        return cls((), ())

    def __len__(self) -> int:
        return len(self.missing[0]) if self.missing else 0

    @classmethod
    def of(cls, arrays: Sequence[Any], tags: npt.NDArray[np.int64] | None = None) -> Cuts:
        """Every row of some key columns, in any order: a sample."""
        pairs = [_sortable(a) for a in arrays]
        return cls(tuple(p[0] for p in pairs), tuple(p[1] for p in pairs), tags)

    def take(self, where: npt.NDArray[np.int64]) -> Cuts:
        """Some of them."""
        return Cuts(
            tuple(v[where] for v in self.values),
            tuple(m[where] for m in self.missing),
            None if self.tags is None else self.tags[where],
        )

    @classmethod
    def joined(cls, parts: Sequence[Cuts]) -> Cuts:
        """Several samples in one."""
        columns = range(len(parts[0].missing))
        tags = [part.tags for part in parts if part.tags is not None]
        return cls(
            tuple(np.concatenate([part.values[c] for part in parts]) for c in columns),
            tuple(np.concatenate([part.missing[c] for part in parts]) for c in columns),
            np.concatenate(tags) if len(tags) == len(parts) else None,
        )

    def order(self, order: Order) -> npt.NDArray[np.int64]:
        """Positions in the order asked for; equal ones by tag."""
        codes = [
            _codes(values, missing, _distinct(values, missing), order, key)
            for key, (values, missing) in enumerate(zip(self.values, self.missing, strict=True))
        ]
        last_first = [] if self.tags is None else [self.tags]
        return np.lexsort([*last_first, *codes[::-1]])

    def quantiles(self, weights: npt.NDArray[np.float64], n: int, order: Order) -> Cuts:
        """At most ``n - 1`` different cuts into ranges of about equal weight."""
        if n < 2 or not len(self):
            return self.take(np.arange(0))
        by = self.order(order)
        upto = np.cumsum(weights[by])
        targets = upto[-1] * np.arange(1, n) / n
        picked = by[np.minimum(np.searchsorted(upto, targets, side="left"), len(by) - 1)]
        chosen = self.take(picked)
        # Equal cuts leave nothing between them.
        rank = _ranks(chosen, chosen, order)
        return chosen.take(np.unique(rank, return_index=True)[1].astype(np.int64))


@record
class Order:
    """Which key comes first.

    Attributes
    ----------
    ascending
        For each key column.
    missing_last
        Missing values are behind all others, whether ascending or not: of every key, or of each.
    """

    ascending: tuple[bool, ...]
    missing_last: bool | tuple[bool, ...] = True

    def has_missing_last(self, key: int) -> bool:
        """Whether missing values of one key are behind all others."""
        last = self.missing_last
        return last[key] if isinstance(last, tuple) else last


def _distinct(values: npt.NDArray[Any], missing: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    return np.unique(values[~missing])


def _codes(
    values: npt.NDArray[Any],
    missing: npt.NDArray[np.bool_],
    marks: npt.NDArray[Any],
    order: Order,
    key: int,
) -> npt.NDArray[np.int64]:
    """Where each value lies among sorted marks: odd at a mark, even between, missing outside."""
    some = bool(missing.any())
    there = values[~missing] if some else values
    at = np.searchsorted(marks, there, side="left").astype(np.int64)
    if len(marks):
        inside = np.minimum(at, len(marks) - 1)
        code = 2 * at + ((at < len(marks)) & (marks[inside] == there)) + 1
    else:
        code = np.ones(len(at), dtype=np.int64)
    top = 2 * len(marks) + 2
    if not order.ascending[key]:
        code = top - code
    if not some:
        return code
    codes = np.full(len(values), top if order.has_missing_last(key) else 0, dtype=np.int64)
    codes[~missing] = code
    return codes


def _ranks(rows: Cuts, cuts: Cuts, order: Order) -> npt.NDArray[np.int64]:
    """For each row the number of cuts that are not behind it."""
    row = np.zeros(len(rows), dtype=np.int64)
    cut = np.zeros(len(cuts), dtype=np.int64)
    for key, (values, missing) in enumerate(zip(cuts.values, cuts.missing, strict=True)):
        marks = _distinct(values, missing)
        step = 2 * len(marks) + 3
        cut = cut * step + _codes(values, missing, marks, order, key)
        row = row * step + _codes(rows.values[key], rows.missing[key], marks, order, key)
        row, cut = _squeezed(row, cut)
    if cuts.tags is None or rows.tags is None:
        return np.searchsorted(cut, row, side="right")
    low = np.searchsorted(cut, row, side="left")
    high = np.searchsorted(cut, row, side="right")
    # Among cuts with this very key, the tag decides.
    for at in np.unique(low[high > low]):
        here = (low == at) & (high > low)
        high[here] = at + np.searchsorted(
            cuts.tags[at : high[here][0]], rows.tags[here], side="right"
        )
    return high


def _squeezed(
    row: npt.NDArray[np.int64], cut: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Small numbers in the same relation to the cuts, so that many keys do not overflow."""
    marks = np.unique(cut)
    at = np.searchsorted(marks, row, side="left")
    inside = np.minimum(at, len(marks) - 1)
    return (
        2 * at + ((at < len(marks)) & (marks[inside] == row)),
        2 * np.searchsorted(marks, cut) + 1,
    )


def destinations(
    arrays: Sequence[Any], cuts: Cuts, order: Order, tags: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.int64]:
    """For each row the range its key lies in, by its number; one pass over the keys."""
    if not len(cuts):
        return np.zeros(len(arrays[0]), dtype=np.int64)
    return _ranks(Cuts.of(arrays, tags), cuts, order)


# Hashes -------------------------------------------------------------------------------------


def hashes(arrays: Sequence[Any], rows: int) -> npt.NDArray[np.uint64]:
    """One 64-bit number for each row, equal where pandas finds the keys equal. No seed but ours."""
    total = np.full(rows, _NULL, dtype=np.uint64)
    for values in arrays:
        total = _mixed(total ^ _hashed(values))
    return total


def _hashed(values: Any) -> npt.NDArray[np.uint64]:
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        known = np.append(_hashed(values.categories.array), _NULL)
        return known[values.codes]
    missing = np.asarray(pd.isna(values))
    kind = getattr(dtype, "kind", "O")
    if kind in "mM":
        # Units differ between frames; what is equal is equal to the millisecond, too.
        plain = np.asarray(values.astype("int64") if not hasattr(values, "asi8") else values.asi8)
        per = {"s": (1000, 1), "ms": (1, 1), "us": (1, 1000), "ns": (1, 1_000_000)}
        times, over = per[getattr(values, "unit", np.datetime_data(values.dtype)[0])]
        found = _mixed((plain * times // over).view(np.uint64))
    elif hasattr(values, "asi8"):
        found = _mixed(values.asi8.view(np.uint64))
    elif kind in "iufb":
        found = _hashed_numbers(values)
    elif kind == "c":
        array = np.asarray(values)
        found = _hashed(array.real.copy()) ^ _mixed(_hashed(array.imag.copy()))
    else:
        found = _hashed_objects(values, missing)
    if missing.any():
        found[missing] = _NULL
    return found


def _hashed_numbers(values: Any) -> npt.NDArray[np.uint64]:
    """By the float of equal value, or by the integer that no float equals."""
    if isinstance(values.dtype, np.dtype):
        array = np.asarray(values)
    else:
        plain = getattr(values.dtype, "numpy_dtype", np.dtype("float64"))
        array = values.to_numpy(dtype=plain, na_value=plain.type(0))
    floats = array.astype(np.float64)
    floats[floats == 0] = 0.0
    found = _mixed(floats.view(np.uint64))
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        large = np.flatnonzero(np.abs(floats) >= 2.0**53)
        # Python compares an integer and a float exactly.
        odd = large[array[large].astype(object) != floats[large].astype(object)]
        found[odd] = _mixed(array[odd].view(np.uint64) ^ _NULL)
    return found


def _hashed_objects(values: Any, missing: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    array = np.array(values, dtype=object)
    array[missing] = ""
    if isinstance(values.dtype, pd.StringDtype):
        return pd.util.hash_array(array, categorize=False)
    number = np.fromiter(
        (isinstance(v, numbers.Number) for v in array), dtype=bool, count=len(array)
    )
    found = np.empty(len(array), dtype=np.uint64)
    found[~number] = pd.util.hash_array(array[~number], categorize=False)
    # Python hashes equal numbers alike, whatever their type, and without a seed.
    ints = np.fromiter((hash(v) for v in array[number]), dtype=np.int64, count=int(number.sum()))
    found[number] = _mixed(ints.view(np.uint64))
    return found


def _mixed(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Spread every bit over all others (the finaliser of splitmix64)."""
    x = x ^ (x >> np.uint64(30))
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x
