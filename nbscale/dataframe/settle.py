"""What adaptive nodes become, with the sample and layout that their readers were checked with."""

from __future__ import annotations

from typing import Any

import numpy as np

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
    """As many rows of a sample as another has, with its labels: real rows, again and again."""
    if not len(sample) or not len(like):
        return sample[:0]
    return sample.take(np.resize(np.arange(len(sample)), len(like))).set_axis(like.index)
