"""From rows to groups to results: the nodes of every group-by, value count and distinct count.

Each partition becomes ``Groups``. Where those of all partitions together are no larger than one
partition they are merged in a tree. Otherwise they are exchanged, so that every group is in one of
several partitions: by ranges of the keys where the result is sorted by them, by hash otherwise,
then by the order the result has. The choice reads the exact sizes of all groups made, in bytes.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Protocol

import numpy as np

from nbscale.dataframe.aggregates import Aggregate
from nbscale.dataframe.coding import hashes, ranks, values_of
from nbscale.dataframe.columnwise import joined
from nbscale.dataframe.groups import Groups, Wanted, grouped, merged
from nbscale.dataframe.node import FrameAdaptive, FrameExchange, FrameMap, FrameReduce
from nbscale.dataframe.source import numbered
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node, walk

__all__ = [
    "ByColumn",
    "ByLevel",
    "GroupBy",
    "GroupStates",
    "GroupTable",
    "MergeAll",
    "MoveGroups",
    "Result",
    "is_small",
    "result_of",
]

_LEAST = 1 << 18
"""Groups of fewer bytes than this are always merged in a tree."""
_MOST_PARTS = 4096


@dataclasses.dataclass(frozen=True, slots=True)
class ByColumn:
    """A key: a column of the frame."""

    name: Any


@dataclasses.dataclass(frozen=True, slots=True)
class ByLevel:
    """A key: the index."""


@dataclasses.dataclass(frozen=True, slots=True)
class _ByNode:
    """A key: the next of the series beside the frame."""


class GroupStates(FrameMap):
    """The groups of each partition. Keys are columns, the index, or series on the same rows."""

    subject: Node
    by: tuple[Any, ...]
    wanted: tuple[Wanted, ...]
    dropna: bool

    growth = 0.05

    @property
    def label(self) -> str:
        return "group"

    def kernel(self) -> Kernel:
        by = tuple(_ByNode() if isinstance(key, Node) else key for key in self.by)
        return _GroupRows(by, self.wanted, self.dropna)

    def needs(self, need: Need) -> tuple[Need, ...]:
        wanted = self._kept(need)
        columns = None
        if self.subject.kind == "frame":  # type: ignore[attr-defined]
            own = [key.name for key in self.by if isinstance(key, ByColumn)]
            columns = frozenset([*own, *(w.column for w in wanted if w.column is not None)])
        index = any(isinstance(key, ByLevel) for key in self.by)
        whole = Need(None, index=False)
        return (Need(columns, index=index), *(whole for _ in self.inputs[1:]))

    def pruned(self, need: Need, inputs: Any) -> Node:
        subject, *series = inputs
        queue = iter(series)
        by = tuple(next(queue) if isinstance(key, Node) else key for key in self.by)
        return GroupStates(subject, by, self._kept(need), self.dropna)

    def _kept(self, need: Need) -> tuple[Wanted, ...]:
        """The aggregates are the columns of this node."""
        if need.columns is None:
            return self.wanted
        return tuple(w for w in self.wanted if w in need.columns)


@dataclasses.dataclass(frozen=True, slots=True)
class _GroupRows:
    by: tuple[Any, ...]
    wanted: tuple[Wanted, ...]
    dropna: bool

    def __call__(self, index: Index, rows: Any, *series: Any) -> Groups:
        queue = iter(series)
        keys = []
        for key in self.by:
            if isinstance(key, ByColumn):
                keys.append(values_of(rows[key.name]))
            elif isinstance(key, ByLevel):
                keys.append(values_of(rows.index))
            else:
                keys.append(values_of(next(queue)))
        return grouped(index[0], rows, keys, self.wanted, dropna=self.dropna)


def _wanted_of(node: Any) -> tuple[Wanted, ...]:
    """The aggregates whose states a node of groups holds."""
    for below in walk((node,)):
        if isinstance(below, GroupStates):
            return below.wanted
    msg = f"{node!r} does not come from groups"
    raise TypeError(msg)


def _aggregates(node: Node) -> tuple[Aggregate, ...]:
    return tuple(want.aggregate for want in _wanted_of(node))


# Small: a tree ------------------------------------------------------------------------------


class MergeAll(FrameReduce):
    """All groups in one partition."""

    input: Node

    @property
    def label(self) -> str:
        return "merge groups"

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


@dataclasses.dataclass(frozen=True, slots=True)
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
        return _measure

    def combine(self) -> Kernel:
        return _concatenate

    def final(self) -> Kernel:
        return _itself


def _measure(index: Index, groups: Groups) -> list[tuple[int, int, float, int]]:
    del index
    return [(len(groups), groups.nbytes, groups.source, groups.rows)]


def _concatenate(index: Index, lists: list[Any]) -> list[Any]:
    del index
    return [row for rows in lists for row in rows]


# Large: an exchange -------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class ByHash:
    """Equal keys meet; the order is that of nothing."""

    parts: int

    def destinations(self, groups: Groups) -> np.ndarray:
        """The partition each group goes to."""
        return (hashes(groups.keys) % np.uint64(self.parts)).astype(np.int64)


@dataclasses.dataclass(frozen=True, slots=True)
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


@dataclasses.dataclass(frozen=True, slots=True)
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
        pairs = zip(self.bounds, self.columns(groups), strict=True)
        limits, own = ranks([[bound, column] for bound, column in pairs])
        return np.searchsorted(limits, own, side="left")


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

    def split(self) -> Kernel:
        return _Split(self.way, _aggregates(self.input))

    def merge(self) -> Kernel:
        return _Merge(_aggregates(self.input), by_tag=True)


@dataclasses.dataclass(frozen=True, slots=True)
class _Split:
    way: Any
    aggregates: tuple[Aggregate, ...]

    def __call__(self, index: Index, groups: Groups) -> list[Groups]:
        del index
        return groups.split(self.way.destinations(groups), self.way.parts, self.aggregates)


class GroupSample(FrameReduce):
    """Every so many-th group in the order wanted, of each partition: from them come bounds."""

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


@dataclasses.dataclass(frozen=True, slots=True)
class _Sample:
    order: Any
    step: int

    def __call__(self, index: Index, groups: Groups) -> tuple[Any, ...]:
        columns = self.order.columns(groups)
        (own,) = ranks([[column] for column in columns])
        rows = np.argsort(own, kind="stable")
        # Each partition begins elsewhere, so that small ones are not all sampled at one end.
        chosen = rows[index[0] * 7919 % self.step :: self.step]
        return tuple(column.take(chosen) for column in columns)


def _stacked(index: Index, samples: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    del index
    return tuple(joined(list(arrays)) for arrays in zip(*samples, strict=True))


# Results ------------------------------------------------------------------------------------


class Result(Protocol):
    """How groups become a pandas object."""

    @property
    def order(self) -> str:
        """``"keys"``, ``"seen"``, ``"counts"``, ``"counts up"`` or ``"any"``."""

    @property
    def whole(self) -> bool:
        """The result needs all groups in one partition."""

    @property
    def numbered(self) -> bool:
        """The rows of the result are numbered, not labelled."""

    def table(self, groups: Groups, held: tuple[Wanted, ...], total: int) -> Any:
        """The pandas object of some of the groups; ``total`` counts the rows of all."""

    def narrowed(self, need: Need) -> Any:
        """The result with the columns needed only."""

    def wanted(self) -> frozenset[Wanted]:
        """The aggregates that are read."""


class GroupTable(FrameMap):
    """The result of each partition of merged groups."""

    input: Node
    result: Any
    total: int = -1

    @property
    def label(self) -> str:
        return str(getattr(self.result, "called", "groupby"))

    def kernel(self) -> Kernel:
        return _Table(self.result, _wanted_of(self.input), self.total)

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (Need(self.result.narrowed(need).wanted()),)

    def pruned(self, need: Need, inputs: Any) -> Node:
        return GroupTable(inputs[0], self.result.narrowed(need), self.total)


@dataclasses.dataclass(frozen=True, slots=True)
class _Table:
    result: Any
    held: tuple[Wanted, ...]
    total: int

    def __call__(self, index: Index, groups: Groups) -> Any:
        del index
        total = groups.rows if self.total < 0 else self.total
        return self.result.table(groups, self.held, total)


class GroupBy(FrameAdaptive):
    """The result of all groups: looks at how large they are, then merges or exchanges them."""

    states: Node
    result: Any

    @property
    def label(self) -> str:
        return str(getattr(self.result, "called", "groupby"))

    def reference(self, *inputs: Any) -> Any:
        return _Table(self.result, _wanted_of(self.states), -1)((0,), inputs[0])

    def asks(self) -> tuple[Node, ...]:
        return (GroupStats(self.states),)

    def build(self, *answers: Any) -> Node:
        ((stats,),) = answers
        if self.result.whole or is_small(stats):
            return GroupTable(MergeAll(self.states), self.result)
        large = self._large(stats)
        return numbered(large) if self.result.numbered else large  # type: ignore[arg-type]

    def _large(self, stats: Any) -> Node:
        total = sum(rows for *_, rows in stats)
        n = _parts(stats)
        hashed = MoveGroups(self.states, ByHash(n))
        step = max(1, sum(groups for groups, *_ in stats) // (32 * n))
        match self.result.order:
            case "keys":
                return Ordered(self.states, self.result, ByKeys((), n), step, total)
            case "counts":
                return Ordered(hashed, self.result, ByCount((), n), step, total)
            case "counts up":
                return Ordered(hashed, self.result, ByCountAscending((), n), step, total)
            case "seen":
                return GroupTable(MoveGroups(hashed, _tag_bounds(stats)), self.result, total)
        return GroupTable(hashed, self.result, total)

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (Need(self.result.narrowed(need).wanted()),)

    def pruned(self, need: Need, inputs: Any) -> Node:
        return GroupBy(inputs[0], self.result.narrowed(need))


class Ordered(FrameAdaptive):
    """Looks at a sample of the groups for where to cut them, in the order of the result."""

    states: Node
    result: Any
    way: Any
    step: int
    total: int

    @property
    def label(self) -> str:
        return "order groups"

    def reference(self, *inputs: Any) -> Any:
        return _Table(self.result, _wanted_of(self.states), -1)((0,), inputs[0])

    def asks(self) -> tuple[Node, ...]:
        return (GroupSample(self.states, self.way, self.step),)

    def build(self, *answers: Any) -> Node:
        ((sample,),) = answers
        (own,) = ranks([[column] for column in sample])
        order = np.argsort(own, kind="stable")
        places = [len(order) * i // self.way.parts for i in range(1, self.way.parts)]
        chosen = order[np.asarray(places, dtype=np.int64)] if len(order) else order
        chosen = chosen[np.unique(own[chosen], return_index=True)[1]]
        bounds = tuple(column.take(chosen) for column in sample)
        way = type(self.way)(bounds, len(chosen) + 1)
        return GroupTable(MoveGroups(self.states, way), self.result, self.total)


def is_small(stats: Any) -> bool:
    """Whether all groups together are no larger than one partition was."""
    return sum(size for _, size, *_ in stats) <= _limit(stats)


def _limit(stats: Any) -> float:
    return max(_LEAST, max((source for _, _, source, _ in stats), default=0.0))


def _parts(stats: Any) -> int:
    """Partitions that hold half of what one partition of the source held."""
    return min(_MOST_PARTS, math.ceil(2 * sum(size for _, size, *_ in stats) / _limit(stats)))


def _tag_bounds(stats: Any) -> ByTag:
    """Consecutive partitions whose groups together are no larger than one partition was."""
    bounds, held = [0], 0.0
    for i, (_, size, *_) in enumerate(stats):
        if held and held + size > _limit(stats):
            bounds.append(i)
            held = 0.0
        held += size
    return ByTag(tuple(bounds))


def result_of(states: Node, result: Any) -> Node:
    """The result of the groups of some rows."""
    try:
        single = states.grid == (1,)
    except LookupError:
        single = False  # known when it runs
    return GroupTable(states, result) if single else GroupBy(states, result)
