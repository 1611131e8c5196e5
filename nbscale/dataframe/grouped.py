"""From rows to groups to results: the nodes of every group-by, value count and distinct count.

Each partition becomes ``Groups``; they are merged or exchanged (see ``regroup.py``), and become
what pandas returns.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd

from nbscale.dataframe.arrays import values_of
from nbscale.dataframe.coding import ranks
from nbscale.dataframe.groups import Groups, Wanted, grouped
from nbscale.dataframe.node import FrameAdaptive, FrameMap
from nbscale.dataframe.pairs import pairs_apart
from nbscale.dataframe.regroup import (
    ByCount,
    ByCountAscending,
    ByHash,
    ByKeys,
    GroupSample,
    GroupStats,
    MergeAll,
    MoveGroups,
    is_small,
    limit,
    parts_of,
    tag_bounds,
)
from nbscale.dataframe.source import numbered
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.record import record

__all__ = [
    "ByColumn",
    "ByLevel",
    "GroupBy",
    "GroupStates",
    "GroupTable",
    "Result",
    "key_labels",
    "result_of",
]


@record
class ByColumn:
    """A key: a column of the frame."""

    name: Any


@record
class ByLevel:
    """A key: the index."""


@record
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

    @property
    def held(self) -> tuple[Wanted, ...]:
        """The aggregates whose states the groups have, here and in every node of groups."""
        return self.wanted

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


@record
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


def key_labels(
    groups: Groups, names: Sequence[Hashable], *, sort: bool, observed: bool
) -> tuple[pd.Index, np.ndarray]:
    """The labels of the result, and the group of each, -1 for categories that were not seen.

    Pandas itself groups the keys, of which each is there once: so order, dtype, levels and
    categories are its own.
    """
    if len(groups.keys) == 1:
        plain = _plain_labels(groups.keys[0], names[0], sort=sort)
        if plain is not None:
            return plain
    keys = [pd.Series(key, name=name) for key, name in zip(groups.keys, names, strict=True)]
    numbers = pd.Series(np.arange(len(groups)))
    by = keys if len(keys) > 1 else keys[0]
    found = numbers.groupby(by, sort=sort, observed=observed, dropna=False).first()
    return found.index, found.fillna(-1).to_numpy(dtype=np.int64)


def _plain_labels(key: Any, name: Hashable, *, sort: bool) -> tuple[pd.Index, np.ndarray] | None:
    """The same for one key of a dtype that pandas takes as it is."""
    plain = isinstance(key, np.ndarray) and key.dtype.kind in "iufbmM"
    if not plain and not isinstance(key.dtype, pd.StringDtype):
        return None
    rows = np.arange(len(key))
    if sort:
        rows = key.argsort(kind="stable") if plain else np.asarray(key.argsort())
    return pd.Index(key.take(rows), name=name), rows


def held_of(states: Any) -> Any:
    """What a node of groups keeps beside the keys."""
    return states.held


class GroupTable(FrameMap):
    """The result of each partition of merged groups."""

    input: Node
    result: Any
    total: int = -1

    @property
    def label(self) -> str:
        return str(getattr(self.result, "called", "groupby"))

    def kernel(self) -> Kernel:
        return _Table(self.result, held_of(self.input), self.total)

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (Need(self.result.narrowed(need).wanted()),)

    def pruned(self, need: Need, inputs: Any) -> Node:
        return GroupTable(inputs[0], self.result.narrowed(need), self.total)


@record
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
        return _Table(self.result, held_of(self.states), -1)((0,), inputs[0])

    def asks(self) -> tuple[Node, ...]:
        return (GroupStats(self.states),)

    def build(self, *answers: Any) -> Node:
        ((stats,),) = answers
        if self.result.whole or is_small(stats):
            return GroupTable(MergeAll(self.states), self.result)
        if sum(m.nbytes - m.pairs for m in stats) <= limit(stats):
            return GroupTable(pairs_apart(self.states, parts_of(stats)), self.result)
        large = self._large(stats)
        return numbered(large) if self.result.numbered else large  # type: ignore[arg-type]

    def _large(self, stats: Any) -> Node:
        total = sum(m.rows for m in stats)
        n = parts_of(stats)
        hashed = MoveGroups(self.states, ByHash(n))
        step = max(1, sum(m.groups for m in stats) // (64 * n))
        match self.result.order:
            case "keys":
                return Ordered(self.states, self.result, ByKeys((), n), step, total)
            case "counts":
                return Ordered(hashed, self.result, ByCount((), n), step, total)
            case "counts up":
                return Ordered(hashed, self.result, ByCountAscending((), n), step, total)
            case "seen":
                return GroupTable(MoveGroups(hashed, tag_bounds(stats)), self.result, total)
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
        return _Table(self.result, held_of(self.states), -1)((0,), inputs[0])

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


def result_of(states: Node, result: Any) -> Node:
    """The result of the groups of some rows."""
    try:
        single = states.grid == (1,)
    except LookupError:
        single = False  # known when it runs
    return GroupTable(states, result) if single else GroupBy(states, result)
