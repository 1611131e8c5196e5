"""Elements chosen by a lazy mask: how many there are is known only when the mask is computed.

``x[mask]`` stays lazy. Whoever asks for its shape, or works on it, has the mask counted first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nbscale.array.chunks import Cut
from nbscale.array.node import ArrayNode
from nbscale.array.rechunk import recut
from nbscale.array.reshape import reshaped
from nbscale.collection import Parts
from nbscale.expr.node import Adaptive, Index, Kernel, Map, Node, Read, same
from nbscale.graph.axismap import Each, Ranges
from nbscale.session import Request, current

__all__ = ["Compress", "Selected", "selected"]


class Counts(ArrayNode, Map):
    """How many are true in each chunk of a mask of one axis."""

    mask: ArrayNode

    def validate(self) -> None:
        n = self.mask.cuts[0].n
        self._settle((Cut(n, 1),), np.dtype(np.intp))

    def reads(self) -> tuple[Read, ...]:
        return (same(self.mask),)

    def kernel(self) -> Kernel:
        return _count


def _count(index: Index, mask: Any) -> Any:
    return np.array([np.count_nonzero(mask)])


class Compress(ArrayNode, Map):
    """Rows where the mask is true; ``sizes`` says how many each chunk has.

    Chunks with none are left out: what broadcasts relies on an axis of one element being one chunk.
    """

    operand: ArrayNode
    mask: ArrayNode
    sizes: Cut

    def validate(self) -> None:
        rows = Cut.of(np.diff(self.sizes.bounds)[self._kept()])
        self._settle((rows, *self.operand.cuts[1:]), self.operand.dtype)

    def _kept(self) -> np.ndarray[Any, Any]:
        """The chunks that have rows; the first one if none has."""
        kept = np.flatnonzero(np.diff(self.sizes.bounds))
        return kept if kept.size else np.zeros(1, dtype=np.intp)

    @property
    def label(self) -> str:
        return "getitem"

    def reads(self) -> tuple[Read, ...]:
        kept = self._kept()
        rows = Ranges(self.sizes.n, kept, kept + 1) if kept.size < self.sizes.n else Each(kept.size)
        others = tuple(map(Each, self.grid[1:]))
        axes = tuple(range(self.ndim))
        return Read(self.operand, axes, (rows, *others)), Read(self.mask, (0,), (rows,))

    def kernel(self) -> Kernel:
        return _compressed


def _compressed(index: Index, value: Any, mask: Any) -> Any:
    return value[mask]


class Selected(ArrayNode, Adaptive):
    """Rows where the mask is true, before it is known how many."""

    operand: ArrayNode
    mask: ArrayNode

    def validate(self) -> None:
        self.__dict__["dtype"] = self.operand.dtype

    @property
    def label(self) -> str:
        return "getitem"

    def describe(self) -> str:
        return "getitem(mask)"

    @property
    def known(self) -> Compress | None:
        """What this node becomes, once the mask was counted."""
        return self.__dict__.get("_known")

    @property
    def ndim(self) -> int:
        return self.operand.ndim

    @property
    def signature(self) -> Any:
        return None  # a look at the shape would count the mask

    def _count_now(self) -> ArrayNode:
        if self.known is None:
            asked = Request(Counts(self.mask), {}, _parts, "the shape of a selection")
            return self.build(current().run([asked])[0])
        return self.known

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """How each axis is cut. Computes the mask at the first look."""
        return self._count_now().cuts

    @property
    def shape(self) -> tuple[int, ...]:
        return self._count_now().shape

    @property
    def grid(self) -> tuple[int, ...]:
        if "dtype" not in self.__dict__:
            raise LookupError("asked while the node is still being made")
        return self._count_now().grid

    def with_inputs(self, inputs: Sequence[Node]) -> Selected:
        made: Selected = super().with_inputs(inputs)
        if self.known is not None and made.known is None:
            # Rules change no value: what was counted holds, and must not be counted while planning.
            made.__dict__["_known"] = Compress(made.operand, made.mask, self.known.sizes)
        return made

    def asks(self) -> tuple[Node, ...]:
        return () if self.known is not None else (Counts(self.mask),)

    def build(self, *answers: Any) -> ArrayNode:
        if self.known is None:
            sizes = Cut.of(np.concatenate(answers[0]))
            self.__dict__["_known"] = Compress(self.operand, self.mask, sizes)
        known = self.known
        assert known is not None
        return known


def _parts(node: Node) -> Parts:
    return Parts(node.grid)


def selected(node: ArrayNode, mask: ArrayNode) -> ArrayNode:
    """The node of ``array[mask]``, the mask covering the first axes.

    Raises
    ------
    IndexError
        NumPy's, if the shapes do not match.
    """
    if mask.dtype != bool:
        raise NotImplementedError(
            "a lazy array of integers as an index is not supported: compute it first, "
            "x[index.compute()]"
        )
    if not 0 < mask.ndim <= node.ndim:
        raise IndexError(
            f"too many indices for array: array is {node.ndim}-dimensional, but {mask.ndim} were "
            "indexed"
        )
    for axis, (n, m) in enumerate(zip(node.shape, mask.shape, strict=False)):
        if n != m:
            raise IndexError(
                f"boolean index did not match indexed array along axis {axis}; size of axis is "
                f"{n} but size of corresponding boolean axis is {m}"
            )
    rest = node.shape[mask.ndim :]
    flat = reshaped(node, (math.prod(mask.shape), *rest))
    rows = reshaped(mask, (math.prod(mask.shape),))
    # The mask is cut as the rows, which may be many times larger.
    return Selected(flat, recut(rows, flat.cuts[:1]))
