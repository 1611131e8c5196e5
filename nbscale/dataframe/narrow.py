"""Values by rank: intervals that hold them, narrowed by questions to sorted partitions.

Partitions say how many of their values lie below an interval and inside it, and show every so
many-th of those inside. From the shown values follow bounds that hold for certain, about a
hundredth as wide. When few enough values are inside, they are fetched.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from nbscale.dataframe.node import FrameMap, FrameReduce
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.record import record

__all__ = [
    "SHOWN",
    "Answer",
    "Look",
    "Question",
    "SortedColumn",
    "SortedColumns",
    "SortedPart",
    "Target",
]

_FETCH = 1 << 15
"""So many values are fetched rather than narrowed further."""
SHOWN = 256
"""Values that a partition shows of an interval, fewer if there are very many partitions."""


# Sorted partitions --------------------------------------------------------------------------


@record
class SortedColumn:
    """The values of a column that are there, ascending; dates as integers."""

    values: np.ndarray
    rows: int
    dtype: Any


@record
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


@record
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


@record
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


@record
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
