"""Looking before rows move: sizes of partitions, samples of their keys, and the cuts these give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nbscale.dataframe.cuts import Cuts, Order, sample_positions
from nbscale.dataframe.keys import Keys
from nbscale.dataframe.node import FrameMap, row_bytes
from nbscale.expr.node import Index, Kernel, Node
from nbscale.record import record

__all__ = [
    "LOOKUP",
    "SHIFT",
    "KeySample",
    "SampleKeys",
    "Sizes",
    "meetings_for",
    "outputs_for",
    "quantile_cuts",
    "samples_each",
]


_FEW = 64


SHIFT = 40


class Sizes(FrameMap):
    """Rows and bytes of every partition."""

    input: Node

    @property
    def grid(self) -> tuple[int, ...]:
        return self.input.grid

    @property
    def label(self) -> str:
        return "size"

    def kernel(self) -> Kernel:
        return _size


def _size(_index: Index, value: Any) -> tuple[int, float]:
    return len(value), row_bytes(value)


@record
class KeySample:
    """Rows and bytes of a partition, and the keys of some of its rows."""

    rows: int
    nbytes: float
    keys: Cuts


class SampleKeys(FrameMap):
    """Keys at positions fixed by the number of rows: what cuts are chosen from."""

    input: Node
    by: Keys
    wanted: int
    tagged: bool = False

    @property
    def label(self) -> str:
        return "sample keys"

    def kernel(self) -> Kernel:
        return _TakeSample(self.by, self.wanted, self.tagged)


@record
class _TakeSample:
    by: Keys
    wanted: int
    tagged: bool

    def __call__(self, index: Index, value: Any) -> KeySample:
        at = sample_positions(len(value), self.wanted, index[0])
        arrays = [a.take(at) for a in self.by.arrays(value)]
        tags = (index[0] << SHIFT) + at if self.tagged else None
        return KeySample(len(value), row_bytes(value), Cuts.of(arrays, tags))


def samples_each(partitions: int) -> int:
    """How many keys to sample of each of so many partitions."""
    return max(_FEW, min(1024, 32_768 // max(1, partitions)))


def quantile_cuts(samples: Sequence[KeySample], n: int, order: Order) -> Cuts:
    """Cuts into n ranges of about equally many rows."""
    held = [s for s in samples if s.rows]
    if not held:
        return Cuts.none()
    weights = np.concatenate([np.full(len(s.keys), s.rows / len(s.keys)) for s in held])
    return Cuts.joined([s.keys for s in held]).quantiles(weights, n, order)


LOOKUP = 64
"""Bytes of a hash table for a row, and of what pandas makes to fill it."""


def outputs_for(partitions: int, nbytes: float, size: int) -> int:
    """How many partitions to exchange into: as many as there were, but not many tiny ones.

    Parameters
    ----------
    partitions
        How many there are.
    nbytes
        Of all of them together.
    size
        What a partition should have; an eighth of that is worth one of its own.
    """
    return max(1, min(partitions, math.ceil(8 * nbytes / size)))


def meetings_for(left: int, right: int, nbytes: float, size: int) -> int:
    """How many partitions two sides meet in: twice as many as the larger side has.

    Where they meet, both sides and their answer are held together, so each is cut finer.
    """
    most = max(left, right)
    return 1 if most == 1 else outputs_for(2 * most, 2 * nbytes, size)
