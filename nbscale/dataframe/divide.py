"""The same rows between given labels: ``divisions``."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nbscale.dataframe.cuts import Cuts, Order, destinations
from nbscale.dataframe.exchange import Joined, Pieces, need_of_keys, pieces_by
from nbscale.dataframe.keys import Keys
from nbscale.dataframe.node import FrameExchange
from nbscale.dataframe.project import narrowed
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.graph.axismap import All, AxisMap, Ranges
from nbscale.plan.layout import Layout
from nbscale.record import record

__all__ = ["DivideBy", "divided"]


class DivideBy(FrameExchange):
    """Rows by their labels between given divisions, in the order they had."""

    input: Node
    divisions: tuple[Any, ...]
    force: bool
    is_sorted: bool

    @property
    def grid(self) -> tuple[int, ...]:
        return (len(self.divisions) - 1,)

    @property
    def label(self) -> str:
        return "repartition by divisions"

    def targets(self) -> tuple[AxisMap, ...]:
        n = self.input.grid[0]
        known = self.input.layout.divisions if self.is_sorted else None  # type: ignore[attr-defined]
        if known is None:
            return (All(self.grid[0], n),)
        lows, highs = list(known[:-1]), list(known[1:])
        lo, hi = [], []
        for j, (a, b) in enumerate(itertools.pairwise(self.divisions)):
            first, last = j == 0, j == self.grid[0] - 1
            overlaps = [
                i
                for i, (low, high) in enumerate(zip(lows, highs, strict=True))
                if (last or low < b) and (first or high >= a)
            ]
            lo.append(overlaps[0] if overlaps else 0)
            hi.append(overlaps[-1] + 1 if overlaps else 0)
        return (Ranges(n, np.asarray(lo), np.asarray(hi)),)

    def split(self) -> Kernel:
        dtype = self.schema.index.dtype
        inner = pd.Index(list(self.divisions[1:-1]), dtype=dtype).array
        return _SplitByLabel(Cuts.of([inner]), self.divisions, self.force)

    def merge(self) -> Kernel:
        return Joined(self.schema)

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (need_of_keys(need, Keys("index", (0,)), self.input),)

    def pruned(self, need: Need, inputs: Sequence[Node]) -> Node:
        return self.with_inputs(narrowed(inputs, self.needs(need)))

    def _make_layout(self) -> Layout:
        return Layout(self.key, divisions=self.divisions)


@record
class _SplitByLabel:
    cuts: Cuts
    divisions: tuple[Any, ...]
    force: bool

    def __call__(self, _index: Index, value: Any) -> Pieces:
        labels = value.index
        if not self.force and len(labels):
            low, high = labels.min(), labels.max()
            if low < self.divisions[0] or high > self.divisions[-1]:
                msg = (
                    f"labels from {low!r} to {high!r} do not lie within the divisions "
                    f"{self.divisions[0]!r} to {self.divisions[-1]!r}; give wider divisions, or "
                    "force=True to put what lies outside into the outermost partitions"
                )
                raise ValueError(msg)
        return pieces_by(
            value,
            lambda: destinations([labels.array], self.cuts, Order((True,))),
            len(self.divisions) - 1,
        )


def divided(node: Any, divisions: tuple[Any, ...], *, force: bool, any_order: bool = False) -> Node:
    """The node with partitions bounded by labels.

    Parameters
    ----------
    node
        A frame or series.
    divisions
        At least two labels, ascending.
    force
        Let the outermost partitions take what lies outside.
    any_order
        Rows need not be in the order of their labels.

    Raises
    ------
    ValueError
        If the divisions do not ascend, or the index is not known to be sorted.
    """
    ascending = all(a < b for a, b in itertools.pairwise(divisions[:-1]))
    if len(divisions) < 2 or not ascending or divisions[-2] > divisions[-1]:
        msg = f"divisions must be at least two labels in ascending order, not {divisions!r}"
        raise ValueError(msg)
    if not any_order and node.layout.divisions is None:
        msg = (
            "the index is not known to be sorted, so its partitions cannot be bounded by "
            "divisions; use set_index(..., divisions=...), or sort=True in from_pandas"
        )
        raise ValueError(msg)
    return DivideBy(node, divisions, force, not any_order)
