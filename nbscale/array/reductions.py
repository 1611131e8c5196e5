"""Reductions as users call them: methods, and functions by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from nbscale.array.axes import drop_axes
from nbscale.array.io import asarray
from nbscale.array.moments import Mean, Moment, NanMean
from nbscale.array.node import (
    ArrayBase,
    ArrayNode,
    name_of,
    probe,
)
from nbscale.array.reduce import (
    ArgExtreme,
    CountNonzero,
    EveryTrue,
    Max,
    Min,
    NanMax,
    NanMin,
    NanProd,
    NanSum,
    Prod,
    Reduction,
    SomeTrue,
    Sum,
)
from nbscale.collection import public

__all__ = ["FUNCTIONS", "ReduceMethods"]

Axis = int | tuple[int, ...] | None


def _axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    """Sorted axes from what was given; NumPy has checked it."""
    if axis is None:
        return tuple(range(ndim))
    given = axis if isinstance(axis, tuple) else (axis,)
    return tuple(sorted(int(a) % ndim for a in given)) if ndim else ()


def _probed(
    function: Callable[..., Any], node: ArrayNode, axis: Axis, options: dict[str, Any]
) -> np.dtype[Any]:
    """The dtype of the result, or NumPy's own error: it reduces an array of ones as small as can be."""
    small = tuple(min(n, 1) for n in node.shape)
    given = {"axis": axis, **options}
    return probe(function, ((small, node.dtype),), tuple(given.items()))[1]


def _options(dtype: npt.DTypeLike | None) -> dict[str, Any]:
    return {} if dtype is None else {"dtype": np.dtype(dtype)}


def _as_axis(axis: Any) -> Axis:
    return tuple(axis) if isinstance(axis, list) else axis


class ReduceMethods(ArrayBase):
    """Reductions: one pass, and for each level of the tree an eighth of the states of the last."""

    __slots__ = ()

    def _reduced(self, node: Reduction, keepdims: bool) -> Self:
        return self._new(node if keepdims else drop_axes(node, node.axes))

    def _plain(
        self,
        cls: type[Reduction],
        function: Callable[..., Any],
        axis: Axis,
        keepdims: bool,
        dtype: npt.DTypeLike | None = None,
    ) -> Self:
        axis = _as_axis(axis)
        kind = _probed(function, self._node, axis, _options(dtype))
        node = cls(self._node, _axes(axis, self.ndim), name_of(kind))
        return self._reduced(node, keepdims)

    def sum(
        self, axis: Axis = None, dtype: npt.DTypeLike | None = None, *, keepdims: bool = False
    ) -> Self:
        """The sum over some axes, or all.

        Sums pairwise within chunks, then chunks in a tree: equal to NumPy's within rounding, and
        the same bits every time.

        Parameters
        ----------
        axis
            One axis, several, or None for all.
        dtype
            Of the sum; by default NumPy's.
        keepdims
            Whether axes that are reduced stay, of length 1.

        Raises
        ------
        numpy.exceptions.AxisError
            If there is no such axis.

        Examples
        --------
        >>> import nbscale.array as na
        >>> na.arange(6).reshape(2, 3).sum(axis=0).compute()
        array([3, 5, 7])
        """
        return self._plain(Sum, np.sum, axis, keepdims, dtype)

    def prod(
        self, axis: Axis = None, dtype: npt.DTypeLike | None = None, *, keepdims: bool = False
    ) -> Self:
        """The product over some axes, or all. Parameters as of ``sum``."""
        return self._plain(Prod, np.prod, axis, keepdims, dtype)

    def min(self, axis: Axis = None, *, keepdims: bool = False) -> Self:
        """The smallest over some axes, or all; NaN if there is one. Parameters as of ``sum``."""
        return self._plain(Min, np.min, axis, keepdims)

    def max(self, axis: Axis = None, *, keepdims: bool = False) -> Self:
        """The largest over some axes, or all; NaN if there is one. Parameters as of ``sum``."""
        return self._plain(Max, np.max, axis, keepdims)

    def any(self, axis: Axis = None, *, keepdims: bool = False) -> Self:
        """Whether one is true. Parameters as of ``sum``."""
        return self._plain(SomeTrue, np.any, axis, keepdims)

    def all(self, axis: Axis = None, *, keepdims: bool = False) -> Self:
        """Whether all are true. Parameters as of ``sum``."""
        return self._plain(EveryTrue, np.all, axis, keepdims)

    def mean(
        self, axis: Axis = None, dtype: npt.DTypeLike | None = None, *, keepdims: bool = False
    ) -> Self:
        """The mean over some axes, or all; NaN of nothing. Parameters as of ``sum``."""
        axis = _as_axis(axis)
        kind = _probed(np.mean, self._node, axis, _options(dtype))
        work = kind if dtype is not None else _working(self.dtype)
        node = Mean(self._node, _axes(axis, self.ndim), name_of(kind), work.str)
        return self._reduced(node, keepdims)

    def var(
        self,
        axis: Axis = None,
        dtype: npt.DTypeLike | None = None,
        *,
        ddof: float = 0,
        keepdims: bool = False,
    ) -> Self:
        """The variance over some axes, or all.

        Parameters
        ----------
        axis, dtype, keepdims
            As of ``sum``.
        ddof
            What is taken off the count that the squares are divided by.
        """
        return self._moment(np.var, axis, dtype, ddof, keepdims)

    def std(
        self,
        axis: Axis = None,
        dtype: npt.DTypeLike | None = None,
        *,
        ddof: float = 0,
        keepdims: bool = False,
    ) -> Self:
        """The standard deviation over some axes, or all. Parameters as of ``var``."""
        return self._moment(np.std, axis, dtype, ddof, keepdims)

    def _moment(
        self,
        function: Callable[..., Any],
        axis: Axis,
        dtype: npt.DTypeLike | None,
        ddof: float,
        keepdims: bool,
    ) -> Self:
        axis = _as_axis(axis)
        kind = _probed(function, self._node, axis, _options(dtype))
        work = np.dtype(dtype) if dtype is not None else _working(self.dtype)
        axes = _axes(axis, self.ndim)
        root = function is np.std
        return self._reduced(
            Moment(self._node, axes, name_of(kind), work.str, ddof, root), keepdims
        )

    def argmin(self, axis: int | None = None, *, keepdims: bool = False) -> Self:
        """Where the first of the smallest is: along an axis, or in the flat array.

        Examples
        --------
        >>> import nbscale.array as na
        >>> na.asarray([3, 1, 1]).argmin().compute()
        np.int64(1)
        """
        return self._place(np.argmin, axis, keepdims)

    def argmax(self, axis: int | None = None, *, keepdims: bool = False) -> Self:
        """Where the first of the largest is: along an axis, or in the flat array."""
        return self._place(np.argmax, axis, keepdims)

    def _place(self, function: Callable[..., Any], axis: int | None, keepdims: bool) -> Self:
        kind = _probed(function, self._node, axis, {})
        axes, flat = _axes(axis, self.ndim), axis is None or not self.ndim
        node = ArgExtreme(self._node, axes, name_of(kind), function is np.argmin, flat)
        return self._reduced(node, keepdims)

    def ptp(self, axis: Axis = None, *, keepdims: bool = False) -> Self:
        """The largest less the smallest. Two reductions of one pass."""
        high = self.max(axis, keepdims=keepdims)
        return high - self.min(axis, keepdims=keepdims)  # type: ignore[operator]


def _working(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype NumPy adds up in for a mean or variance."""
    if dtype.kind in "iub":
        return np.dtype(np.float64)
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def _method(name: str) -> Callable[..., Any]:
    def call(a: Any, *args: Any, **options: Any) -> Any:
        if options.get("out", 0) is None:
            del options["out"]
        return getattr(asarray(a), name)(*args, **options)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"Lazy ``numpy.{name}``: see ``Array.{name}``."
    return public(call)


def _nan(
    name: str, cls: type[Reduction], function: Callable[..., Any], *, dtype_too: bool
) -> Callable[..., Any]:
    plain = name.removeprefix("nan")

    def call(
        a: Any, axis: Axis = None, dtype: npt.DTypeLike | None = None, *, keepdims: bool = False
    ) -> Any:
        x = asarray(a)
        given = {"dtype": dtype} if dtype_too and dtype is not None else {}
        if x.dtype.kind not in "fc":
            return getattr(x, plain)(axis, keepdims=keepdims, **given)
        return x._plain(cls, function, axis, keepdims, dtype)  # noqa: SLF001

    call.__name__ = call.__qualname__ = name
    call.__doc__ = (
        f"Lazy ``numpy.{name}``: ``{plain}`` of what is not NaN. Parameters as of ``sum``."
    )
    return public(call)


@public
def nanmean(
    a: Any, axis: Axis = None, dtype: npt.DTypeLike | None = None, *, keepdims: bool = False
) -> Any:
    """The mean of what is not NaN; NaN where all are. Parameters as of ``sum``."""
    x = asarray(a)
    if x.dtype.kind not in "fc":
        return x.mean(axis, dtype, keepdims=keepdims)
    axis = _as_axis(axis)
    node = x._node  # noqa: SLF001 - arrays are this package's
    kind = _probed(np.nanmean, node, axis, _options(dtype))
    work = kind if dtype is not None else _working(x.dtype)
    made = NanMean(node, _axes(axis, x.ndim), name_of(kind), work.str)
    return x._reduced(made, keepdims)  # noqa: SLF001


@public
def count_nonzero(a: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """How many are not zero, as an integer array. Parameters as of ``sum``."""
    return asarray(a)._plain(CountNonzero, np.count_nonzero, axis, keepdims)  # noqa: SLF001


FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: _method(name)
    for name in ("sum prod min max any all mean var std argmin argmax ptp".split())
}
FUNCTIONS |= {
    "amin": FUNCTIONS["min"],
    "amax": FUNCTIONS["max"],
    "nansum": _nan("nansum", NanSum, np.nansum, dtype_too=True),
    "nanprod": _nan("nanprod", NanProd, np.nanprod, dtype_too=True),
    "nanmin": _nan("nanmin", NanMin, np.nanmin, dtype_too=False),
    "nanmax": _nan("nanmax", NanMax, np.nanmax, dtype_too=False),
    "nanmean": nanmean,
    "count_nonzero": count_nonzero,
}
"""Functions by name, as ``nbscale.array`` exports them."""
