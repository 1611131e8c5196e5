"""Groups on the move: merged in a tree, or exchanged so that equal keys meet; and what decides.

Where the groups of all partitions together are no larger than one partition of the source, they
are merged in a tree. Otherwise they are exchanged: by hash, by ranges of their keys, by the place
where they were first seen, or by their size. The choice reads the exact bytes of the groups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nbscale.dataframe.aggregates import Aggregate, Distinct
from nbscale.dataframe.arrays import joined
from nbscale.dataframe.coding import places
from nbscale.dataframe.groups import Groups, Wanted, merged, state_bytes
from nbscale.dataframe.hashing import hashes
from nbscale.dataframe.node import FrameExchange, FrameReduce
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.record import record

__all__ = [
    "ByCount",
    "ByCountAscending",
    "ByHash",
    "ByKeys",
    "ByTag",
    "GroupSample",
    "GroupStats",
    "Measure",
    "MergeAll",
    "MoveGroups",
    "is_small",
    "limit",
    "paired",
    "parts_of",
    "tag_bounds",
]

_LEAST = 1 << 18
"""Groups of fewer bytes than this are always merged in a tree."""
_MOST_PARTS = 4096


def paired(node: Any) -> tuple[int, ...]:
    """The places of the distinct counts among the aggregates."""
    return tuple(i for i, a in enumerate(_aggregates(node)) if isinstance(a, Distinct))


def _aggregates(node: Any) -> tuple[Aggregate, ...]:
    return tuple(want.aggregate for want in node.held)


# Small: a tree ------------------------------------------------------------------------------


class MergeAll(FrameReduce):
    """All groups in one partition."""

    input: Node

    @property
    def label(self) -> str:
        return "merge groups"

    @property
    def held(self) -> tuple[Wanted, ...]:
        """As in the input."""
        return self.input.held  # type: ignore[attr-defined]

    def partial(self) -> Kernel:
        return _itself

    def combine(self) -> Kernel:
        return _Merge(_aggregates(self.input))

    def final(self) -> Kernel:
        return _itself

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (need,)


def _itself(index: Index, value: Any) -> Any:
    del index
    return value


@record
class _Merge:
    aggregates: tuple[Aggregate, ...]
    by_tag: bool = False

    def __call__(self, index: Index, parts: list[Groups]) -> Groups:
        del index
        whole = merged(parts, self.aggregates)
        return whole.in_tag_order(self.aggregates) if self.by_tag else whole


class GroupStats(FrameReduce):
    """How many groups each partition has, and their bytes: what decides how they are merged."""

    input: Node

    @property
    def label(self) -> str:
        return "count groups"

    def partial(self) -> Kernel:
        return _Measure(paired(self.input))

    def combine(self) -> Kernel:
        return _concatenate

    def final(self) -> Kernel:
        return _itself


@record
class Measure:
    """The groups of one partition.

    Attributes
    ----------
    groups, rows
        How many.
    nbytes
        Their bytes, among them those of the ``pairs`` that distinct counts keep.
    source
        Bytes of the partition they were made from.
    """

    groups: int
    nbytes: int
    pairs: int
    source: float
    rows: int


@record
class _Measure:
    paired: tuple[int, ...]

    def __call__(self, index: Index, groups: Groups) -> list[Measure]:
        del index
        pairs = sum(state_bytes(groups.states[i]) for i in self.paired)
        return [Measure(len(groups), groups.nbytes, pairs, groups.source, groups.rows)]


def _concatenate(index: Index, lists: list[Any]) -> list[Any]:
    del index
    return [row for rows in lists for row in rows]


# Large: an exchange -------------------------------------------------------------------------


@record
class ByHash:
    """Equal keys meet; the order is that of nothing."""

    parts: int

    def destinations(self, groups: Groups) -> np.ndarray:
        """The partition each group goes to."""
        return (hashes(groups.keys) % np.uint64(self.parts)).astype(np.int64)


@record
class ByTag:
    """Groups go by the partition they were first seen in: part i begins at bound i."""

    bounds: tuple[int, ...]

    @property
    def parts(self) -> int:
        """Number of partitions."""
        return len(self.bounds)

    def destinations(self, groups: Groups) -> np.ndarray:
        """The partition each group goes to."""
        return np.searchsorted(self.bounds, groups.first_seen_in(), side="right") - 1


@record
class ByKeys:
    """Groups go by the order of their keys: part i holds keys up to bound i."""

    bounds: tuple[Any, ...]
    parts: int

    @staticmethod
    def columns(groups: Groups) -> tuple[Any, ...]:
        """What orders the groups."""
        return groups.keys

    def destinations(self, groups: Groups) -> np.ndarray:
        """The partition each group goes to."""
        return places(self.bounds, self.columns(groups))


class ByCount(ByKeys):
    """Groups go by their size, the largest first, equal ones by where they were first seen."""

    __slots__ = ()

    @staticmethod
    def columns(groups: Groups) -> tuple[Any, ...]:
        return -groups.states[0][0], groups.tags


class ByCountAscending(ByKeys):
    """Groups go by their size, the smallest first, equal ones by where they were first seen."""

    __slots__ = ()

    @staticmethod
    def columns(groups: Groups) -> tuple[Any, ...]:
        return groups.states[0][0], groups.tags


class MoveGroups(FrameExchange):
    """Groups move to where they belong and are merged there."""

    input: Node
    way: Any

    @property
    def grid(self) -> tuple[int, ...]:
        return (self.way.parts,)

    @property
    def label(self) -> str:
        return "exchange groups"

    @property
    def held(self) -> tuple[Wanted, ...]:
        """As in the input."""
        return self.input.held  # type: ignore[attr-defined]

    def split(self) -> Kernel:
        return _Split(self.way, _aggregates(self.input))

    def merge(self) -> Kernel:
        # Where keys are ordered by, they will be sorted anyway.
        return _Merge(_aggregates(self.input), by_tag=type(self.way) is not ByKeys)


@record
class _Split:
    way: Any
    aggregates: tuple[Aggregate, ...]

    def __call__(self, index: Index, groups: Groups) -> list[Groups]:
        del index
        return groups.split(self.way.destinations(groups), self.way.parts, self.aggregates)


class GroupSample(FrameReduce):
    """Every so many-th group of each partition: from them come bounds."""

    input: Node
    order: Any
    step: int

    @property
    def label(self) -> str:
        return "sample groups"

    def partial(self) -> Kernel:
        return _Sample(self.order, self.step)

    def combine(self) -> Kernel:
        return _stacked

    def final(self) -> Kernel:
        return _itself


@record
class _Sample:
    order: Any
    step: int

    def __call__(self, index: Index, groups: Groups) -> tuple[Any, ...]:
        # Each partition begins elsewhere, so that small ones are not all sampled at one end.
        first = index[0] * 7919 % self.step
        return tuple(column[first :: self.step] for column in self.order.columns(groups))


def _stacked(index: Index, samples: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    del index
    return tuple(joined(list(arrays)) for arrays in zip(*samples, strict=True))


# Sizes --------------------------------------------------------------------------------------


def is_small(stats: Sequence[Measure]) -> bool:
    """Whether all groups together are no larger than one partition was."""
    return sum(m.nbytes for m in stats) <= limit(stats)


def limit(stats: Sequence[Measure]) -> float:
    """The bytes one task may merge: those of the largest partition of the source."""
    return max(_LEAST, max((m.source for m in stats), default=0.0))


def parts_of(stats: Sequence[Measure]) -> int:
    """Partitions that hold half of what one partition of the source held."""
    return min(_MOST_PARTS, max(1, math.ceil(2 * sum(m.nbytes for m in stats) / limit(stats))))


def tag_bounds(stats: Sequence[Measure]) -> ByTag:
    """Consecutive partitions whose groups together hold half of what one partition held."""
    bounds, held = [0], 0.0
    for i, measure in enumerate(stats):
        if held and held + measure.nbytes > limit(stats) / 2:
            bounds.append(i)
            held = 0.0
        held += measure.nbytes
    return ByTag(tuple(bounds))
