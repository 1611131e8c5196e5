"""All rows in the order of keys: sample the keys, exchange rows by range, sort each range.

The sort is always stable: where pandas" default leaves the order of ties open, for a single key,
here it is that of ``kind="stable"``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nbscale import config
from nbscale.dataframe.cuts import Order
from nbscale.dataframe.exchange import RangeExchange, need_of_keys
from nbscale.dataframe.keys import Keys
from nbscale.dataframe.node import FrameAdaptive, FrameMap
from nbscale.dataframe.project import narrowed
from nbscale.dataframe.sampling import SampleKeys, outputs_for, quantile_cuts, samples_each
from nbscale.dataframe.taking import as_range, taken
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.expr.token import token
from nbscale.plan.layout import ByRange, Layout
from nbscale.record import record

__all__ = ["Sort", "SortEach", "SortRanges"]


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
        return _SortKernel(self.by, self.order, _counts(self.input))

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


class SortRanges(RangeExchange):
    """Rows by range of their keys, equal ones cut, too, and every range sorted."""

    @property
    def label(self) -> str:
        return "sort"

    def merge(self) -> Kernel:
        return _SortPieces(_SortKernel(self.by, self.order, _counts(self.input)), self.schema)

    def reference(self, *inputs: Any) -> Any:
        return _SortKernel(self.by, self.order, _counts(self.input))((0,), *inputs)

    def _make_layout(self) -> Layout:
        plain = self.by.of == "columns" and all(self.order.ascending)
        return Layout(
            self.key, split=ByRange(self.by.names), sorted_by=self.by.names if plain else ()
        )


def _counts(node: Any) -> bool:
    return isinstance(getattr(node.sample, "index", None), pd.RangeIndex)


@record
class _SortPieces:
    sort: _SortKernel
    empty: Any

    def __call__(self, index: Index, pieces: list[Any]) -> Any:
        full = [piece for piece in pieces if len(piece)] or pieces[:1] or [self.empty]
        return self.sort(index, *full)


@record
class _SortKernel:
    by: Keys
    order: Order
    counts: bool

    def __call__(self, _index: Index, *pieces: Any) -> Any:
        where = self._positions(pieces)
        if len(pieces) == 1 and (where == np.arange(len(where))).all():
            return pieces[0]
        done = taken(pieces, where)
        # pandas gives a RangeIndex where the whole counts evenly; parts are joined to one again.
        return as_range(done) if self.counts else done

    def _positions(self, pieces: Sequence[Any]) -> Any:
        """Pandas' own sort, of the keys alone."""
        columns = zip(*(self.by.arrays(piece) for piece in pieces), strict=True)
        keys = [
            pd.concat([pd.Series(a, copy=False) for a in arrays], ignore_index=True)
            for arrays in columns
        ]
        missing: Any = "last" if self.order.missing_last else "first"
        ascending: Any = list(self.order.ascending)
        if len(keys) == 1:
            done: Any = keys[0].sort_values(
                ascending=ascending[0], na_position=missing, kind="stable"
            )
        else:
            frame = pd.DataFrame(dict(enumerate(keys)), copy=False)
            done = frame.sort_values(
                list(frame), ascending=ascending, na_position=missing, kind="stable"
            )
        return done.index.to_numpy()


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
        target = config.get().partition_size
        # Never larger partitions than asked for: a merge may have made few large ones.
        n = max(outputs_for(len(samples), size, target), math.ceil(size / target))
        if n == len(samples) == 1:
            return SortEach(self.input, self.by, self.order)
        cuts = quantile_cuts(samples, n, self.order)
        return SortRanges(self.input, self.by, cuts, self.order, True)
