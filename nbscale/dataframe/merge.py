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
from nbscale.dataframe.exchange import TAG, HashExchange, RangeExchange, Restore, Tagged
from nbscale.dataframe.keys import Keys
from nbscale.dataframe.merging import How, merged
from nbscale.dataframe.node import FrameAdaptive, FrameMap, FrameReduce
from nbscale.dataframe.project import narrowed
from nbscale.dataframe.rows import concatenated
from nbscale.dataframe.sampling import SampleKeys, Sizes, outputs_for, quantile_cuts, samples_each
from nbscale.dataframe.sort import Sort
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node

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
        small = sum(size for _, size in sizes) <= small_bytes()
        if self.spec.how == "cross" and not small:
            msg = (
                "a cross merge needs a right side of at most "
                f"{small_bytes():,} bytes (half of config.partition_size)"
            )
            raise NotImplementedError(msg)
        if len(sizes) == 1 or (small if self.broadcast is None else self.broadcast):
            if self.spec.how == "right":
                return merged(gathered(self.left), self.right, self.spec)
            return merged(self.left, gathered(self.right), self.spec)
        return MergeLarge(self.left, self.right, self.spec, self.broadcast)

    def _outer(self, left: Any, right: Any) -> Node:
        by = self.spec.keys(self.left, self.right)
        order = outer_order(by[0].dtypes)
        size = sum(s.nbytes for s in (*left, *right))
        n = outputs_for(max(len(left), len(right)), size, config.get().partition_size)
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
        sizes = [sum(size for _, size in side) for side in answers]
        keeps_left = self.spec.how != "right"
        kept = self.left if keeps_left else self.right
        if self.spec.how == "inner" and self.broadcast is None and sizes[0] <= small_bytes():
            found = merged(gathered(Tagged(self.left)), self.right, self.spec)
            # Few left rows may match very many: cut by where they came from, ties too.
            back: Node = WithoutTag(Sort(found, Keys("columns", (TAG,)), Order((True,))))
        else:
            most = max(len(side) for side in answers)
            n = outputs_for(most, sum(sizes), config.get().partition_size)
            left_by, right_by = self.spec.keys(self.left, self.right)
            left = HashExchange(Tagged(self.left) if keeps_left else self.left, left_by, n)
            right = HashExchange(self.right if keeps_left else Tagged(self.right), right_by, n)
            counts = isinstance(kept.sample.index, pd.RangeIndex)  # type: ignore[attr-defined]
            back = Restore(merged(left, right, self.spec), kept.grid[0], counts)
        return CountWithin(back) if self.spec.numbers_rows else back


class WithoutTag(FrameMap):
    """A frame without the hidden column."""

    input: Node

    row_preserving = True
    carries_index = True

    @property
    def label(self) -> str:
        return "drop tags"

    def kernel(self) -> Kernel:
        return _without_tag


def _without_tag(_index: Index, value: Any) -> Any:
    return value.drop(columns=TAG)


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
