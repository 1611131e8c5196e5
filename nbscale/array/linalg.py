"""Products as users write them: ``dot``, ``matmul``, ``tensordot``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from nbscale.array.axes import axes_of
from nbscale.array.elementwise import apply
from nbscale.array.io import asarray
from nbscale.array.node import ArrayBase, ArrayNode
from nbscale.collection import Collection, public, wrap

if TYPE_CHECKING:
    pass
from nbscale.array.product import Letters, product

__all__ = ["LinalgMethods", "dot", "inner", "matmul", "outer", "tensordot", "vdot"]


def _mismatch(name: str, a: Any, b: Any, p: int, q: int) -> ValueError:
    if name == "dot":
        shapes = [str(x.shape).replace(" ", "") for x in (a, b)]
        return ValueError(
            f"shapes {shapes[0]} and {shapes[1]} not aligned: {a.shape[p]} (dim {p}) != "
            f"{b.shape[q]} (dim {q})"
        )
    return ValueError(
        "matmul: Input operand 1 has a mismatch in its core dimension 0, with gufunc signature "
        f"(n?,k),(k,m?)->(n?,m?) (size {b.shape[q]} is different from {a.shape[p]})"
    )


@public
def dot(a: Any, b: Any) -> Any:
    """The product, as ``numpy.dot``: over the last axis of ``a`` and the last but one of ``b``.

    Each chunk reads a row of chunks of ``a`` and a column of ``b``, two at a time. ``x.dot(x.T)``
    costs half.

    Raises
    ------
    ValueError
        NumPy's, if the shapes do not match.

    Examples
    --------
    >>> import nbscale.array as na
    >>> x = na.ones((3, 4), chunks=2)
    >>> x.dot(x.T)[0].compute()
    array([4., 4., 4.])
    """
    x, y = asarray(a), asarray(b)
    if x.ndim == 0 or y.ndim == 0:
        return apply("multiply", (x, y))
    q = max(y.ndim - 2, 0)
    if x.shape[-1] != y.shape[q]:
        raise _mismatch("dot", x, y, x.ndim - 1, q)
    return tensordot(x, y, ((x.ndim - 1,), (q,)))


@public
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """A sum of products over some axes of each, as ``numpy.tensordot``. Cost as of ``dot``.

    Raises
    ------
    ValueError
        NumPy's, if the shapes do not match.
    """
    x, y = asarray(a), asarray(b)
    if isinstance(axes, (int, np.integer)):
        axes = (range(x.ndim - axes, x.ndim), range(axes))
    ours, theirs = ([int(n)] if isinstance(n, (int, np.integer)) else list(n) for n in axes)
    if len(ours) != len(theirs):
        raise ValueError("shape-mismatch for sum")
    left, right = (normalize_axis_tuple(n, x.ndim) for n, x in ((ours, x), (theirs, y)))
    if any(x.shape[p] != y.shape[q] for p, q in zip(left, right, strict=True)):
        raise ValueError("shape-mismatch for sum")
    of_a = tuple(range(x.ndim))
    pairs = dict(zip(right, left, strict=True))
    of_b = tuple(pairs.get(q, x.ndim + q) for q in range(y.ndim))
    out = tuple(n for n in of_a if n not in left) + tuple(n for n in of_b if n >= x.ndim)
    return wrap(product(x._node, y._node, of_a, of_b, out), x, y)  # noqa: SLF001


@public
def matmul(a: Any, b: Any) -> Any:
    """The matrix product of the last two axes, others broadcast, as ``numpy.matmul``.

    Cost as of ``dot``.

    Raises
    ------
    ValueError
        NumPy's, if the shapes do not match.
    """
    x, y = asarray(a), asarray(b)
    if x.ndim == 0 or y.ndim == 0:
        which = 0 if x.ndim == 0 else 1
        raise ValueError(
            f"matmul: Input operand {which} does not have enough dimensions (has 0, gufunc core "
            "with signature (n?,k),(k,m?)->(n?,m?) requires 1)"
        )
    q = max(y.ndim - 2, 0)
    if x.shape[-1] != y.shape[q]:
        raise _mismatch("matmul", x, y, x.ndim - 1, q)
    batch = max(x.ndim, y.ndim, 2) - 2
    # Axes of length 1 among those that are broadcast say nothing: they are dropped.
    shape = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    left, of_a = _stack(x._node, batch, shape, (batch, batch + 1))  # noqa: SLF001
    right, of_b = _stack(y._node, batch, shape, (batch + 1, batch + 2))  # noqa: SLF001
    if x.ndim == 1:
        of_a = (batch + 1,)
    if y.ndim == 1:
        of_b = (batch + 1,)
    ends = ((batch,) if x.ndim > 1 else ()) + ((batch + 2,) if y.ndim > 1 else ())
    known = {*of_a, *of_b}
    out = tuple(n for n in range(batch) if n in known) + ends
    node = product(left, right, of_a, of_b, out)
    at = iter(range(node.ndim))
    order = [next(at) if n in known else -1 for n in range(batch)]
    return wrap(axes_of(node, [*order, *at]), x, y)


def _stack(
    node: ArrayNode, batch: int, shape: tuple[int, ...], ends: Letters
) -> tuple[ArrayNode, Letters]:
    """Drop the axes of a stack of matrices that are repeated, and name the others."""
    extra = max(node.ndim - 2, 0)
    kept, letters = [], []
    for a in range(extra):
        letter = batch - extra + a
        if node.shape[a] != 1 or shape[letter] == 1:
            kept.append(a)
            letters.append(letter)
    order = [*kept, *range(extra, node.ndim)]
    return axes_of(node, order), (*letters, *ends)


@public
def inner(a: Any, b: Any) -> Any:
    """The sum of products over the last axes, as ``numpy.inner``. Cost as of ``dot``."""
    x, y = asarray(a), asarray(b)
    if x.ndim == 0 or y.ndim == 0:
        return apply("multiply", (x, y))
    if x.shape[-1] != y.shape[-1]:
        raise _mismatch("dot", x, y, x.ndim - 1, y.ndim - 1)
    return tensordot(x, y, ((x.ndim - 1,), (y.ndim - 1,)))


@public
def outer(a: Any, b: Any) -> Any:
    """All products of an element of one and an element of the other, as ``numpy.outer``."""
    x, y = asarray(a).reshape(-1), asarray(b).reshape(-1)
    return apply("multiply", (x[:, None], y))


@public
def vdot(a: Any, b: Any) -> Any:
    """The sum of products of the flat arrays, the first conjugated, as ``numpy.vdot``."""
    x, y = asarray(a).reshape(-1), asarray(b).reshape(-1)
    return dot(x.conj() if x.dtype.kind == "c" else x, y)


class LinalgMethods(ArrayBase):
    """Products."""

    __slots__ = ()

    def dot(self, b: Any) -> Self:
        """The product, as ``numpy.dot``. See ``nbscale.array.dot``."""
        return dot(self, b)

    def __matmul__(self, other: Any) -> Any:
        if isinstance(other, Collection) and not isinstance(other, ArrayBase):
            return NotImplemented
        return matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        if isinstance(other, Collection) and not isinstance(other, ArrayBase):
            return NotImplemented
        return matmul(other, self)
