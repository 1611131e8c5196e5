"""Arrays made from a few numbers: ``ones``, ``full``, ``arange``, ``linspace``, ``eye``."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nbscale.array.chunks import Chunks, Cut, cuts_of, shape_of, starts_of
from nbscale.array.io import from_array
from nbscale.array.node import (
    ArrayNode,
    ArraySource,
    Constant,
    Needs,
    Picks,
    name_of,
    picked_cuts,
    quiet,
)
from nbscale.collection import public, wrap
from nbscale.expr.node import Index, Kernel
from nbscale.record import record

if TYPE_CHECKING:
    from nbscale.array.array import Array

__all__ = [
    "Arange",
    "Eye",
    "Full",
    "Linspace",
    "arange",
    "as_shape",
    "empty",
    "empty_like",
    "eye",
    "filled",
    "full",
    "full_like",
    "identity",
    "linspace",
    "ones",
    "ones_like",
    "zeros",
    "zeros_like",
]

Shape = int | tuple[int, ...] | list[int]


def as_shape(shape: Any) -> tuple[int, ...]:
    """A shape as NumPy reads it; raises NumPy's errors."""
    if isinstance(shape, (int, np.integer)):
        shape = (shape,)
    made = tuple(operator.index(n) for n in shape)
    if any(n < 0 for n in made):
        raise ValueError("negative dimensions are not allowed")
    return made


class Full(ArraySource):
    """One value everywhere."""

    value: Any

    def slice_needs(self, picks: Picks) -> Needs:
        return ()

    def sliced(self, picks: Picks, inputs: Sequence[Any]) -> ArrayNode:
        return self.replace(cuts=picked_cuts(self.cuts, picks))

    def load(self) -> Kernel:
        value = self.value.value if isinstance(self.value, Constant) else self.value
        return _Fill(self.cuts, self.dtype, value)


@record
class _Fill:
    cuts: tuple[Cut, ...]
    dtype: np.dtype[Any]
    value: Any

    def __call__(self, index: Index) -> Any:
        return np.full(shape_of(self.cuts, index), self.value, self.dtype)


class Arange(ArraySource):
    """``first + i * step``; NumPy takes the step from the first two values as rounded."""

    first: Constant
    second: Constant

    def load(self) -> Kernel:
        return _Steps(self.cuts[0], self.dtype, self.first.value, self.second.value)


@record
class _Steps:
    cut: Cut
    dtype: np.dtype[Any]
    first: Any
    second: Any

    def __call__(self, index: Index) -> Any:
        where = self.cut.slice(index[0])
        with quiet():
            made = np.arange(where.start, where.stop).astype(self.dtype)
            made *= self.second - self.first
            made += self.first
        # NumPy computes from the first two, which it keeps as they are.
        if where.start <= 1 < where.stop:
            made[1 - where.start] = self.second
        return made


class Linspace(ArraySource):
    """Evenly spaced numbers, with the roundings of NumPy's."""

    start: Any
    stop: Any
    endpoint: bool

    def load(self) -> Kernel:
        return _Spaced(self.cuts[0], self.dtype, self.start, self.stop, self.endpoint)


@record
class _Spaced:
    cut: Cut
    dtype: np.dtype[Any]
    start: Any
    stop: Any
    endpoint: bool

    def __call__(self, index: Index) -> Any:
        where, num = self.cut.slice(index[0]), self.cut.length
        div = num - 1 if self.endpoint else num
        work = np.result_type(self.start, self.stop, float(num))
        start, stop = (np.asarray(v).astype(work)[()] for v in (self.start, self.stop))
        delta = stop - start
        y = np.arange(where.start, where.stop, dtype=work)
        if div > 0:
            step = delta / div
            y = y * step if step != 0 else y / div * delta
        else:
            y = y * delta
        y += start
        if self.endpoint and num > 1 and where.stop == num:
            y[-1] = stop
        if self.dtype.kind in "iu":
            np.floor(y, out=y)
        return y.astype(self.dtype, copy=False)


class Eye(ArraySource):
    """Ones on one diagonal."""

    k: int

    def load(self) -> Kernel:
        return _Diagonal(self.cuts, self.dtype, self.k)


@record
class _Diagonal:
    cuts: tuple[Cut, ...]
    dtype: np.dtype[Any]
    k: int

    def __call__(self, index: Index) -> Any:
        row, column = starts_of(self.cuts, index)
        rows, columns = shape_of(self.cuts, index)
        return np.eye(rows, columns, k=self.k + row - column, dtype=self.dtype)


def filled(shape: tuple[int, ...], value: Any, dtype: np.dtype[Any], chunks: Chunks) -> ArrayNode:
    """The node of an array with one value everywhere."""
    kept = Constant(value) if isinstance(value, (np.generic, np.ndarray)) else value
    return Full(cuts_of(chunks, shape, dtype.itemsize), name_of(dtype), kept)


@public
def full(
    shape: Shape, fill_value: Any, dtype: npt.DTypeLike | None = None, *, chunks: Chunks = "auto"
) -> Array:
    """An array with one value everywhere.

    Parameters
    ----------
    shape
        Elements along each axis.
    fill_value
        The value, a scalar.
    dtype
        By default that of the value.
    chunks
        As in Dask: elements along each axis, ``"auto"``, bytes, -1, or explicit sizes.

    Raises
    ------
    ValueError
        If the shape is negative, the value no scalar, or the chunks do not fit.

    Examples
    --------
    >>> import nbscale.array as na
    >>> na.full((2, 3), 7).compute()
    array([[7, 7, 7],
           [7, 7, 7]])
    """
    if hasattr(fill_value, "compute"):
        fill_value = fill_value.compute()
    if np.ndim(fill_value) != 0:
        raise ValueError(
            f"fill_value must be a scalar, not {type(fill_value).__name__}; for more use "
            "na.broadcast_to"
        )
    kind = np.dtype(dtype) if dtype is not None else np.asarray(fill_value).dtype
    np.full((), fill_value, kind)  # NumPy's error, if the value does not fit the dtype
    return wrap(filled(as_shape(shape), fill_value, kind, chunks))


@public
def ones(shape: Shape, dtype: npt.DTypeLike = float, *, chunks: Chunks = "auto") -> Array:
    """An array of ones. Parameters as of ``full``.

    Examples
    --------
    >>> import nbscale.array as na
    >>> na.ones(3, dtype="i8").compute()
    array([1, 1, 1])
    """
    return wrap(filled(as_shape(shape), 1, np.dtype(dtype), chunks))


@public
def zeros(shape: Shape, dtype: npt.DTypeLike = float, *, chunks: Chunks = "auto") -> Array:
    """An array of zeros. Parameters as of ``full``."""
    kind = np.dtype(dtype)
    return wrap(filled(as_shape(shape), np.zeros((), kind)[()], kind, chunks))


@public
def empty(shape: Shape, dtype: npt.DTypeLike = float, *, chunks: Chunks = "auto") -> Array:
    """An array whose values say nothing: zeros, so that every run gives the same bits."""
    return zeros(shape, dtype, chunks=chunks)


def _like(other: Any, shape: Any, dtype: Any, chunks: Any) -> tuple[Any, np.dtype[Any], Any]:
    node = getattr(other, "_node", None)
    if not isinstance(node, ArrayNode):
        other = np.asarray(other)
    kind = np.dtype(dtype) if dtype is not None else other.dtype
    same = shape is None or as_shape(shape) == tuple(other.shape)
    if chunks is None:
        chunks = node.cuts if same and isinstance(node, ArrayNode) else "auto"
    return other.shape if shape is None else shape, kind, chunks


@public
def full_like(
    a: Any,
    fill_value: Any,
    dtype: npt.DTypeLike | None = None,
    *,
    shape: Shape | None = None,
    chunks: Chunks = None,
) -> Array:
    """An array with one value, of the shape, dtype and chunks of another unless given."""
    shape, kind, chunks = _like(a, shape, dtype, chunks)
    return full(shape, fill_value, kind, chunks=chunks)


@public
def ones_like(
    a: Any, dtype: npt.DTypeLike | None = None, *, shape: Shape | None = None, chunks: Chunks = None
) -> Array:
    """Ones, of the shape, dtype and chunks of another array unless given."""
    shape, kind, chunks = _like(a, shape, dtype, chunks)
    return ones(shape, kind, chunks=chunks)


@public
def zeros_like(
    a: Any, dtype: npt.DTypeLike | None = None, *, shape: Shape | None = None, chunks: Chunks = None
) -> Array:
    """Zeros, of the shape, dtype and chunks of another array unless given."""
    shape, kind, chunks = _like(a, shape, dtype, chunks)
    return zeros(shape, kind, chunks=chunks)


@public
def empty_like(
    a: Any, dtype: npt.DTypeLike | None = None, *, shape: Shape | None = None, chunks: Chunks = None
) -> Array:
    """Zeros, of the shape, dtype and chunks of another array unless given. See ``empty``."""
    return zeros_like(a, dtype, shape=shape, chunks=chunks)


@public
def arange(
    start: Any,
    stop: Any = None,
    step: Any = None,
    dtype: npt.DTypeLike | None = None,
    *,
    chunks: Chunks = "auto",
) -> Array:
    """Numbers from ``start`` up to ``stop``, as ``numpy.arange``.

    Parameters
    ----------
    start, stop, step
        With one of them it is the stop.
    dtype
        By default NumPy's.
    chunks
        As of ``full``.

    Raises
    ------
    ZeroDivisionError
        If the step is 0.

    Examples
    --------
    >>> import nbscale.array as na
    >>> na.arange(2, 12, 3).compute()
    array([ 2,  5,  8, 11])
    """
    given = [v for v in (start, stop, step) if v is not None]
    if dtype is not None:
        kind = np.dtype(dtype)
    else:
        kind = np.result_type(np.intp, *[np.asarray(v).dtype for v in given])
    if stop is None:
        start, stop = 0, start
    if kind.kind not in "iufc":
        made = np.arange(start, stop, step, kind)
        return from_array(made, chunks=chunks)
    step = 1 if step is None else step
    length = max(0, math.ceil((stop - start) / step))
    first, second = (np.asarray(v).astype(kind)[()] for v in (start, start + step))
    cuts = cuts_of(chunks, (length,), kind.itemsize)
    return wrap(Arange(cuts, name_of(kind), Constant(first), Constant(second)))


@public
def linspace(
    start: float,
    stop: float,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: npt.DTypeLike | None = None,
    *,
    chunks: Chunks = "auto",
) -> Array | tuple[Array, Any]:
    """``num`` evenly spaced numbers from ``start`` to ``stop``, as ``numpy.linspace``.

    Returns
    -------
    Array
        With ``retstep`` a tuple of it and the step.

    Examples
    --------
    >>> import nbscale.array as na
    >>> na.linspace(0, 1, 5).compute()
    array([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    num = int(num)
    small, step = np.linspace(start, stop, min(num, 2), endpoint, retstep=True, dtype=dtype)
    if num > 2:
        step = (np.float64(stop) - start) / (num - 1 if endpoint else num)
    cuts = cuts_of(chunks, (num,), small.dtype.itemsize)
    made = wrap(Linspace(cuts, name_of(small.dtype), start, stop, bool(endpoint)))
    return (made, step) if retstep else made


@public
def eye(
    N: int,
    M: int | None = None,
    k: int = 0,
    dtype: npt.DTypeLike = float,
    *,
    chunks: Chunks = "auto",
) -> Array:
    """Ones on the ``k``-th diagonal of an (N, M) array, zeros elsewhere.

    Examples
    --------
    >>> import nbscale.array as na
    >>> na.eye(2).compute()
    array([[1., 0.],
           [0., 1.]])
    """
    shape = as_shape((N, N if M is None else M))
    kind = np.dtype(dtype)
    return wrap(Eye(cuts_of(chunks, shape, kind.itemsize), name_of(kind), int(k)))


@public
def identity(n: int, dtype: npt.DTypeLike = float, *, chunks: Chunks = "auto") -> Array:
    """The identity matrix of ``n`` rows."""
    return eye(n, dtype=dtype, chunks=chunks)
