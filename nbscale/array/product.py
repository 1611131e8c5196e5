"""Sums of products, and half the work where ``x @ x.T`` is meant.

A chunk of the product is a sum of products of chunks, taken in turn, each one single call of the
BLAS library. Transposed operands are never moved: BLAS reads them as they lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nbscale.array.axes import Axes, axes_of
from nbscale.array.chunks import Cut, Pick
from nbscale.array.node import ArrayNode, Needs, Picks, as_chunk, probe, quiet
from nbscale.array.rechunk import recut
from nbscale.expr.node import Delivery, Index, Kernel, Map, Read
from nbscale.graph.axismap import All, AxisMap, Each
from nbscale.record import record

if TYPE_CHECKING:
    pass

__all__ = ["Letters", "Mirror", "Product", "Triangle", "product"]

Letters = tuple[int, ...]


class Product(ArrayNode, Map):
    """A sum of products over the letters that both operands have and the answer has not."""

    a: ArrayNode
    b: ArrayNode
    of_a: Letters
    of_b: Letters
    of_out: Letters

    def validate(self) -> None:
        cuts = {
            **dict(zip(self.of_a, self.a.cuts, strict=True)),
            **dict(zip(self.of_b, self.b.cuts, strict=True)),
        }
        specs = (((1, 1), self.a.dtype), ((1, 1), self.b.dtype))
        _, dtype = probe(np.matmul, specs, ())
        self._settle(tuple(cuts[letter] for letter in self.of_out), dtype)

    @property
    def gil_free(self) -> bool:  # type: ignore[override]
        """Objects are Python's."""
        return not self.dtype.hasobject

    @property
    def label(self) -> str:
        return "matmul"

    @property
    def summed(self) -> bool:
        """Whether chunks are added up."""
        return any(letter not in self.of_out for letter in self.of_a)

    def slice_needs(self, picks: Picks) -> Needs:
        of = dict(zip(self.of_out, picks, strict=True))
        return tuple(
            tuple(of.get(x, (0, 1, n)) for x, n in zip(letters, node.shape, strict=True))
            for node, letters in ((self.a, self.of_a), (self.b, self.of_b))
        )

    def reads(self) -> tuple[Read, ...]:
        return (
            _read(self.a, self.of_a, self.of_out, self.grid, "turn" if self.summed else "one"),
            _read(self.b, self.of_b, self.of_out, self.grid, "turn" if self.summed else "one"),
        )

    def kernel(self) -> Kernel:
        call = _Multiply.of(self.of_a, self.of_b, self.of_out)
        return _Summed(call) if self.summed else call.once


def _read(
    node: ArrayNode, letters: Letters, out: Letters, grid: Sequence[int], delivery: Delivery
) -> Read:
    axes = tuple(out.index(letter) if letter in out else -1 for letter in letters)
    maps: tuple[AxisMap, ...] = tuple(
        Each(n) if axis >= 0 else All(1, n) for axis, n in zip(axes, node.grid, strict=True)
    )
    return Read(node, axes, maps, delivery)


@record
class _Multiply:
    """One product of two chunks, as ``matmul`` of stacks of matrices."""

    order_a: tuple[int, ...]
    order_b: tuple[int, ...]
    order_out: tuple[int, ...]
    n_batch: int
    n_summed: int

    @classmethod
    def of(cls, a: Letters, b: Letters, out: Letters) -> _Multiply:
        batch = [x for x in out if x in a and x in b]
        summed = [x for x in a if x in b and x not in out]
        left = [x for x in out if x not in b]
        right = [x for x in out if x not in a]
        made = batch + left + right
        return cls(
            tuple(a.index(x) for x in batch + left + summed),
            tuple(b.index(x) for x in batch + summed + right),
            tuple(made.index(x) for x in out),
            len(batch),
            len(summed),
        )

    @property
    def is_plain(self) -> bool:
        """Two matrices, which need no reshaping."""
        return (self.n_batch, self.n_summed) == (0, 1) and len(self.order_a) == len(
            self.order_b
        ) == len(self.order_out) == 2

    def __call__(self, a: Any, b: Any, out: Any = None) -> Any:
        """The product; ``out``, if given, is written when both are plain matrices."""
        a, b = a.transpose(self.order_a), b.transpose(self.order_b)
        if self.is_plain:
            return np.matmul(a, b, out=out)
        n, k = self.n_batch, self.n_summed
        batch, left, summed = a.shape[:n], a.shape[n : a.ndim - k], a.shape[a.ndim - k :]
        right = b.shape[n + k :]
        rows, inner, columns = (int(np.prod(s, dtype=np.intp)) for s in (left, summed, right))
        made = np.matmul(a.reshape(*batch, rows, inner), b.reshape(*batch, inner, columns))
        return made.reshape((*batch, *left, *right)).transpose(self.order_out)

    def once(self, index: Index, a: Any, b: Any) -> Any:
        """The kernel of a product without a sum over chunks."""
        with quiet():
            return self(a, b)


@record
class _Summed:
    """The products of pairs of chunks, added up in their order."""

    multiply: _Multiply

    def __call__(self, index: Index, a: Iterator[Any], b: Iterator[Any]) -> Any:
        total = scratch = None
        with quiet():
            for left, right in zip(a, b, strict=True):
                if total is None:
                    total = self.multiply(left, right)
                    continue
                if scratch is None and self.multiply.is_plain:
                    scratch = np.empty_like(total)
                np.add(total, self.multiply(left, right, scratch), out=total)
        return as_chunk(total)


# x @ x.T ------------------------------------------------------------------------------------


class Triangle(ArrayNode, Map):
    """The chunks of a symmetric product on and above its diagonal; None below.

    ``rows`` is the axis of the operand that is not summed over.
    """

    operand: ArrayNode
    rows: int

    def validate(self) -> None:
        cut = self.operand.cuts[self.rows]
        _, dtype = probe(np.matmul, (((1, 1), self.operand.dtype),) * 2, ())
        self._settle((cut, cut), dtype)

    @property
    def label(self) -> str:
        return "matmul"

    def reads(self) -> tuple[Read, ...]:
        letters = (0, 2) if self.rows == 0 else (2, 0)
        other = (1, 2) if self.rows == 0 else (2, 1)
        return (
            _read(self.operand, letters, (0, 1), self.grid, "turn"),
            _read(self.operand, other, (0, 1), self.grid, "turn"),
        )

    def kernel(self) -> Kernel:
        return _Half(self.rows == 1)


@record
class _Half:
    transposed: bool

    def __call__(self, index: Index, a: Iterator[Any], b: Iterator[Any]) -> Any:
        row, column = index
        if row > column:
            return None
        # On the diagonal both are one buffer, for which NumPy itself does half the work.
        pairs = zip(a, b, strict=True) if row < column else ((one, one) for one in a)
        total = scratch = None
        with quiet():
            for left, right in pairs:
                one, two = (left.T, right) if self.transposed else (left, right.T)
                if total is None:
                    total = np.matmul(one, two)
                    continue
                if scratch is None:
                    scratch = np.empty_like(total)
                np.matmul(one, two, out=scratch)
                np.add(total, scratch, out=total)
        return total


class Mirror(ArrayNode, Map):
    """A symmetric matrix from its upper half: what is below is read across the diagonal.

    The operands whose product it is are read only where a slice is taken of it.
    """

    half: ArrayNode
    a: ArrayNode
    b: ArrayNode
    rows: int

    def validate(self) -> None:
        self._settle(self.half.cuts, self.half.dtype)

    @property
    def label(self) -> str:
        return "matmul"

    def slice_needs(self, picks: Picks) -> Needs:
        summed: Pick = (0, 1, self.a.shape[1 - self.rows])
        left, right = ((pick, summed) if self.rows == 0 else (summed, pick) for pick in picks)
        return False, left, right

    def sliced(self, picks: Picks, inputs: Sequence[Any]) -> ArrayNode:
        _, a, b = inputs
        of_a, of_b = ((0, 2), (1, 2)) if self.rows == 0 else ((2, 0), (2, 1))
        return product(a, b, of_a, of_b, (0, 1))

    def reads(self) -> tuple[Read, ...]:
        maps = tuple(Each(n) for n in self.grid)
        return Read(self.half, (0, 1), maps), Read(self.half, (1, 0), maps)

    def kernel(self) -> Kernel:
        return _mirrored


def _mirrored(index: Index, here: Any, across: Any) -> Any:
    return here[...] if here is not None else across.T


# What is meant ------------------------------------------------------------------------------


def _untransposed(node: ArrayNode, letters: Letters) -> tuple[ArrayNode, Letters]:
    """The node under a transposition, with the letters of its own axes."""
    if isinstance(node, Axes) and sorted(node.order) == list(range(node.operand.ndim)):
        own = {axis: letters[i] for i, axis in enumerate(node.order)}
        return node.operand, tuple(own[a] for a in range(node.operand.ndim))
    return node, letters


def product(a: ArrayNode, b: ArrayNode, of_a: Letters, of_b: Letters, out: Letters) -> ArrayNode:
    """The node of a sum of products, whatever the chunks of the operands."""
    a, of_a = _untransposed(a, of_a)
    b, of_b = _untransposed(b, of_b)
    cut_of: dict[int, Cut] = dict(zip(of_a, a.cuts, strict=True))
    b = recut(b, [cut_of.get(x, cut) for x, cut in zip(of_b, b.cuts, strict=True)])
    summed = [x for x in of_a if x in of_b and x not in out]
    if [x for x in of_b if x in summed] != summed:
        # Chunks come in C order of each operand, which must be one and the same.
        wanted = [*(x for x in of_b if x not in summed), *summed]
        b = axes_of(b, [of_b.index(x) for x in wanted])
        of_b = tuple(wanted)
    if a is b and len(out) == len(of_a) == 2 and len(summed) == 1:
        rows = of_a.index(out[0])
        if of_b[rows] == out[1] and a.grid[rows] > 1 and not a.dtype.hasobject:
            return Mirror(Triangle(a, rows), a, b, rows)
    return Product(a, b, of_a, of_b, out)
