"""Broadcasting: which elements, chunks and cuts of an operand go with those of the answer."""

from __future__ import annotations

from collections.abc import Iterable

from nbscale.array.chunks import Cut
from nbscale.array.node import (
    ArrayNode,
    Picks,
)
from nbscale.array.rechunk import recut
from nbscale.expr.node import Read
from nbscale.graph.axismap import At, AxisMap, Each

__all__ = ["aligned", "broadcast", "picks_broadcast", "read_broadcast"]


def broadcast(nodes: Iterable[ArrayNode], name: str) -> tuple[Cut, ...]:
    """Cuts of what the nodes broadcast to: on each axis those of the largest node that is long.

    Raises
    ------
    ValueError
        NumPy's, if the shapes do not go together.
    """
    known = list(nodes)
    first = known[0]
    if all(node.cuts == first.cuts for node in known[1:]):
        return first.cuts
    ndim = max(node.ndim for node in known)
    cuts = [Cut.whole(1)] * ndim
    for node in sorted(known, key=lambda node: node.nbytes() * len(node.grid), reverse=True):
        for axis, cut in enumerate(node.cuts, ndim - node.ndim):
            if cuts[axis].length == 1:
                cuts[axis] = cut
            elif cut.length not in (1, cuts[axis].length):
                shapes = " ".join(str(node.shape).replace(" ", "") for node in known)
                raise ValueError(f"operands could not be broadcast together with shapes {shapes} ")
    return tuple(cuts)


def aligned(node: ArrayNode, cuts: tuple[Cut, ...]) -> ArrayNode:
    """The node cut as what it is broadcast to."""
    skip = len(cuts) - node.ndim
    return recut(
        node,
        [own if own.length == 1 else cuts[axis] for axis, own in enumerate(node.cuts, skip)],
    )


def picks_broadcast(node: ArrayNode, shape: tuple[int, ...], picks: Picks) -> Picks:
    """What a slice of the broadcast array reads of an operand."""
    skip = len(shape) - node.ndim
    return tuple(
        (0, 1, 1) if n == 1 else pick for n, pick in zip(node.shape, picks[skip:], strict=True)
    )


def read_broadcast(node: ArrayNode, grid: tuple[int, ...], shape: tuple[int, ...]) -> Read:
    """Read an operand at the coordinates that broadcasting gives."""
    skip = len(grid) - node.ndim
    axes = tuple(range(skip, len(grid)))
    maps: tuple[AxisMap, ...] = tuple(
        At(grid[axis], 1, 0) if n == 1 and grid[axis] != 1 else Each(grid[axis])
        for axis, n in zip(axes, node.shape, strict=True)
    )
    return Read(node, axes, maps)
