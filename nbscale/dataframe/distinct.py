"""Distinct values: ``unique``, ``nunique``, ``mode``.

All of them are group-bys of a series by itself, and so are their costs: one pass, then a tree of
small states, or one exchange where there are many distinct values.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from nbscale.collection import Collection, Gather, Parts, register, wrap
from nbscale.dataframe.arrays import joined
from nbscale.dataframe.coding import ranks
from nbscale.dataframe.combine import combined
from nbscale.dataframe.counts import ROWS, PlainResult
from nbscale.dataframe.grouped import GroupStates, result_of
from nbscale.dataframe.groups import Groups, Wanted
from nbscale.dataframe.node import FrameAdaptive, FrameHeld, FrameMap, FrameReduce
from nbscale.dataframe.regroup import ByHash, GroupStats, MergeAll, MoveGroups, is_small, parts_of
from nbscale.dataframe.rows import CountRows
from nbscale.dataframe.select import Column
from nbscale.expr.node import Index, Kernel, Node
from nbscale.expr.token import nonce
from nbscale.plan.layout import Layout
from nbscale.record import record

__all__ = ["Values", "count_distinct", "modes", "unique"]

# unique -------------------------------------------------------------------------------------


@record
class UniqueResult(PlainResult):
    """The distinct values in order of first sight, as the array pandas gives."""

    order = "seen"
    called = "unique"

    def wanted(self) -> frozenset[Wanted]:
        """The keys alone."""
        return frozenset()

    def table(self, groups: Groups, held: tuple[Wanted, ...], total: int) -> Any:
        """Some of the values."""
        del held, total
        (key,) = groups.keys
        # Which array pandas gives depends on the dtype; the values are distinct already.
        plain = isinstance(pd.Series(key[:0]).unique(), np.ndarray)
        return key if plain else pd.Series(key, copy=False).array


class ValueArray(FrameMap):
    """Partitions that are arrays, not pandas objects."""

    input: Node

    @property
    def label(self) -> str:
        return "values"

    @property
    def kind(self) -> str:
        return "values"

    def kernel(self) -> Kernel:
        return _itself


def _itself(index: Index, value: Any) -> Any:
    del index
    return value


class _HeldValues(FrameHeld):
    """Arrays in memory."""

    @property
    def kind(self) -> str:
        return "values"


class _Join(Parts):
    """Arrays one after the other."""

    def result(self) -> Any:
        return joined(self.values)


@register("values")
class Values(Collection):
    """A lazy array of values: NumPy's, or pandas' own for what NumPy does not have."""

    __slots__ = ()

    def _gather(self, node: Node) -> Gather:
        return _Join(node.grid)

    def _hold(self, node: Node, values: list[Any]) -> Node:
        identity = nonce()
        return _HeldValues(tuple(values), identity, node.sample, Layout(identity))  # type: ignore[attr-defined]

    @property
    def dtype(self) -> Any:
        """The dtype."""
        return self._node.sample.dtype  # type: ignore[attr-defined]

    def __len__(self) -> int:
        """Number of values; counts them."""
        count: int = wrap(CountRows(self._node), self).compute()
        return count

    def __iter__(self) -> Iterator[Any]:
        return iter(self.compute())

    def __contains__(self, value: Any) -> bool:
        return value in self.compute()

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.compute(), dtype=dtype, copy=copy)

    def tolist(self) -> list[Any]:
        """The values as a list; computes them."""
        return list(self.compute().tolist())

    def __repr__(self) -> str:
        return f"nbscale Values of {self.dtype}: not computed yet"


def unique(subject: Collection) -> Any:
    """The distinct values of a series, in order of first sight."""
    states = GroupStates(subject._node, (subject._node,), (), False)  # noqa: SLF001
    return wrap(ValueArray(result_of(states, UniqueResult())), subject)


# nunique ------------------------------------------------------------------------------------


class CountDistinct(FrameAdaptive):
    """How many distinct values there are."""

    states: Node

    @property
    def grid(self) -> tuple[int, ...]:
        return (1,)

    @property
    def label(self) -> str:
        return "nunique"

    def reference(self, *inputs: Any) -> Any:
        return len(inputs[0])

    def asks(self) -> tuple[Node, ...]:
        return (GroupStats(self.states),)

    def build(self, *answers: Any) -> Node:
        ((stats,),) = answers
        if is_small(stats):
            return CountRows(MergeAll(self.states))
        return CountRows(MoveGroups(self.states, ByHash(parts_of(stats))))


def _distinct(node: Any, *, dropna: bool) -> Node:
    states = GroupStates(node, (node,), (), dropna)
    return CountDistinct(states)


def count_distinct(subject: Collection, *, dropna: bool) -> Any:
    """The number of distinct values of a series, or of each column of a frame."""
    node: Any = subject._node  # noqa: SLF001
    if node.kind != "frame":
        return wrap(_distinct(node, dropna=dropna), subject)
    parts = [_distinct(Column(node, name), dropna=dropna) for name in node.columns]
    return wrap(combined(parts, _CountsOf(node.schema.columns)), subject)


@record
class _CountsOf:
    columns: pd.Index

    def __call__(self, values: list[Any]) -> pd.Series:
        return pd.Series(values, index=self.columns, dtype=np.int64)


# mode ---------------------------------------------------------------------------------------


@record
class ModeResult(PlainResult):
    """The values that are there most often, sorted."""

    name: Hashable

    order = "keys"
    called = "mode"

    @property
    def numbered(self) -> bool:
        """The rows of the result are numbered."""
        return True

    def table(self, groups: Groups, held: tuple[Wanted, ...], total: int) -> pd.Series:
        """Some of the values."""
        del total
        chosen = _most_frequent(groups, held)
        (key,) = chosen.keys
        (own,) = ranks([[key]])
        return pd.Series(key.take(np.argsort(own, kind="stable")), name=self.name)


def _most_frequent(groups: Groups, held: tuple[Wanted, ...], most: int | None = None) -> Groups:
    counts = groups.states[held.index(ROWS)][0]
    if most is None:
        most = int(counts.max()) if len(counts) else 0
    rows = np.flatnonzero(counts == most)
    return groups.arranged(rows, [w.aggregate for w in held])


class Modes(FrameAdaptive):
    """The most frequent values: finds how frequent, where there are too many for one partition."""

    states: Node
    result: Any
    hashed: bool = False

    @property
    def label(self) -> str:
        return "mode"

    def reference(self, *inputs: Any) -> Any:
        return self.result.table(inputs[0], self.states.held, -1)  # type: ignore[attr-defined]

    def asks(self) -> tuple[Node, ...]:
        return (Largest(self.states) if self.hashed else GroupStats(self.states),)

    def build(self, *answers: Any) -> Node:
        ((answer,),) = answers
        if self.hashed:
            return result_of(Frequent(self.states, answer), self.result)
        if is_small(answer):
            return result_of(MergeAll(self.states), self.result)
        return Modes(MoveGroups(self.states, ByHash(parts_of(answer))), self.result, hashed=True)


class Largest(FrameReduce):
    """The size of the largest group."""

    input: Node

    def partial(self) -> Kernel:
        return _largest

    def combine(self) -> Kernel:
        return _greatest

    def final(self) -> Kernel:
        return _itself


def _largest(index: Index, groups: Groups) -> int:
    del index
    counts = groups.states[0][0]
    return int(counts.max()) if len(counts) else 0


def _greatest(index: Index, values: list[int]) -> int:
    del index
    return max(values)


class Frequent(FrameMap):
    """The groups of one size."""

    input: Node
    size: int

    @property
    def held(self) -> tuple[Wanted, ...]:
        """As in the input."""
        return self.input.held  # type: ignore[attr-defined]

    def kernel(self) -> Kernel:
        return _OfSize(self.size, self.held)


@record
class _OfSize:
    size: int
    held: tuple[Wanted, ...]

    def __call__(self, index: Index, groups: Groups) -> Groups:
        del index
        return _most_frequent(groups, self.held, self.size)


def modes(subject: Collection, *, dropna: bool) -> Any:
    """The most frequent values of a series."""
    node: Any = subject._node  # noqa: SLF001
    states = GroupStates(node, (node,), (ROWS,), dropna)
    return wrap(Modes(states, ModeResult(node.sample.name)), subject)
