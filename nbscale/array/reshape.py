"""``reshape``: groups of axes merged and split, moving data only where chunks are no runs of them."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nbscale.array.chunks import Cut, shape_of
from nbscale.array.create import filled
from nbscale.array.node import ArrayNode
from nbscale.array.rechunk import recut
from nbscale.expr.node import Index, Kernel, Map, Read
from nbscale.graph.axismap import At, AxisMap, Each, Ranges

if TYPE_CHECKING:
    pass
from nbscale.array.axes import axes_of, drop_axes

__all__ = ["Merge", "Split", "new_shape", "reshaped"]


class Merge(ArrayNode, Map):
    """Groups of axes made one each, where every chunk is a run of the flattened group.

    In a group the axes in front are cut into ones, one is cut somehow, and those behind are whole.
    """

    operand: ArrayNode
    groups: tuple[int, ...]  # how many axes of the operand each axis is made of

    def validate(self) -> None:
        cuts, start = [], 0
        for n in self.groups:
            cuts.append(_flattened(self.operand.cuts[start : start + n]))
            start += n
        self._settle(tuple(cuts), self.operand.dtype)

    @property
    def label(self) -> str:
        return "reshape"

    def reads(self) -> tuple[Read, ...]:
        axes: list[int] = []
        maps: list[AxisMap] = []
        for axis, n in enumerate(self.groups):
            grid = self.operand.grid[len(axes) : len(axes) + n]
            total = math.prod(grid)
            inner = total
            for m in grid:
                inner //= m
                axes.append(axis)
                if m == total:
                    maps.append(Each(m))
                elif m == 1:
                    maps.append(At(total, 1, 0))
                else:
                    at = np.arange(total, dtype=np.int64) // inner % m
                    maps.append(Ranges(m, at, at + 1))
        return (Read(self.operand, tuple(axes), tuple(maps)),)

    def kernel(self) -> Kernel:
        return functools.partial(_reshaped, self.cuts)


class Split(ArrayNode, Map):
    """Each axis made several, the first of which is cut and the others whole."""

    operand: ArrayNode
    groups: tuple[tuple[int, ...], ...]  # the lengths each axis of the operand is made of

    def validate(self) -> None:
        cuts: list[Cut] = []
        for cut, lengths in zip(self.operand.cuts, self.groups, strict=True):
            if len(lengths) == 1:
                cuts.append(cut)
                continue
            rest = math.prod(lengths[1:])
            cuts.append(Cut.of(np.diff(cut.bounds) // rest))
            cuts.extend(Cut.whole(n) for n in lengths[1:])
        self._settle(tuple(cuts), self.operand.dtype)

    @property
    def label(self) -> str:
        return "reshape"

    def reads(self) -> tuple[Read, ...]:
        axes, at = [], 0
        for lengths in self.groups:
            axes.append(at)
            at += len(lengths)
        return (Read(self.operand, tuple(axes), tuple(map(Each, self.operand.grid))),)

    def kernel(self) -> Kernel:
        return functools.partial(_reshaped, self.cuts)


def _reshaped(cuts: tuple[Cut, ...], index: Index, value: Any) -> Any:
    return value.reshape(shape_of(cuts, index))[...]


def _flattened(cuts: Sequence[Cut]) -> Cut:
    """The cut of the flattened group."""
    at = next((a for a, cut in enumerate(cuts) if cut.n != cut.length), len(cuts) - 1)
    rest = math.prod(cut.length for cut in cuts[at + 1 :])
    before = math.prod(cut.length for cut in cuts[:at])
    if before == 1:
        one = cuts[at]
        return Cut.of(np.diff(one.bounds) * rest) if one.n > 1 else Cut.whole(one.length * rest)
    return Cut.of(np.tile(np.diff(cuts[at].bounds) * rest, before))


def _contiguous(cuts: Sequence[Cut]) -> list[Cut]:
    """Cuts of a group with chunks that are runs of it; the same cuts if they are already."""
    at = next((a for a, cut in enumerate(cuts) if cut.n != cut.length), len(cuts) - 1)
    if all(cut.n == 1 for cut in cuts[at + 1 :]):
        return list(cuts)
    room = math.prod(cut.size for cut in cuts)
    rest = 1
    at = len(cuts) - 1
    while at > 0 and rest * cuts[at].length <= room:
        rest *= cuts[at].length
        at -= 1
    return [
        Cut(cut.length, 1 if a < at else max(1, room // rest) if a == at else cut.length)
        for a, cut in enumerate(cuts)
    ]


def _grouped(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Runs of lengths with equal products, as short as can be. No length is 1 or 0."""
    groups, i, j = [], 0, 0
    while i < len(old):
        left, right = [old[i]], [new[j]]
        p, q = old[i], new[j]
        i, j = i + 1, j + 1
        while p != q:
            if p < q:
                left.append(old[i])
                p *= old[i]
                i += 1
            else:
                right.append(new[j])
                q *= new[j]
                j += 1
        groups.append((left, right))
    return groups


def _multiples(cut: Cut, rest: int) -> Cut:
    """The cut with bounds that are multiples of ``rest``; the same one if they are."""
    if not (cut.bounds % rest).any():
        return cut
    return Cut(cut.length, max(1, cut.size // rest) * rest)


def reshaped(node: ArrayNode, shape: Sequence[int]) -> ArrayNode:
    """The node in another shape of as many elements, in C order."""
    shape = tuple(shape)
    if shape == node.shape:
        return node
    if math.prod(shape) == 0:
        return filled(shape, np.zeros((), node.dtype)[()], node.dtype, -1)
    node = drop_axes(node, [a for a, n in enumerate(node.shape) if n == 1])
    groups = _grouped(node.shape, [n for n in shape if n != 1])
    if any(len(left) > 1 for left, _ in groups):
        cuts: list[Cut] = []
        for left, _ in groups:
            cuts += _contiguous(node.cuts[len(cuts) : len(cuts) + len(left)])
        node = Merge(recut(node, cuts), tuple(len(left) for left, _ in groups))
    if any(len(right) > 1 for _, right in groups):
        cuts = [
            _multiples(cut, math.prod(right[1:]))
            for cut, (_, right) in zip(node.cuts, groups, strict=True)
        ]
        node = Split(recut(node, cuts), tuple(tuple(right) for _, right in groups))
    at = iter(range(node.ndim))
    return axes_of(node, [-1 if n == 1 else next(at) for n in shape])


def new_shape(shape: Any, old: tuple[int, ...]) -> tuple[int, ...]:
    """The shape asked for, with -1 filled in; NumPy's errors."""
    if isinstance(shape, (int, np.integer)):
        shape = (shape,)
    wanted = [int(n) for n in shape]
    size = math.prod(old)
    if sum(n < 0 for n in wanted) > 1:
        raise ValueError("can only specify one unknown dimension")
    given = tuple(wanted)
    if any(n < 0 for n in wanted):
        rest = math.prod(n for n in wanted if n >= 0)
        hole = next(i for i, n in enumerate(wanted) if n < 0)
        if rest:
            wanted[hole] = size // rest
    if math.prod(wanted) != size or any(n < 0 for n in wanted):
        shown = str(given).replace(" ", "")
        raise ValueError(f"cannot reshape array of size {size} into shape {shown}")
    return tuple(wanted)
