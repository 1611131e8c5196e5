"""How two frames are merged, and the work that one merge becomes.

A side that is small, by bytes, goes whole to every partition of the other. Two large sides meet by
hash of their keys, each row tagged, and the result goes back to the order that pandas gives: that
of the left rows, or of the right ones. An outer merge is in the order of its keys, so there the
sides meet by range.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from nbscale import config
from nbscale.dataframe.cuts import Order
from nbscale.dataframe.exchange import TAG, HashExchange, RangeExchange, Tagged
from nbscale.dataframe.keys import Keys
from nbscale.dataframe.merging import How, merged
from nbscale.dataframe.node import FrameAdaptive, FrameMap, FrameReduce
from nbscale.dataframe.project import narrowed
from nbscale.dataframe.rows import concatenated
from nbscale.dataframe.sampling import (
    LOOKUP,
    SampleKeys,
    Sizes,
    meetings_for,
    quantile_cuts,
    samples_each,
)
from nbscale.dataframe.sort import Sort
from nbscale.dataframe.taking import as_range
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.record import record

__all__ = ["Merge", "gathered"]


class Gather(FrameReduce):
    """All partitions of a small side in one."""

    input: Node

    @property
    def label(self) -> str:
        return "gather the small side"

    def partial(self) -> Kernel:
        return _joined_already

    def combine(self) -> Kernel:
        return _joined

    def final(self) -> Kernel:
        return _joined_already


def _joined_already(_index: Index, value: Any) -> Any:
    return value


def _joined(_index: Index, values: list[Any]) -> Any:
    return concatenated([v for v in values if len(v)] or values[:1])


def gathered(node: Node) -> Node:
    """A small node in one partition."""
    return node if node.grid == (1,) else Gather(node)


def small_bytes() -> int:
    """A side of at most so many bytes goes to every partition of the other: half a partition."""
    return config.get().partition_size // 2


def is_small(sizes: Sequence[tuple[int, float]]) -> bool:
    """Whether a side is small: its bytes, and what each partition needs to look its rows up."""
    return sum(nbytes + LOOKUP * rows for rows, nbytes in sizes) <= small_bytes()


class Merge(FrameAdaptive):
    """Rows of two frames with equal keys, in pandas' order.

    ``broadcast`` says whether the smaller side goes whole to every partition of the other; None
    lets its size decide.
    """

    left: Node
    right: Node
    spec: How
    broadcast: bool | None = None

    @property
    def label(self) -> str:
        return "merge"

    def reference(self, *inputs: Any) -> Any:
        return self.spec.call(*inputs)

    def needs(self, need: Need) -> tuple[Need, ...]:
        return self.spec.needed(need, self.left, self.right)

    def pruned(self, need: Need, inputs: Sequence[Node]) -> Node:
        return self.with_inputs(narrowed(inputs, self.needs(need)))

    def asks(self) -> tuple[Node, ...]:
        if self.spec.how == "outer":
            by = self.spec.keys(self.left, self.right)
            return tuple(
                SampleKeys(side, keys, samples_each(side.grid[0]))
                for side, keys in zip((self.left, self.right), by, strict=True)
            )
        return (Sizes(self.left if self.spec.how == "right" else self.right),)

    def build(self, *answers: Any) -> Node:
        if self.spec.how == "outer":
            return self._outer(*answers)
        (sizes,) = answers
        small = is_small(sizes)
        if len(sizes) == 1 or (small if self.broadcast is None else self.broadcast):
            if self.spec.how == "right":
                return merged(gathered(self.left), self.right, self.spec)
            return merged(self.left, gathered(self.right), self.spec)
        return MergeLarge(self.left, self.right, self.spec, self.broadcast)

    def _outer(self, left: Any, right: Any) -> Node:
        by = self.spec.keys(self.left, self.right)
        order = outer_order(by[0].dtypes)
        size = sum(s.nbytes for s in (*left, *right))
        n = meetings_for(len(left), len(right), size, config.get().partition_size)
        cuts = quantile_cuts((*left, *right), n, order)
        sides = [
            RangeExchange(side, keys, cuts, order)
            for side, keys in zip((self.left, self.right), by, strict=True)
        ]
        return merged(sides[0], sides[1], self.spec)


def outer_order(dtypes: tuple[Any, ...]) -> Order:
    """The order of keys in an outer merge: missing times and categories come first."""
    last = tuple(
        not (isinstance(d, pd.CategoricalDtype) or getattr(d, "kind", "O") in "mM") for d in dtypes
    )
    return Order((True,) * len(dtypes), last)


class MergeLarge(FrameAdaptive):
    """A merge whose one side is large; if the other is, too, both meet by hash."""

    left: Node
    right: Node
    spec: How
    broadcast: bool | None

    @property
    def label(self) -> str:
        return "merge"

    def reference(self, *inputs: Any) -> Any:
        return self.spec.call(*inputs)

    def asks(self) -> tuple[Node, ...]:
        return Sizes(self.left), Sizes(self.right)

    def build(self, *answers: Any) -> Node:
        keeps_left = self.spec.how != "right"
        if self.spec.how == "inner" and self.broadcast is None and is_small(answers[0]):
            found = merged(gathered(Tagged(self.left)), self.right, self.spec)
        elif self.spec.how == "cross":
            found = merged(Tagged(self.left), self.right, self.spec)
        else:
            size = sum(nbytes for side in answers for _, nbytes in side)
            counts = [len(side) for side in answers]
            n = meetings_for(counts[0], counts[1], size, config.get().partition_size)
            left_by, right_by = self.spec.keys(self.left, self.right)
            left = HashExchange(Tagged(self.left) if keeps_left else self.left, left_by, n)
            right = HashExchange(self.right if keeps_left else Tagged(self.right), right_by, n)
            found = merged(left, right, self.spec)
        # Few rows may match very many, so the result is cut by its own size, ties too.
        back = WithoutTag(Sort(found, Keys("columns", (TAG,)), Order((True,))), self._counts())
        return CountWithin(back) if self.spec.numbers_rows else back

    def _counts(self) -> bool:
        """Whether the index is taken from sides that count their rows."""
        sides: list[Any] = [self.right if self.spec.how == "right" else self.left]
        if self.spec.left_index and self.spec.right_index:
            sides = [self.left, self.right]
        return all(isinstance(side.sample.index, pd.RangeIndex) for side in sides)


class WithoutTag(FrameMap):
    """A frame without the hidden column.

    ``counts``: an index that counts evenly is a RangeIndex, as in pandas.
    """

    input: Node
    counts: bool

    row_preserving = True
    carries_index = True

    @property
    def label(self) -> str:
        return "drop tags"

    def kernel(self) -> Kernel:
        return _DropTag(self.counts)


@record
class _DropTag:
    counts: bool

    def __call__(self, _index: Index, value: Any) -> Any:
        plain = value.drop(columns=TAG)
        return as_range(plain) if self.counts else plain


class CountWithin(FrameMap):
    """Rows numbered within their partition."""

    input: Node

    row_preserving = True
    column_local = True

    @property
    def label(self) -> str:
        return "number rows"

    def kernel(self) -> Kernel:
        return _count_within


def _count_within(_index: Index, value: Any) -> Any:
    return value.set_axis(pd.RangeIndex(len(value)))
