"""Reductions over axes: each a tree of ``partial``, ``combine`` and ``final``.

Within a chunk NumPy reduces (sums pairwise); between chunks states meet in a fixed order, so the
same array in the same chunks gives the same bits every time.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from nbscale.array.chunks import Cut, shape_of, starts_of
from nbscale.array.node import (
    ArrayBase,
    ArrayNode,
    Needs,
    Picks,
    as_chunk,
    dtype_of,
    name_of,
    probe,
    quiet,
)
from nbscale.array.shape import drop_axes
from nbscale.collection import public
from nbscale.expr.node import Index, Kernel, Reduce

__all__ = ["FUNCTIONS", "ReduceMethods", "Reduction"]

Axis = int | tuple[int, ...] | None

_BLOCK = 1 << 15
"""Elements of a block of rows that stays in a core's cache."""


class Reduction(ArrayNode, Reduce):
    """Some axes reduced to length 1. ``type_name`` is the dtype of the result."""

    operand: ArrayNode
    axes: tuple[int, ...]
    type_name: str | np.dtype[Any]

    def validate(self) -> None:
        one = Cut.whole(1)
        cuts = tuple(one if a in self.axes else cut for a, cut in enumerate(self.operand.cuts))
        self._settle(cuts, dtype_of(self.type_name))

    @property
    def gil_free(self) -> bool:  # type: ignore[override]
        """Objects are Python's."""
        return not self.operand.dtype.hasobject

    @property
    def reduced(self) -> tuple[int, ...]:
        return self.axes

    def slice_needs(self, picks: Picks) -> Needs:
        shape = self.operand.shape
        return (
            tuple(
                (0, 1, n) if a in self.axes else pick
                for a, (n, pick) in enumerate(zip(shape, picks, strict=True))
            ),
        )

    @property
    def count(self) -> int:
        """How many elements are reduced to one."""
        return math.prod(self.operand.shape[a] for a in self.axes)


@dataclasses.dataclass(frozen=True, slots=True)
class _Reduced:
    """A function of NumPy's over the axes of one chunk; None if there is nothing to reduce."""

    function: Callable[..., Any]
    axes: tuple[int, ...]
    dtype: np.dtype[Any] | None = None
    none_if_empty: bool = False

    def __call__(self, index: Index, value: Any) -> Any:
        if self.none_if_empty and any(value.shape[a] == 0 for a in self.axes):
            return None
        with quiet():
            if self.dtype is None or self.dtype.kind in "mM":  # whose unit dtype= cannot say
                return as_chunk(self.function(value, axis=self.axes, keepdims=True))
            return as_chunk(
                self.function(value, axis=self.axes, keepdims=True, dtype=self.dtype), self.dtype
            )


@dataclasses.dataclass(frozen=True, slots=True)
class _Folded:
    """States put together by a ufunc of two arguments, in order."""

    function: Callable[..., Any]

    def __call__(self, index: Index, states: list[Any]) -> Any:
        known = [state for state in states if state is not None]
        if len(known) < 2:
            return known[0] if known else None
        with quiet():
            total = as_chunk(self.function(known[0], known[1]))
            for state in known[2:]:
                self.function(total, state, out=total)
        return total


def _as_is(dtype: np.dtype[Any], index: Index, state: Any) -> Any:
    return as_chunk(state, dtype).astype(dtype, copy=False)


class _Plain(Reduction):
    """A reduction whose states are its values: one function within, one ufunc between chunks."""

    within: ClassVar[Callable[..., Any]]
    between: ClassVar[Any]
    has_identity: ClassVar[bool] = True
    takes_dtype: ClassVar[bool] = False

    def partial(self) -> Kernel:
        cls = type(self)
        kind = self.dtype if cls.takes_dtype else None
        return _Reduced(cls.__dict__["within"], self.axes, kind, not cls.has_identity)

    def combine(self) -> Kernel:
        return _Folded(type(self).between)

    def final(self) -> Kernel:
        return functools.partial(_as_is, self.dtype)


class Sum(_Plain):
    """The sum."""

    within = np.sum
    between = np.add
    takes_dtype = True


class Prod(_Plain):
    """The product."""

    within = np.prod
    between = np.multiply
    takes_dtype = True


class Min(_Plain):
    """The smallest."""

    within = np.min
    between = np.minimum
    has_identity = False


class Max(_Plain):
    """The largest."""

    within = np.max
    between = np.maximum
    has_identity = False


class SomeTrue(_Plain):
    """Whether one is true."""

    within = np.any
    between = np.logical_or

    @property
    def label(self) -> str:
        return "any"


class EveryTrue(_Plain):
    """Whether all are true."""

    within = np.all
    between = np.logical_and

    @property
    def label(self) -> str:
        return "all"


class CountNonzero(_Plain):
    """How many are not zero."""

    within = np.count_nonzero
    between = np.add


class NanSum(_Plain):
    """The sum of what is not NaN."""

    within = np.nansum
    between = np.add
    takes_dtype = True


class NanProd(_Plain):
    """The product of what is not NaN."""

    within = np.nanprod
    between = np.multiply
    takes_dtype = True


class NanMin(_Plain):
    """The smallest that is not NaN."""

    within = np.fmin.reduce
    between = np.fmin
    has_identity = False


class NanMax(_Plain):
    """The largest that is not NaN."""

    within = np.fmax.reduce
    between = np.fmax
    has_identity = False


class Mean(Reduction):
    """The mean: a sum, divided by a count that is known."""

    work: str

    def partial(self) -> Kernel:
        return _Reduced(np.sum, self.axes, np.dtype(self.work))

    def combine(self) -> Kernel:
        return _Folded(np.add)

    def final(self) -> Kernel:
        return functools.partial(_divided, self.count, self.dtype)


def _divided(count: int, dtype: np.dtype[Any], index: Index, total: Any) -> Any:
    with quiet():
        return as_chunk(np.true_divide(total, count), dtype).astype(dtype, copy=False)


class NanMean(Reduction):
    """The mean of what is not NaN."""

    work: str

    def partial(self) -> Kernel:
        return functools.partial(_sum_and_count, self.axes, np.dtype(self.work))

    def combine(self) -> Kernel:
        return _sums_and_counts

    def final(self) -> Kernel:
        return functools.partial(_mean_of, self.dtype)


def _sum_and_count(
    axes: tuple[int, ...], work: np.dtype[Any], index: Index, value: Any
) -> tuple[Any, Any]:
    total = np.nansum(value, axis=axes, keepdims=True, dtype=work)
    count = np.sum(~np.isnan(value), axis=axes, keepdims=True, dtype=np.intp)
    return as_chunk(total), as_chunk(count)


def _sums_and_counts(index: Index, states: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    add = _Folded(np.add)
    return add(index, [s for s, _ in states]), add(index, [n for _, n in states])


def _mean_of(dtype: np.dtype[Any], index: Index, state: tuple[Any, Any]) -> Any:
    total, count = state
    with quiet():
        return as_chunk(np.true_divide(total, count)).astype(dtype, copy=False)


class Moment(Reduction):
    """Variance or standard deviation: counts, means and squares, merged as Chan et al. do."""

    work: str
    ddof: float
    root: bool

    @property
    def label(self) -> str:
        return "std" if self.root else "var"

    def partial(self) -> Kernel:
        return functools.partial(_squares, self.axes, np.dtype(self.work))

    def combine(self) -> Kernel:
        return _merged_squares

    def final(self) -> Kernel:
        return functools.partial(_spread, max(self.count - self.ddof, 0), self.root, self.dtype)


_Squares: TypeAlias = tuple[int, Any, Any, Any]
"""Count; mean, as a sum of two numbers of which the first is near and the second small; sum of
squared distances from the mean. One number for the mean would cost half the digits of the
variance of numbers that are large against their spread."""


def _squares(axes: tuple[int, ...], work: np.dtype[Any], index: Index, value: Any) -> _Squares:
    """The state of a chunk, from blocks of rows that stay in the cache."""
    if value.flags.c_contiguous and len(axes) == value.ndim > 1:
        value = value.reshape(-1, *(1,) * (value.ndim - 1))
    rows = max(1, _BLOCK * len(value) // max(1, value.size)) if value.ndim else 1
    if 0 not in axes or len(value) <= 2 * rows:
        return _block_squares(axes, work, value)
    return _merged_squares(
        index,
        [_block_squares(axes, work, value[at : at + rows]) for at in range(0, len(value), rows)],
    )


def _block_squares(axes: tuple[int, ...], work: np.dtype[Any], value: Any) -> _Squares:
    count = math.prod(value.shape[a] for a in axes)
    many = max(count, 1)
    with quiet():
        near = np.true_divide(np.sum(value, axis=axes, keepdims=True, dtype=work), many)
        away = np.subtract(value, near)
        small = np.sum(away, axis=axes, keepdims=True) / many
        if away.dtype.kind == "c":
            away = away.real**2 + away.imag**2
        else:
            np.multiply(away, away, out=away)
        return count, as_chunk(near), as_chunk(small), np.sum(away, axis=axes, keepdims=True)


def _merged_squares(index: Index, states: list[_Squares]) -> _Squares:
    count, near, small, squares = states[0]
    with quiet():
        for more, its_near, its_small, its_squares in states[1:]:
            if not more:
                continue
            total = count + more
            away = (its_near - near) + (its_small - small)
            if not count:
                near, small = its_near, its_small
            else:
                small = small + away * (more / total)
            apart = away.real**2 + away.imag**2 if away.dtype.kind == "c" else away * away
            squares = squares + its_squares + apart * (count * (more / total))
            count = total
    return count, near, small, squares


def _spread(free: float, root: bool, dtype: np.dtype[Any], index: Index, state: _Squares) -> Any:
    with quiet():
        spread = np.true_divide(state[3], free)
        return as_chunk(np.sqrt(spread) if root else spread).astype(dtype, copy=False)


class ArgExtreme(Reduction):
    """Where the smallest or largest is: along one axis, or in the flat array over all."""

    smallest: bool
    flat: bool

    @property
    def label(self) -> str:
        return "argmin" if self.smallest else "argmax"

    def partial(self) -> Kernel:
        return _Where(self.operand.cuts, self.axes, self.smallest, self.flat)

    def combine(self) -> Kernel:
        return functools.partial(_first_of, self.smallest)

    def final(self) -> Kernel:
        return functools.partial(_place, self.dtype)


@dataclasses.dataclass(frozen=True, slots=True)
class _Where:
    cuts: tuple[Cut, ...]
    axes: tuple[int, ...]
    smallest: bool
    flat: bool

    def __call__(self, index: Index, value: Any) -> Any:
        if any(value.shape[a] == 0 for a in self.axes):
            return None
        find = np.argmin if self.smallest else np.argmax
        starts = starts_of(self.cuts, index)
        if not self.flat:
            (axis,) = self.axes
            at = np.expand_dims(find(value, axis=axis), axis)
            return np.take_along_axis(value, at, axis), at + starts[axis]
        local = np.unravel_index(int(find(value)), shape_of(self.cuts, index)) if value.ndim else ()
        place = 0
        for start, i, cut in zip(starts, local, self.cuts, strict=True):
            place = place * cut.length + start + int(i)
        ones = (1,) * value.ndim
        return np.asarray(value[local]).reshape(ones), np.full(ones, place, np.intp)


def _first_of(smallest: bool, index: Index, states: list[Any]) -> Any:
    """The best of the states, by the least place where several are equal."""
    known = [state for state in states if state is not None]
    if len(known) < 2:
        return known[0] if known else None
    if known[0][1].size == 1:
        # Blocks come in an order that is not that of the flat array.
        known.sort(key=lambda state: state[1].item())
    values = np.stack([value for value, _ in known])
    places = np.stack([place for _, place in known])
    best = np.expand_dims((np.argmin if smallest else np.argmax)(values, axis=0), 0)
    return (
        np.take_along_axis(values, best, 0)[0],
        np.take_along_axis(places, best, 0)[0],
    )


def _place(dtype: np.dtype[Any], index: Index, state: tuple[Any, Any]) -> Any:
    return as_chunk(state[1]).astype(dtype, copy=False)


# What users call ----------------------------------------------------------------------------


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
        return getattr(_asarray(a), name)(*args, **options)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"Lazy ``numpy.{name}``: see ``Array.{name}``."
    return public(call)


def _asarray(a: Any) -> Any:
    from nbscale.array.io import asarray  # noqa: PLC0415

    return asarray(a)


def _nan(
    name: str, cls: type[Reduction], function: Callable[..., Any], *, dtype_too: bool
) -> Callable[..., Any]:
    plain = name.removeprefix("nan")

    def call(
        a: Any, axis: Axis = None, dtype: npt.DTypeLike | None = None, *, keepdims: bool = False
    ) -> Any:
        x = _asarray(a)
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
    x = _asarray(a)
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
    return _asarray(a)._plain(CountNonzero, np.count_nonzero, axis, keepdims)  # noqa: SLF001


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
