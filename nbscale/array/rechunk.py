"""The same array in other chunks: an exchange in which each chunk is cut where the new ones meet."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from nbscale.array.chunks import Chunks, Cut, cuts_of, shape_of
from nbscale.array.node import ArrayBase, ArrayNode
from nbscale.expr.node import Exchange, Index, Kernel
from nbscale.graph.axismap import AxisMap, Each, Ranges
from nbscale.record import record

__all__ = ["Rechunk", "RechunkMethods", "recut"]


class Rechunk(ArrayNode, Exchange):
    """Chunks of ``operand`` put together to those of other cuts."""

    operand: ArrayNode
    into: tuple[Cut, ...]

    def validate(self) -> None:
        self._settle(self.into, self.operand.dtype)

    def targets(self) -> tuple[AxisMap, ...]:
        return tuple(
            Each(new.n) if new == old else Ranges(old.n, *old.overlaps(new))
            for old, new in zip(self.operand.cuts, self.cuts, strict=True)
        )

    def split(self) -> Kernel:
        return _Split(self.operand.cuts, self.cuts)

    def merge(self) -> Kernel:
        return _Merge(self.operand.cuts, self.cuts, self.dtype)


@record
class _Split:
    """Pieces by flat number of the new chunk. They are views: nothing is copied here."""

    old: tuple[Cut, ...]
    new: tuple[Cut, ...]

    def __call__(self, index: Index, value: Any) -> dict[int, Any]:
        ways: list[list[tuple[int, slice]]] = []
        for i, old, new in zip(index, self.old, self.new, strict=True):
            begin, end = old.start(i), old.start(i + 1)
            way: list[tuple[int, slice]] = []
            if old == new:
                way.append((i, slice(0, end - begin)))
            elif end > begin:
                j = new.find(begin)
                while j < new.n and new.start(j) < end:
                    lo, hi = max(begin, new.start(j)), min(end, new.start(j + 1))
                    if hi > lo:
                        way.append((j, slice(lo - begin, hi - begin)))
                    j += 1
            else:
                # Who lists this chunk among its producers gets a piece of it, though an empty one.
                way.append((min(new.find(begin), new.n - 1) if begin else 0, slice(0, 0)))
            ways.append(way)
        pieces = {}
        for choice in itertools.product(*ways):
            flat = 0
            for (j, _), cut in zip(choice, self.new, strict=True):
                flat = flat * cut.n + j
            pieces[flat] = value[tuple(where for _, where in choice)]
        return pieces


@record
class _Merge:
    old: tuple[Cut, ...]
    new: tuple[Cut, ...]
    dtype: np.dtype[Any]

    def __call__(self, index: Index, pieces: list[Any]) -> Any:
        shape = shape_of(self.new, index)
        if len(pieces) == 1 and pieces[0].shape == shape:
            return pieces[0][...]
        whole = np.empty(shape, self.dtype)
        # C order of the producers: the position along the last axis moves first.
        at = [0] * len(shape)
        for piece in pieces:
            whole[tuple(slice(a, a + n) for a, n in zip(at, piece.shape, strict=True))] = piece
            for axis in range(len(shape) - 1, -1, -1):
                at[axis] += piece.shape[axis]
                if at[axis] < shape[axis] or axis == 0:
                    break
                at[axis] = 0
        return whole


def recut(node: ArrayNode, cuts: Sequence[Cut]) -> ArrayNode:
    """The node in other cuts; the node itself if it has them."""
    cuts = tuple(cuts)
    if cuts == node.cuts:
        return node
    if isinstance(node, Rechunk):
        return recut(node.operand, cuts)
    return Rechunk(node, cuts)


class RechunkMethods(ArrayBase):
    """Chunks, seen and changed."""

    __slots__ = ()

    def rechunk(self, chunks: Chunks = "auto") -> Self:
        """The same values in other chunks.

        Moves every element once, except where chunks stay; at most the chunks that overlap a new
        one are in memory to make it.

        Parameters
        ----------
        chunks
            Elements along each axis, ``"auto"``, bytes, -1, explicit sizes, or a dict of these by
            axis, in which the axes that are not named keep their chunks.

        Raises
        ------
        ValueError
            If the chunks do not fit the shape.

        Examples
        --------
        >>> import nbscale.array as na
        >>> na.ones((4, 4), chunks=2).rechunk((4, 1)).chunks
        ((4,), (1, 1, 1, 1))
        """
        node = self._node
        return self._new(recut(node, cuts_of(chunks, node.shape, node.dtype.itemsize, node.cuts)))
