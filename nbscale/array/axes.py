"""Axes moved, dropped, added and repeated: views of what is there."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from nbscale.array.broadcast import picks_broadcast, read_broadcast
from nbscale.array.chunks import Cut, shape_of
from nbscale.array.node import ArrayNode, Needs, Picks, picked_cuts
from nbscale.expr.node import Index, Kernel, Map, Read, Reduce
from nbscale.graph.axismap import At, AxisMap, Each

__all__ = ["Axes", "BroadcastTo", "axes_of", "drop_axes"]


class Axes(ArrayNode, Map):
    """Axes in another order: axis i is axis ``order[i]`` of the operand, or new if -1.

    What is not named has length 1 and is dropped.
    """

    operand: ArrayNode
    order: tuple[int, ...]

    def validate(self) -> None:
        old, one = self.operand.cuts, Cut.whole(1)
        self._settle(tuple([old[a] if a >= 0 else one for a in self.order]), self.operand.dtype)

    @property
    def label(self) -> str:
        if len(self.order) == self.operand.ndim:
            return "transpose"
        # To the user it is a part of the reduction.
        return self.operand.label if isinstance(self.operand, Reduce) else "squeeze"

    def slice_needs(self, picks: Picks) -> Needs:
        at = {a: pick for a, pick in zip(self.order, picks, strict=True) if a >= 0}
        return (tuple(at.get(a, (0, 1, 1)) for a in range(self.operand.ndim)),)

    def reads(self) -> tuple[Read, ...]:
        at = {a: i for i, a in enumerate(self.order) if a >= 0}
        grid = self.operand.grid
        axes = tuple(at.get(a, -1) for a in range(len(grid)))
        maps: tuple[AxisMap, ...] = tuple(
            Each(n) if a in at else At(1, n, 0) for a, n in enumerate(grid)
        )
        return (Read(self.operand, axes, maps),)

    def kernel(self) -> Kernel:
        return functools.partial(_reordered, self.operand.ndim, self.order)


def _reordered(ndim: int, order: tuple[int, ...], index: Index, value: Any) -> Any:
    kept = [a for a in order if a >= 0]
    value = value[tuple(slice(None) if a in kept else 0 for a in range(ndim)) or ...]
    ranks = {a: i for i, a in enumerate(sorted(kept))}
    value = np.asarray(value).transpose([ranks[a] for a in kept])
    return value[tuple(slice(None) if a >= 0 else None for a in order) or ...]


def axes_of(node: ArrayNode, order: Sequence[int]) -> ArrayNode:
    """The node with its axes in another order: see `Axes`."""
    order = tuple(order)
    if isinstance(node, Axes):
        inner = node.order
        order = tuple(inner[a] if a >= 0 else -1 for a in order)
        node = node.operand
    return node if order == tuple(range(node.ndim)) else Axes(node, order)


def drop_axes(node: ArrayNode, axes: Sequence[int]) -> ArrayNode:
    """The node without some axes of length 1."""
    return axes_of(node, [a for a in range(node.ndim) if a not in axes])


class BroadcastTo(ArrayNode, Map):
    """The operand repeated along axes where it has length 1, or that it has not."""

    operand: ArrayNode
    into: tuple[Cut, ...]

    def validate(self) -> None:
        self._settle(self.into, self.operand.dtype)

    def slice_needs(self, picks: Picks) -> Needs:
        return (picks_broadcast(self.operand, self.shape, picks),)

    def sliced(self, picks: Picks, inputs: Sequence[Any]) -> ArrayNode:
        return BroadcastTo(inputs[0], picked_cuts(self.cuts, picks))

    def reads(self) -> tuple[Read, ...]:
        return (read_broadcast(self.operand, self.grid, self.shape),)

    def kernel(self) -> Kernel:
        return functools.partial(_broadcast, self.cuts)


def _broadcast(cuts: tuple[Cut, ...], index: Index, value: Any) -> Any:
    return np.broadcast_to(value, shape_of(cuts, index))
