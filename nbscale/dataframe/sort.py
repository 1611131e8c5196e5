"""All rows in the order of keys: sample the keys, exchange rows by range, sort each range.

The sort is always stable: where pandas" default leaves the order of ties open, for a single key,
here it is that of ``kind="stable"``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from nbscale import config
from nbscale.dataframe.cuts import Order
from nbscale.dataframe.exchange import RangeExchange, as_range, need_of_keys
from nbscale.dataframe.keys import Keys
from nbscale.dataframe.node import FrameAdaptive, FrameMap
from nbscale.dataframe.project import narrowed
from nbscale.dataframe.sampling import SampleKeys, outputs_for, quantile_cuts, samples_each
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.expr.token import token
from nbscale.plan.layout import ByRange, Layout
from nbscale.record import record

__all__ = ["Sort", "SortEach"]


class SortEach(FrameMap):
    """Every partition sorted by itself."""

    input: Node
    by: Keys
    order: Order

    column_local = False

    @property
    def label(self) -> str:
        return "sort"

    def kernel(self) -> Kernel:
        index = getattr(self.input.sample, "index", None)  # type: ignore[attr-defined]
        return _SortKernel(self.by, self.order, isinstance(index, pd.RangeIndex))

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (need_of_keys(need, self.by, self.input),)

    def _make_layout(self) -> Layout:
        plain = self.by.of == "columns" and all(self.order.ascending)
        below: Layout = self.input.layout  # type: ignore[attr-defined]
        return Layout(
            token("sorted", below.rows, self.by, self.order),
            split=ByRange(self.by.names) if isinstance(below.split, ByRange) else below.split,
            sorted_by=self.by.names if plain else (),
            lengths=below.lengths,
        )


@record
class _SortKernel:
    by: Keys
    order: Order
    counts: bool

    def __call__(self, _index: Index, value: Any) -> Any:
        ascending: Any = list(self.order.ascending)
        missing = "last" if self.order.missing_last else "first"
        common: dict[str, Any] = {"na_position": missing, "kind": "stable"}
        if self.by.of == "values":
            done = value.sort_values(ascending=ascending[0], **common)
        elif self.by.of == "columns":
            done = value.sort_values(list(self.by.names), ascending=ascending, **common)
        else:
            levels = list(self.by.names)
            single = value.index.nlevels == 1
            done = value.sort_index(
                level=None if single else levels,
                ascending=ascending[0] if single else ascending,
                **common,
            )
        # pandas gives a RangeIndex where the whole counts evenly; parts are joined to one again.
        return as_range(done) if self.counts else done


class Sort(FrameAdaptive):
    """All rows in the order of their keys; ties keep the order they had."""

    input: Node
    by: Keys
    order: Order

    @property
    def label(self) -> str:
        return "sort"

    def reference(self, *inputs: Any) -> Any:
        return SortEach(self.input, self.by, self.order).kernel()((0,), *inputs)

    def _make_layout(self) -> Layout:
        below: Layout = self.input.layout  # type: ignore[attr-defined]
        return Layout(token("sorted", below.rows, self.by, self.order))

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (need_of_keys(need, self.by, self.input),)

    def pruned(self, need: Need, inputs: Sequence[Node]) -> Node:
        return self.with_inputs(narrowed(inputs, self.needs(need)))

    def asks(self) -> tuple[Node, ...]:
        return (SampleKeys(self.input, self.by, samples_each(self.input.grid[0]), True),)

    def build(self, *answers: Any) -> Node:
        (samples,) = answers
        size = sum(s.nbytes for s in samples)
        n = outputs_for(len(samples), size, config.get().partition_size)
        if len(samples) == 1:
            return SortEach(self.input, self.by, self.order)
        cuts = quantile_cuts(samples, n, self.order)
        moved = RangeExchange(self.input, self.by, cuts, self.order, True)
        return SortEach(moved, self.by, self.order)
