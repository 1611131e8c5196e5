"""What adaptive nodes become, with the sample and layout that their readers were checked with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nbscale.dataframe.node import FrameAdaptive, FrameMap
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.plan.layout import Layout
from nbscale.record import record

__all__ = ["Settled", "resized", "settled"]


@record
class Example:
    """A sample as a parameter of a node, known by the key of the node it belongs to."""

    key: str
    rows: Any


class Settled(FrameMap):
    """What an adaptive node became, with the sample and the layout that node had.

    Those who read it were made, and checked, with that sample: they must find it again.
    """

    input: Node
    example: Example
    lies: Layout

    row_preserving = True
    column_local = True
    carries_index = True

    @property
    def label(self) -> str:
        return self.input.label

    def kernel(self) -> Kernel:
        return _itself

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (need,)

    def _make_sample(self) -> Any:
        return self.example.rows

    def _make_layout(self) -> Layout:
        return self.lies


def _itself(_index: Index, value: Any) -> Any:
    return value


def settled(adaptive: FrameAdaptive, node: Node) -> Node:
    """The node that an adaptive one became, in its place."""
    return Settled(node, Example(adaptive.key, adaptive.sample), adaptive.layout)


def resized(sample: Any, like: Any) -> Any:
    """As many rows of a sample as another has, with its labels: real rows, again and again.

    Where there is none, such as behind a filter, rows of zeros or missing values in its dtypes.
    """
    if not len(like):
        return sample[:0]
    if not len(sample):
        return _made_up(sample.reset_index(drop=True), len(like)).set_axis(like.index)
    return sample.take(np.resize(np.arange(len(sample)), len(like))).set_axis(like.index)


def _made_up(empty: Any, rows: int) -> Any:
    made = empty.reindex(range(rows))
    if isinstance(empty, pd.Series):
        return made if made.dtype == empty.dtype else made.fillna(0).astype(empty.dtype)
    for i, dtype in enumerate(empty.dtypes):
        if made.dtypes.iloc[i] != dtype:
            made.isetitem(i, made.iloc[:, i].fillna(0).astype(dtype))
    return made
