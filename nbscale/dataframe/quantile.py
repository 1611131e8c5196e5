"""Exact quantiles and medians without bringing the values together.

Every partition sorts its columns once and keeps them. Then, for each value that is asked for by
its rank, an interval that holds it is narrowed: partitions say how many of their values lie below
and inside, and show every so many-th of those inside. From the shown values follow bounds that
hold for certain, about a hundredth as wide. When few enough values are inside, they are fetched.

Cost: one pass to read and sort, held once over as long as it takes; then usually two or three
rounds of searches in sorted arrays, whatever the number of rows.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from nbscale.dataframe.coding import values_of
from nbscale.dataframe.columnwise import dates_of
from nbscale.dataframe.node import FrameAdaptive, FrameHeld, FrameMap, FrameReduce
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.expr.token import token
from nbscale.plan.layout import Layout

__all__ = ["Median", "QuantileOf", "Quantiles", "SortedColumns"]

_FETCH = 1 << 15
"""So many values are fetched rather than narrowed further."""
_SHOWN = 256
"""Values that a partition shows of an interval, fewer if there are very many partitions."""


# Sorted partitions --------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class SortedColumn:
    """The values of a column that are there, ascending; dates as integers."""

    values: np.ndarray
    rows: int
    dtype: Any


@dataclasses.dataclass(frozen=True, slots=True)
class SortedPart:
    """The sorted columns of a partition."""

    columns: tuple[SortedColumn, ...]

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return sum(column.values.nbytes for column in self.columns)


class SortedColumns(FrameMap):
    """Each column of each partition, sorted by itself."""

    input: Node

    @property
    def label(self) -> str:
        return "sort columns"

    def kernel(self) -> Kernel:
        return _sort

    def needs(self, need: Need) -> tuple[Need, ...]:
        del need
        return (Need(None, index=False, order=False),)


def _sort(index: Index, value: Any) -> SortedPart:
    del index
    if isinstance(value, pd.DataFrame):
        return SortedPart(tuple(_sorted(value.iloc[:, i]) for i in range(value.shape[1])))
    return SortedPart((_sorted(value),))


def _sorted(column: pd.Series) -> SortedColumn:
    there = column.dropna()
    if column.dtype.kind in "mM":
        values = np.asarray(there.array.view("i8"))
    elif column.dtype == object:
        values = there.to_numpy(dtype=np.float64)
    else:
        values = there.to_numpy()
    return SortedColumn(np.sort(values), len(column), column.dtype)


# Questions ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """What lies in an interval of a column, ends included; None is no end."""

    column: int
    low: Any = None
    high: Any = None
    fetch: bool = False


Answer: TypeAlias = tuple[int, int, np.ndarray, np.ndarray, int]
"""Values below, values inside, those shown, how many each stands for, and how far counts of them
may fall short."""


class Look(FrameReduce):
    """The answers of all partitions together."""

    input: Node
    questions: tuple[Question, ...]
    shown: int

    @property
    def label(self) -> str:
        return "look for ranks"

    def partial(self) -> Kernel:
        return _LookHere(self.questions, self.shown)

    def combine(self) -> Kernel:
        return _together

    def final(self) -> Kernel:
        return _itself


def _itself(index: Index, value: Any) -> Any:
    del index
    return value


@dataclasses.dataclass(frozen=True, slots=True)
class _LookHere:
    questions: tuple[Question, ...]
    shown: int

    def __call__(self, index: Index, part: SortedPart) -> tuple[list[Answer], list[Any]]:
        del index
        answers = [self._answer(part.columns[q.column].values, q) for q in self.questions]
        return answers, [(column.rows, column.dtype) for column in part.columns]

    def _answer(self, values: np.ndarray, question: Question) -> Answer:
        low, high = question.low, question.high
        a = 0 if low is None else int(np.searchsorted(values, low, side="left"))
        b = len(values) if high is None else int(np.searchsorted(values, high, side="right"))
        inside = values[a:b]
        step = 1 if question.fetch else max(1, len(inside) // self.shown)
        chosen = inside[step - 1 :: step].copy()
        return a, len(inside), chosen, np.full(len(chosen), step), step - 1


def _together(index: Index, states: list[Any]) -> tuple[list[Answer], list[Any]]:
    del index
    answers = []
    for several in zip(*(state[0] for state in states), strict=True):
        below, inside, values, weights, short = zip(*several, strict=True)
        answers.append(
            (
                sum(below),
                sum(inside),
                np.concatenate(values),
                np.concatenate(weights),
                sum(short),
            )
        )
    columns = zip(*(state[1] for state in states), strict=True)
    return answers, [(sum(rows for rows, _ in c), c[0][1]) for c in columns]


# Narrowing ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """A value that is asked for by its rank among those of a column.

    It lies in [low, high], where ``inside`` values are and below which ``below`` are. ``probe``:
    the ends themselves are asked about, since values repeat so often that nothing else helps.
    """

    column: int
    rank: int
    low: Any = None
    high: Any = None
    below: int = 0
    inside: int = 0
    probe: bool = False
    found: Any = None

    def questions(self) -> list[Question]:
        """What to ask next."""
        if self.found is not None:
            return []
        if self.probe:
            ends = (self.low, self.high)
            return [Question(self.column, end, end) for end in ends if end is not None]
        return [Question(self.column, self.low, self.high, self.inside <= _FETCH)]

    def narrowed(self, answers: Sequence[Answer]) -> Target:
        """The target after its questions were answered."""
        if self.found is not None:
            return self
        if self.probe:
            return self._probed(answers)
        ((below, inside, values, weights, short),) = answers
        order = np.argsort(values, kind="stable")
        values, counts = values[order], np.cumsum(weights[order])
        wanted = self.rank - below
        if short == 0:
            return dataclasses.replace(self, found=values[wanted])
        # At least counts[k] and at most counts[k] + short values are not above values[k].
        over = int(np.searchsorted(counts, wanted, side="right"))
        under = int(np.searchsorted(counts, wanted - short, side="right")) - 1
        high = values[over] if over < len(values) else self.high
        low = values[under] if under >= 0 else self.low
        return self._within(low, high, below, inside, shrunk=(low, high) != (self.low, self.high))

    def _within(self, low: Any, high: Any, below: int, inside: int, *, shrunk: bool) -> Target:
        if low is not None and low == high:
            return dataclasses.replace(self, found=low)
        fresh = dataclasses.replace(self, low=low, high=high, below=below, inside=inside)
        return dataclasses.replace(fresh, probe=not shrunk)

    def _probed(self, answers: Sequence[Answer]) -> Target:
        low, high, below, inside = self.low, self.high, self.below, self.inside
        ends = [end for end in (low, high) if end is not None]
        for end, (under, equal, *_) in zip(ends, answers, strict=True):
            if under <= self.rank < under + equal:
                return dataclasses.replace(self, found=end)
            if self.rank < under:
                high = _next_to(end, up=False)
                inside = under - below
            else:
                low = _next_to(end, up=True)
                inside -= under + equal - below
                below = under + equal
        return self._within(low, high, below, inside, shrunk=True)


def _next_to(value: Any, *, up: bool) -> Any:
    """The next value of the same type."""
    if value.dtype.kind == "f":
        return np.nextafter(value, value.dtype.type(np.inf if up else -np.inf))
    return value + value.dtype.type(1) if up else value - value.dtype.type(1)


# Results ------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Median:
    """The middle value, or the mean of the two in the middle."""

    names: pd.Index | None
    skipna: bool = True

    label = "median"

    def reference(self, value: Any) -> Any:
        """What pandas says on a sample."""
        return value.median(skipna=self.skipna)

    def ranks(self, n: int) -> list[int]:
        """The ranks that are needed of n values."""
        return [(n - 1) // 2, n // 2] if n else []

    def value(self, columns: Sequence[tuple[int, int, Any, dict[int, Any]]]) -> Any:
        """The result of each column's (values there, rows, dtype, values by rank)."""
        pairs = [self._pair(*column) for column in columns]
        if self.names is None:
            return pairs[0].median(skipna=self.skipna)
        if any(len(pair) == 0 for pair in pairs):
            pairs = [pair.iloc[:0] for pair in pairs]
        frame = pd.DataFrame(dict(enumerate(pairs)), copy=False)
        frame.columns = self.names
        return frame.median(skipna=self.skipna)

    def _pair(self, n: int, rows: int, dtype: Any, found: dict[int, Any]) -> pd.Series:
        if rows == 0:
            return pd.Series([], dtype=dtype)
        if n == 0 or (n < rows and not self.skipna):
            return pd.Series([None, None], dtype=dtype)
        return _as_series([found[rank] for rank in self.ranks(n)], dtype)


@dataclasses.dataclass(frozen=True, slots=True)
class QuantileOf:
    """Quantiles, interpolated as NumPy does between two neighbours.

    ``single``: one quantile, given as a scalar.
    """

    names: pd.Index | None
    q: tuple[float, ...]
    single: bool
    interpolation: str
    name: Any = None

    label = "quantile"

    def reference(self, value: Any) -> Any:
        """What pandas says on a sample."""
        q = self.q[0] if self.single else list(self.q)
        return value.quantile(q, interpolation=self.interpolation)

    def ranks(self, n: int) -> list[int]:
        """The ranks that are needed of n values."""
        places = [(n - 1) * q for q in self.q] if n else []
        return [rank for at in places for rank in (math.floor(at), math.ceil(at))]

    def value(self, columns: Sequence[tuple[int, int, Any, dict[int, Any]]]) -> Any:
        """The result of each column's (values there, rows, dtype, values by rank)."""
        labels = pd.Index(self.q, dtype=np.float64)
        found = [self._column(*column) for column in columns]
        if self.names is None:
            series = found[0].set_axis(labels).rename(self.name)
            return series.iloc[0] if self.single else series
        if not found:
            frame = pd.DataFrame([], index=labels, columns=self.names, dtype=np.float64)
        else:
            frame = pd.DataFrame({i: values_of(s) for i, s in enumerate(found)}, index=labels)
            frame.columns = self.names
        return frame.iloc[0] if self.single else frame

    def _column(self, n: int, rows: int, dtype: Any, known: dict[int, Any]) -> pd.Series:
        each = [self._at(q, n, dtype, known) for q in self.q]
        found = pd.concat(each, ignore_index=True) if each else pd.Series([], dtype=np.float64)
        # Pandas keeps small floats small only where it had to leave out missing values.
        return found.astype(dtype) if n < rows and dtype.kind == "f" else found

    def _at(self, q: float, n: int, dtype: Any, known: dict[int, Any]) -> pd.Series:
        """One quantile, by pandas' own quantile of the two values on its sides."""
        if n == 0:
            return pd.Series([], dtype=dtype).quantile([q], interpolation=self.interpolation)
        at = (n - 1) * q
        rank = math.floor(at)
        part = at - rank
        if self.interpolation == "nearest":
            # NumPy takes the even one of two that are equally near.
            upper = part > 0.5 or (part == 0.5 and rank % 2 == 1)
            rank, part = rank + upper, 0.0
        pair = _as_series([known[rank], known[math.ceil(at) if part else rank]], dtype)
        return pair.quantile([part], interpolation=self.interpolation)


def _as_series(values: list[Any], dtype: Any) -> pd.Series:
    array = np.asarray(values)
    if dtype.kind in "mM":
        return pd.Series(dates_of(array, dtype))
    return pd.Series(array).astype(dtype)


# The node -----------------------------------------------------------------------------------


class Quantiles(FrameAdaptive):
    """Values by rank: asks, narrows and asks again until all are known."""

    columns_sorted: Node
    source: Node
    result: Any
    targets: tuple[Target, ...] | None = None
    known: tuple[Any, ...] = ()

    @property
    def grid(self) -> tuple[int, ...]:
        return (1,)

    @property
    def label(self) -> str:
        return str(self.result.label)

    def _make_sample(self) -> Any:
        return self.result.reference(self.source.sample)  # type: ignore[attr-defined]

    def needs(self, need: Need) -> tuple[Need, ...]:
        del need
        return Need(), Need(frozenset(), index=False, order=False)

    def _shown(self) -> int:
        partitions = self.columns_sorted.grid[0]
        return max(16, min(_SHOWN, (1 << 16) // partitions))

    def _questions(self) -> tuple[Question, ...]:
        if self.targets is None:
            columns = self.source.sample  # type: ignore[attr-defined]
            n = columns.shape[1] if isinstance(columns, pd.DataFrame) else 1
            return tuple(Question(c) for c in range(n))
        return tuple(dict.fromkeys(q for t in self.targets for q in t.questions()))

    def asks(self) -> tuple[Node, ...]:
        return (Look(self.columns_sorted, self._questions(), self._shown()),)

    def build(self, *answers: Any) -> Node:
        (((found, columns),),) = answers
        by_question = dict(zip(self._questions(), found, strict=True))
        known = self.known
        targets = self.targets
        if targets is None:
            known = tuple(
                (inside, rows, dtype)
                for (_, inside, *_), (rows, dtype) in zip(found, columns, strict=True)
            )
            targets = tuple(
                Target(c, rank, inside=n)
                for c, (n, _, _) in enumerate(known)
                for rank in dict.fromkeys(self.result.ranks(n))
            )
            targets = tuple(t.narrowed([by_question[Question(t.column)]]) for t in targets)
        else:
            targets = tuple(t.narrowed([by_question[q] for q in t.questions()]) for t in targets)
        if any(t.found is None for t in targets):
            return self.replace(targets=targets, known=known)
        ranked: list[dict[int, Any]] = [{} for _ in known]
        for target in targets:
            ranked[target.column][target.rank] = target.found
        rows = [(*column, values) for column, values in zip(known, ranked, strict=True)]
        identity = token(self.key, "known")
        return FrameHeld((self.result.value(rows),), identity, self.sample, Layout(identity))
