"""Several single values made into one: the series or frame that pandas builds of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nbscale.dataframe.node import FrameMap
from nbscale.expr.node import Index, Kernel, Node
from nbscale.record import record

__all__ = ["Combined", "combined"]


class Combined(FrameMap):
    """``build([value of each part])``, where every part holds one value."""

    parts: tuple[Node, ...]
    build: Any

    @property
    def grid(self) -> tuple[int, ...]:
        return (1,)

    @property
    def label(self) -> str:
        return "combine"

    def kernel(self) -> Kernel:
        return _Build(self.build)


@record
class _Build:
    build: Callable[[list[Any]], Any]

    def __call__(self, index: Index, *values: Any) -> Any:
        del index
        return self.build(list(values))


def combined(parts: Sequence[Node], build: Callable[[list[Any]], Any]) -> Node:
    """The node of a value built of several; ``build`` must be picklable."""
    return Combined(tuple(parts), build)
