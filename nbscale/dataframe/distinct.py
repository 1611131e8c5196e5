"""Distinct values: ``value_counts``, ``unique``, ``nunique``, ``mode``.

All of them are group-bys of a series by itself, and so are their costs: one pass, then a tree of
small states, or one exchange where there are many distinct values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.core.arrays.masked import BaseMaskedArray

from nbscale.collection import Collection, Gather, Parts, register, wrap
from nbscale.dataframe.aggregates import Size
from nbscale.dataframe.coding import ranks
from nbscale.dataframe.columnwise import joined
from nbscale.dataframe.combine import combined
from nbscale.dataframe.grouped import ByColumn, GroupStates, key_labels, result_of
from nbscale.dataframe.groups import Groups, Wanted
from nbscale.dataframe.node import FrameAdaptive, FrameHeld, FrameMap, FrameReduce
from nbscale.dataframe.regroup import ByHash, GroupStats, MergeAll, MoveGroups, is_small, parts_of
from nbscale.dataframe.rows import CountRows
from nbscale.dataframe.select import Column
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.expr.token import nonce
from nbscale.plan.layout import Layout

__all__ = ["Values", "count_distinct", "modes", "unique", "value_counts"]

_ROWS = Wanted(None, Size())


@dataclasses.dataclass(frozen=True, slots=True)
class _Plain:
    """What results without columns have in common: nothing to narrow, one size to read."""

    @property
    def whole(self) -> bool:
        """The result needs all groups in one partition."""
        return False

    @property
    def numbered(self) -> bool:
        """The rows of the result are numbered."""
        return False

    def narrowed(self, need: Need) -> Any:
        """All of it is needed."""
        del need
        return self

    def wanted(self) -> frozenset[Wanted]:
        """The size of the groups."""
        return frozenset([_ROWS])


# value_counts -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class CountsResult(_Plain):
    """How often each value is there, the most frequent first, ties in order of first sight."""

    names: tuple[Hashable, ...]
    normalize: bool
    sort: bool
    ascending: bool
    categories: bool
    several: bool = False
    levels: bool = True

    called = "value_counts"

    @property
    def order(self) -> str:
        """By size if sorted, else by first sight."""
        if not self.sort:
            return "seen"
        return "counts up" if self.ascending else "counts"

    @property
    def whole(self) -> bool:
        """Categories that are not there are counted, too."""
        return self.categories

    def table(self, groups: Groups, held: tuple[Wanted, ...], total: int) -> pd.Series:
        """The counts of some of the values."""
        counts = groups.states[held.index(_ROWS)][0]
        name = "proportion" if self.normalize else "count"
        if self.several:
            found = self._of_rows(groups, counts)
        else:
            found = self._of_values(groups.keys[0], counts)
        if self.sort:
            found = found.sort_values(ascending=self.ascending, kind="stable")
        found.name = name
        return found / total if self.normalize else found

    def _of_rows(self, groups: Groups, counts: np.ndarray) -> pd.Series:
        labels, rows = key_labels(groups, self.names, sort=False, observed=False)
        found = np.where(rows < 0, 0, counts.take(np.maximum(rows, 0)) if len(counts) else 0)
        if len(self.names) == 1 and self.levels:
            labels = pd.MultiIndex.from_arrays([labels], names=[labels.name])
        return pd.Series(found, index=labels)

    def _of_values(self, keys: Any, counts: np.ndarray) -> pd.Series:
        (name,) = self.names
        if isinstance(keys, pd.Categorical):
            places = keys.codes.astype(np.int64)
            every = np.zeros(len(keys.categories), dtype=np.int64)
            every[places[places >= 0]] = counts[places >= 0]
            codes = np.arange(len(every))
            if (places < 0).any():
                codes, every = np.append(codes, -1), np.append(every, counts[places < 0])
            labels = pd.Categorical.from_codes(codes, dtype=keys.dtype)
            return pd.Series(every, index=pd.CategoricalIndex(labels, name=name))
        if isinstance(keys, BaseMaskedArray):
            # Pandas puts the missing value of such arrays behind the others.
            rows = np.argsort(np.asarray(keys.isna()), kind="stable")
            keys, counts = keys.take(rows), counts[rows]
        dtype = pd.Series(keys[:0]).value_counts().dtype
        index = pd.Index(keys, dtype=keys.dtype, name=name)
        return pd.Series(counts, index=index).astype(dtype)


def value_counts(
    subject: Collection,
    columns: Sequence[Hashable] | None,
    *,
    normalize: bool,
    sort: bool,
    ascending: bool,
    dropna: bool,
    levels: bool = True,
) -> Any:
    """Counts of the values of a series, or of the rows of a frame in some columns.

    With ``levels`` the rows are labelled by a MultiIndex even for a single column.
    """
    node: Any = subject._node  # noqa: SLF001
    by: tuple[Any, ...] = (node,)
    names: tuple[Hashable, ...] = ()
    if columns is not None:
        by, names = tuple(ByColumn(c) for c in columns), tuple(columns)
    else:
        names = (node.sample.name,)
    states = GroupStates(node, by, (_ROWS,), dropna)
    categories = any(isinstance(key.dtype, pd.CategoricalDtype) for key in states.sample.keys)
    several = columns is not None
    result = CountsResult(names, normalize, sort, ascending, categories, several, levels)
    return wrap(result_of(states, result), subject)


# unique -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class UniqueResult(_Plain):
    """The distinct values in order of first sight, as the array pandas gives."""

    order = "seen"
    called = "unique"

    def wanted(self) -> frozenset[Wanted]:
        """The keys alone."""
        return frozenset()

    def table(self, groups: Groups, held: tuple[Wanted, ...], total: int) -> Any:
        """Some of the values."""
        del held, total
        return pd.Series(groups.keys[0]).unique()


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


@dataclasses.dataclass(frozen=True, slots=True)
class _CountsOf:
    columns: pd.Index

    def __call__(self, values: list[Any]) -> pd.Series:
        return pd.Series(values, index=self.columns, dtype=np.int64)


# mode ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class ModeResult(_Plain):
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
    counts = groups.states[held.index(_ROWS)][0]
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
        return self.input.held  # type: ignore[attr-defined, no-any-return]

    def kernel(self) -> Kernel:
        return _OfSize(self.size, self.held)


@dataclasses.dataclass(frozen=True, slots=True)
class _OfSize:
    size: int
    held: tuple[Wanted, ...]

    def __call__(self, index: Index, groups: Groups) -> Groups:
        del index
        return _most_frequent(groups, self.held, self.size)


def modes(subject: Collection, *, dropna: bool) -> Any:
    """The most frequent values of a series."""
    node: Any = subject._node  # noqa: SLF001
    states = GroupStates(node, (node,), (_ROWS,), dropna)
    return wrap(Modes(states, ModeResult(node.sample.name)), subject)
