"""Whole indexes compared by a few numbers.

Whether two indexes are equal cannot be told from one partition, so each partition is digested and
the digests are merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nbscale import config
from nbscale.dataframe.cuts import Cuts, sample_positions
from nbscale.dataframe.keys import Keys, common_dtype, hashes
from nbscale.dataframe.node import FrameAdaptive, FrameMap, row_bytes
from nbscale.dataframe.project import narrowed
from nbscale.dataframe.recut import cut_at
from nbscale.dataframe.sampling import LOOKUP, KeySample, meetings_for, samples_each
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.record import record

__all__ = [
    "Compares",
    "DigestIndex",
    "IndexDigest",
    "cut_like",
    "index_keys",
    "meetings_to_look_up",
    "whole_digest",
]


_MASK = (1 << 64) - 1


_BASES = (0x9E3779B97F4A7C15 | 1, 0xC2B2AE3D27D4EB4F | 1)


@record
class IndexDigest:
    """An index in a few numbers: two polynomials over the hashes of its labels, mergeable."""

    rows: int
    sums: tuple[int, int]
    nbytes: float
    keys: Cuts
    missing: bool

    @property
    def sample(self) -> KeySample:
        """The labels sampled on the way."""
        return KeySample(self.rows, self.nbytes, self.keys)


class DigestIndex(FrameMap):
    """The digest of the index of every partition."""

    input: Node
    by: Keys

    @property
    def label(self) -> str:
        return "compare indexes"

    def kernel(self) -> Kernel:
        return _Digest(self.by, samples_each(self.input.grid[0]))


@record
class _Digest:
    by: Keys
    wanted: int

    def __call__(self, index: Index, value: Any) -> IndexDigest:
        arrays = self.by.arrays(value)
        rows = len(value)
        labels = hashes(arrays, rows)
        sums = []
        for base in _BASES:
            # Powers wrap around at 2**64, as they are meant to.
            powers = np.cumprod(np.full(rows, base, dtype=np.uint64))
            sums.append(int(np.sum(labels[::-1] * powers, dtype=np.uint64)))
            labels = labels ^ (labels << np.uint64(7)) ^ np.uint64(base)
        at = sample_positions(rows, self.wanted, index[0])
        cuts = Cuts.of([a.take(at) for a in arrays])
        missing = any(bool(pd.isna(a).any()) for a in arrays)
        return IndexDigest(rows, (sums[0], sums[1]), row_bytes(value), cuts, missing)


def meetings_to_look_up(left: Sequence[IndexDigest], right: Sequence[IndexDigest]) -> int:
    """In how many partitions two sides meet to look labels up, hash tables included."""
    nbytes = sum(part.nbytes + LOOKUP * part.rows for part in (*left, *right))
    return meetings_for(len(left), len(right), nbytes, config.get().partition_size)


def whole_digest(parts: Sequence[IndexDigest]) -> tuple[int, int, int]:
    """The digest of all partitions one after the other."""
    rows, first, second = 0, 0, 0
    for part in parts:
        a, b = (pow(base, part.rows, 1 << 64) for base in _BASES)
        first = (first * a + part.sums[0]) & _MASK
        second = (second * b + part.sums[1]) & _MASK
        rows += part.rows
    return rows, first, second


def index_keys(left: Any, right: Any) -> Keys:
    """How labels of both sides are compared.

    Raises
    ------
    NotImplementedError
        If the indexes have different numbers of levels.
    """
    one, other = left.sample.index, right.sample.index
    if one.nlevels != other.nlevels:
        msg = (
            f"cannot align an index of {one.nlevels} levels with one of {other.nlevels}; "
            "reset_index() and merge() instead"
        )
        raise NotImplementedError(msg)
    dtypes = [
        common_dtype(one.get_level_values(i).dtype, other.get_level_values(i).dtype)
        for i in range(one.nlevels)
    ]
    return Keys("index", tuple(range(one.nlevels)), tuple(dtypes))


def cut_like(node: Node, have: Sequence[IndexDigest], want: Sequence[IndexDigest]) -> Node:
    """The node cut where another is, by the digests of both."""
    return cut_at(node, [d.rows for d in have], [d.rows for d in want])


class Compares(FrameAdaptive):
    """Work that compares two whole indexes first."""

    left: Node
    right: Node

    def asks(self) -> tuple[Node, ...]:
        by = index_keys(self.left, self.right)
        return DigestIndex(self.left, by), DigestIndex(self.right, by)

    def pruned(self, need: Need, inputs: Sequence[Node]) -> Node:
        return self.with_inputs(narrowed(inputs, self.needs(need)))

    def needs(self, need: Need) -> tuple[Need, ...]:
        both = Need(need.columns, True, True)
        return both, both
