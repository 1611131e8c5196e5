"""Two sides on the rows of the left and, behind them, those that only the right has.

That is how columns of different rows are put side by side: labels in the order in which they first
appear. They must not repeat then. Times are sorted instead, as pandas has it.
"""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd

from nbscale.dataframe.cumulate import columns_in, rebuilt
from nbscale.dataframe.digest import (
    Compares,
    cut_like,
    index_keys,
    meetings_to_look_up,
    whole_digest,
)
from nbscale.dataframe.exchange import HashExchange, Restore, Tagged
from nbscale.dataframe.keys import Keys
from nbscale.dataframe.lookup import Untagged, looked_up
from nbscale.dataframe.node import FrameMap
from nbscale.dataframe.outer import IndexAlone, Outer
from nbscale.dataframe.promote import dtypes_with_missing
from nbscale.dataframe.settle import resized, settled
from nbscale.dataframe.stacked import Concat
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.expr.token import token
from nbscale.plan.layout import Layout
from nbscale.record import record

__all__ = ["Appearing"]


class Appearing(Compares):
    """One of two sides on the labels of both, in the order in which they appear.

    ``differ`` says that the indexes are known not to be equal, and what they share is asked.
    """

    left: Node
    right: Node
    side: Literal[0, 1]
    differ: bool = False

    @property
    def label(self) -> str:
        return "align"

    def reference(self, *inputs: Any) -> Any:
        left, right = inputs
        if not len(right):
            left = left[:0]
        return left if self.side == 0 else resized(right, left)

    def needs(self, need: Need) -> tuple[Need, ...]:
        both = Need(None, True, True)
        return both, both

    def _make_layout(self) -> Layout:
        left, right = self.left.layout, self.right.layout  # type: ignore[attr-defined]
        return Layout(token("appear", left.rows, right.rows))

    def asks(self) -> tuple[Node, ...]:
        if not self.differ:
            return super().asks()
        by, n = index_keys(self.left, self.right), max(self.left.grid[0], self.right.grid[0])
        one, two = (HashExchange(IndexAlone(node), by, n) for node in (self.left, self.right))
        return (*super().asks(), _Overlap(one, two, by))

    def build(self, *answers: Any) -> Node:
        left, right, *overlap = answers
        if whole_digest(left) == whole_digest(right):
            return settled(self, self.left if self.side == 0 else cut_like(self.right, right, left))
        if not overlap:
            return self.replace(differ=True)
        repeats, only_left, only_right = (sum(counts) for counts in zip(*overlap[0], strict=True))
        if repeats:
            msg = (
                "cannot reindex on an axis with duplicate labels: columns of different rows are "
                "put side by side by label, and some labels repeat; merge them instead"
            )
            frames = "frame" in (self.left.kind, self.right.kind)  # type: ignore[attr-defined]
            raise pd.errors.InvalidIndexError(msg) if frames else ValueError(msg)
        by = index_keys(self.left, self.right)
        if by.dtypes[0].kind == "M":
            return Outer(self.left, self.right, self.side)
        n = meetings_to_look_up(left, right)
        return settled(self, self._built(by, n, only_left > 0, only_right > 0))

    def _built(self, by: Keys, n: int, only_left: bool, only_right: bool) -> Node:
        mine: Any = (self.left, self.right)[self.side]
        extra = _only_right(self.left, self.right, by, n)
        lacks = only_right if self.side == 0 else only_left
        dtypes = dtypes_with_missing(mine.schema) if lacks else None
        if self.side == 0:
            first: Any = self.left
            rest: Node = _Lacking(extra, _Columns(token(mine.key), mine.schema))
        else:
            first = looked_up(self.left, self.right, by, n, strict=False)
            rest = extra if mine.kind == "frame" else Untagged(extra, mine.sample.name)
        chosen = (first, rest) if only_right else (first,)
        parts = tuple(_WithDtypes(part, dtypes) if dtypes else part for part in chosen)
        names = mine.columns if mine.kind == "frame" else None
        return _Relabelled(Concat.of(parts, "outer", names), self._name())

    def _name(self) -> tuple[Any, ...]:
        left, right = (s.sample.index.names for s in (self.left, self.right))  # type: ignore[attr-defined]
        return tuple(a if a == b else None for a, b in zip(left, right, strict=True))


class _Overlap(FrameMap):
    """For labels that meet: how many repeat on a side, are left only, are right only."""

    left: Node
    right: Node
    by: Keys

    @property
    def label(self) -> str:
        return "compare labels"

    def kernel(self) -> Kernel:
        return _CountOverlap(self.by)


@record
class _CountOverlap:
    by: Keys

    def __call__(self, _index: Index, left: Any, right: Any) -> tuple[int, int, int]:
        one, other = (_labels(self.by, side) for side in (left, right))
        repeats = int(one.duplicated().sum()) + int(other.duplicated().sum())
        return repeats, int((~one.isin(other)).sum()), int((~other.isin(one)).sum())


def _labels(by: Keys, value: Any) -> pd.Index:
    arrays = by.arrays(value)
    return pd.Index(arrays[0]) if len(arrays) == 1 else pd.MultiIndex.from_arrays(arrays)


def _only_right(left: Any, right: Any, by: Keys, n: int) -> Node:
    """The rows of the right whose labels the left lacks, in their order, as a frame."""
    there = HashExchange(Tagged(_AsFrame(right)), by, n)
    asked = HashExchange(IndexAlone(left), by, n)
    return Restore(_Lack(there, asked, by), right.grid[0])


class _AsFrame(FrameMap):
    """A series as a frame of one column."""

    input: Node

    @property
    def label(self) -> str:
        return "frame"

    def kernel(self) -> Kernel:
        return _as_frame


def _as_frame(_index: Index, value: Any) -> Any:
    return value.to_frame() if isinstance(value, pd.Series) else value


class _Lack(FrameMap):
    """The rows whose labels another side lacks."""

    input: Node
    other: Node
    by: Keys

    @property
    def label(self) -> str:
        return "rows that are new"

    def kernel(self) -> Kernel:
        return _KeepNew(self.by)


@record
class _KeepNew:
    by: Keys

    def __call__(self, _index: Index, value: Any, other: Any) -> Any:
        return value[~_labels(self.by, value).isin(_labels(self.by, other))]


@record
class _Columns:
    """A schema as a parameter of a node."""

    key: str
    schema: Any


class _Lacking(FrameMap):
    """Rows with the labels of the input, every value of them missing."""

    input: Node
    like: _Columns

    @property
    def label(self) -> str:
        return "missing rows"

    def kernel(self) -> Kernel:
        return _AllMissing(self.like.schema.reset_index(drop=True))


@record
class _AllMissing:
    schema: Any

    def __call__(self, _index: Index, value: Any) -> Any:
        return self.schema.reindex(pd.RangeIndex(len(value))).set_axis(value.index)


class _WithDtypes(FrameMap):
    """Columns in given dtypes, by position."""

    input: Node
    dtypes: tuple[Any, ...]

    @property
    def label(self) -> str:
        return "dtypes"

    def kernel(self) -> Kernel:
        return _Cast(self.dtypes)


@record
class _Cast:
    dtypes: tuple[Any, ...]

    def __call__(self, _index: Index, value: Any) -> Any:
        pairs = zip(columns_in(value), self.dtypes, strict=True)
        return rebuilt(value, [c if c.dtype == dtype else c.astype(dtype) for c, dtype in pairs])


class _Relabelled(FrameMap):
    """An index under other names."""

    input: Node
    names: tuple[Any, ...]

    @property
    def label(self) -> str:
        return "names of the index"

    def kernel(self) -> Kernel:
        return _SetNames(self.names)


@record
class _SetNames:
    names: tuple[Any, ...]

    def __call__(self, _index: Index, value: Any) -> Any:
        return value.set_axis(value.index.set_names(self.names))
