"""Reductions over axes: each a tree of ``partial``, ``combine`` and ``final``.

Within a chunk NumPy reduces (sums pairwise); between chunks states meet in a fixed order, so the
same array in the same chunks gives the same bits every time.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from nbscale.array.chunks import Cut, shape_of, starts_of
from nbscale.array.node import (
    ArrayNode,
    Needs,
    Picks,
    as_chunk,
    dtype_of,
    quiet,
)
from nbscale.expr.node import Index, Kernel, Reduce
from nbscale.record import record

__all__ = [
    "ArgExtreme",
    "Between",
    "CountNonzero",
    "EveryTrue",
    "Max",
    "Min",
    "NanMax",
    "NanMin",
    "NanProd",
    "NanSum",
    "Prod",
    "Reduction",
    "SomeTrue",
    "Sum",
    "Within",
]


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


@record
class Within:
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


@record
class Between:
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
        return Within(cls.__dict__["within"], self.axes, kind, not cls.has_identity)

    def combine(self) -> Kernel:
        return Between(type(self).between)

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


@record
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
