"""Values meet the rows a fixed distance away: ``shift`` and ``diff``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nbscale.dataframe.cumulate import columns_in, rebuilt
from nbscale.dataframe.exchange import Joined
from nbscale.dataframe.node import Frame, FrameAdaptive, FrameExchange, FrameMap, FrameScan
from nbscale.dataframe.project import narrowed
from nbscale.dataframe.recut import bounds_of
from nbscale.dataframe.rows import concatenated
from nbscale.dataframe.sampling import Sizes
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node, Read
from nbscale.graph.axismap import AxisMap, Each, Ranges
from nbscale.plan.layout import Layout
from nbscale.record import record

__all__ = ["FromFar", "FromNear", "FromNearBack", "shifted"]

_MOST_NEAR = 1000
"""Rows that all partitions together may hand over in one scan, beside one row each."""


class FromNear(FrameScan):
    """``shift`` or ``diff`` by a few rows: every partition gets the last rows before it."""

    input: Node
    method: str
    periods: int
    options: tuple[tuple[str, Any], ...]

    column_local = True

    @property
    def label(self) -> str:
        return self.method

    def summarise(self) -> Kernel:
        return _NearRows(self.periods)

    def fold(self) -> Kernel:
        return _Nearest(self.periods)

    def apply(self) -> Kernel:
        return _Meet(self.method, self.periods, self.options)

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (Need(need.columns, need.index, True),)


class FromNearBack(FromNear):
    """The same by a negative number of rows: the first rows behind."""

    backward = True


@record
class _NearRows:
    periods: int

    def __call__(self, _index: Index, value: Any) -> Any:
        plain = value.reset_index(drop=True)
        if self.periods < 0:
            return plain[: -self.periods]
        return plain[max(0, len(plain) - self.periods) :]


@record
class _Nearest:
    """For every partition the last ``periods`` rows before it, or the first behind it."""

    periods: int

    def __call__(self, _index: Index, summaries: list[Any]) -> list[Any]:
        back = self.periods < 0
        near = summaries[0][:0]
        found = []
        for rows in reversed(summaries) if back else summaries:
            found.append(near)
            near = concatenated([rows, near] if back else [near, rows])
            k = abs(self.periods)
            near = near[:k] if back else near[max(0, len(near) - k) :]
        return found[::-1] if back else found


@record
class _Meet:
    """pandas' own method on the partition with the near rows put before or behind it."""

    method: str
    periods: int
    options: tuple[tuple[str, Any], ...]

    def __call__(self, _index: Index, value: Any, near: Any) -> Any:
        plain = value.reset_index(drop=True)
        back = self.periods < 0
        whole = concatenated([plain, near] if back else [near, plain])
        done = getattr(whole.reset_index(drop=True), self.method)(
            self.periods, **dict(self.options)
        )
        if len(near):
            done = done[: len(value)] if back else done[len(near) :]
        return done.set_axis(value.index)


class FromFar(FrameAdaptive):
    """``shift`` or ``diff`` by many rows: rows move to where they are needed, by position."""

    input: Node
    method: str
    periods: int
    options: tuple[tuple[str, Any], ...]

    row_preserving = True
    column_local = True

    @property
    def label(self) -> str:
        return self.method

    @property
    def grid(self) -> tuple[int, ...]:
        return self.input.grid

    def reference(self, *inputs: Any) -> Any:
        return getattr(inputs[0], self.method)(self.periods, **dict(self.options))

    def _make_layout(self) -> Layout:
        return self.input.layout  # type: ignore[attr-defined]

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (Need(need.columns, need.index, True),)

    def pruned(self, need: Need, inputs: Sequence[Node]) -> Node:
        return self.with_inputs(narrowed(inputs, self.needs(need)))

    def asks(self) -> tuple[Node, ...]:
        return (Sizes(self.input),)

    def build(self, *answers: Any) -> Node:
        (sizes,) = answers
        bounds = bounds_of([rows for rows, _ in sizes])
        moved = _Moved(self.input, bounds, self.periods)
        return _MeetMoved(self.input, moved, self.method, self.periods, self.options)


class _Moved(FrameExchange):
    """For each partition the rows a distance before it, as far as there are any."""

    input: Node
    bounds: tuple[int, ...]
    periods: int

    @property
    def grid(self) -> tuple[int, ...]:
        return self.input.grid

    @property
    def label(self) -> str:
        return "move rows"

    def targets(self) -> tuple[AxisMap, ...]:
        bounds = np.asarray(self.bounds)
        total = bounds[-1]
        first = np.clip(bounds[:-1] - self.periods, 0, total)
        last = np.clip(bounds[1:] - self.periods, 0, total)
        full = last > first
        lo = np.where(full, np.searchsorted(bounds, first, side="right") - 1, 0)
        hi = np.where(full, np.searchsorted(bounds, last, side="left"), 0)
        return (Ranges(self.input.grid[0], lo, hi),)

    def split(self) -> Kernel:
        return _Pieces(self.bounds, self.periods)

    def merge(self) -> Kernel:
        return Joined(self.schema.reset_index(drop=True))

    def _make_sample(self) -> Any:
        sample = self.input.sample  # type: ignore[attr-defined]
        return sample.reset_index(drop=True)


@record
class _Pieces:
    bounds: tuple[int, ...]
    periods: int

    def __call__(self, index: Index, value: Any) -> dict[int, Any]:
        bounds = np.asarray(self.bounds)
        begin, end = self.bounds[index[0]], self.bounds[index[0] + 1]
        first, last = bounds[:-1] - self.periods, bounds[1:] - self.periods
        plain = value.reset_index(drop=True)
        reached = np.flatnonzero((first <= end) & (last >= begin))
        return {
            int(j): plain[max(0, int(first[j]) - begin) : max(0, int(last[j]) - begin)]
            for j in reached
        }


class _MeetMoved(FrameMap):
    """Each partition with the rows moved to it."""

    input: Node
    moved: Node
    method: str
    periods: int
    options: tuple[tuple[str, Any], ...]

    row_preserving = True
    column_local = True

    @property
    def label(self) -> str:
        return self.method

    def kernel(self) -> Kernel:
        return _MeetFar(self.method, self.periods, self.options)

    def reads(self) -> tuple[Read, ...]:
        each = (Each(self.input.grid[0]),)
        return (Read(self.input, (0,), each), Read(self.moved, (0,), each))

    def _make_sample(self) -> Any:
        whole: Frame = self.input  # type: ignore[assignment]
        return getattr(whole.sample, self.method)(self.periods, **dict(self.options))


@record
class _MeetFar:
    """As far apart as the partition is long, once the moved rows stand before it."""

    method: str
    periods: int
    options: tuple[tuple[str, Any], ...]

    def __call__(self, _index: Index, value: Any, moved: Any) -> Any:
        if not len(value):
            return getattr(value, self.method)(self.periods, **dict(self.options))
        pairs = zip(columns_in(value), columns_in(moved), strict=True)
        # Column by column: the rows moved and the rows themselves stand one behind the other
        # for one column at a time.
        return rebuilt(value, [self._met(column, far) for column, far in pairs])

    def _met(self, column: pd.Series, far: pd.Series) -> pd.Series:
        rows, back = len(column), self.periods < 0
        parts = [column, far] if back else [far, column]
        whole = pd.concat([part for part in parts if len(part)], ignore_index=True)
        done = getattr(whole, self.method)(-rows if back else rows, **dict(self.options))
        done = done[:rows] if back else done[len(done) - rows :]
        # A copy, or the part that is not used stays in memory behind the slice.
        return done.copy().set_axis(column.index).rename(column.name)


def shifted(node: Any, method: str, periods: int, options: Mapping[str, Any]) -> Node:
    """The node's values with those ``periods`` rows before them, as pandas' method has them."""
    plain = tuple(options.items())
    try:
        partitions = node.grid[0]
    except LookupError:
        partitions = _MOST_NEAR
    if abs(periods) > 1 and abs(periods) * partitions > _MOST_NEAR:
        return FromFar(node, method, periods, plain)
    near = FromNearBack if periods < 0 else FromNear
    return near(node, method, periods, plain)
