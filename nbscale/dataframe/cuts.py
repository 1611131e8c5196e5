"""The order of keys: cuts into ranges, and where each row lies among them.

Rows move by where their keys lie among *cuts*: sorted sample values. Values compare as pandas sorts
them: categories by their order, missing values first or last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nbscale.record import record

__all__ = ["Cuts", "Order", "destinations", "sample_positions"]


def sample_positions(rows: int, wanted: int, seed: int) -> npt.NDArray[np.int64]:
    """About ``wanted`` positions of a partition, one in each of as many equal pieces.

    Where in its piece is drawn from a generator with a fixed seed: the same every run, and in no
    step with values that repeat.
    """
    if rows <= wanted:
        return np.arange(rows)
    jitter = np.random.default_rng(seed).random(wanted)
    return ((np.arange(wanted) + jitter) * (rows / wanted)).astype(np.int64)


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
