"""Means, variances and standard deviations."""

from __future__ import annotations

import functools
import math
from typing import Any, TypeAlias

import numpy as np

from nbscale.array.node import (
    as_chunk,
    quiet,
)
from nbscale.array.reduce import Between, Reduction, Within
from nbscale.expr.node import Index, Kernel

__all__ = ["Mean", "Moment", "NanMean"]

_BLOCK = 1 << 15
"""Elements of a block of rows that stays in a core's cache."""


class Mean(Reduction):
    """The mean: a sum, divided by a count that is known."""

    work: str

    def partial(self) -> Kernel:
        return Within(np.sum, self.axes, np.dtype(self.work))

    def combine(self) -> Kernel:
        return Between(np.add)

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
    add = Between(np.add)
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
