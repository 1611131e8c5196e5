"""Running sums and products along an axis: totals of chunks first, then each chunk from its prefix."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from nbscale.array.io import asarray
from nbscale.array.node import ArrayBase, ArrayNode, dtype_of, name_of, probe, quiet
from nbscale.collection import public
from nbscale.expr.node import Index, Kernel, Scan
from nbscale.record import record

__all__ = ["Cumulative", "ScanMethods", "cumprod", "cumsum"]


class Cumulative(ArrayNode, Scan):
    """``ufunc.accumulate`` along an axis."""

    operand: ArrayNode
    function: str
    axis: int
    type_name: str | np.dtype[Any]

    def validate(self) -> None:
        self._settle(self.operand.cuts, dtype_of(self.type_name))

    @property
    def label(self) -> str:
        return "cumsum" if self.function == "add" else "cumprod"

    @property
    def along(self) -> int:
        return self.axis

    def summarise(self) -> Kernel:
        return _Total(getattr(np, self.function), self.axis, self.dtype)

    def fold(self) -> Kernel:
        return functools.partial(_prefixes, getattr(np, self.function))

    def apply(self) -> Kernel:
        return _Accumulate(getattr(np, self.function), self.axis, self.dtype)


@record
class _Total:
    function: np.ufunc
    axis: int
    dtype: np.dtype[Any]

    def __call__(self, index: Index, value: Any) -> Any:
        with quiet():
            return self.function.reduce(value, axis=self.axis, dtype=self.dtype, keepdims=True)


def _prefixes(function: np.ufunc, index: Index, totals: list[Any]) -> list[Any]:
    """What comes before each chunk: nothing, the first total, the first two, ..."""
    prefixes: list[Any] = [None]
    with quiet():
        for total in totals[:-1]:
            before = prefixes[-1]
            prefixes.append(total if before is None else function(before, total))
    return prefixes


@record
class _Accumulate:
    function: np.ufunc
    axis: int
    dtype: np.dtype[Any]

    def __call__(self, index: Index, value: Any, before: Any) -> Any:
        with quiet():
            made = self.function.accumulate(value, axis=self.axis, dtype=self.dtype)
            if before is not None:
                self.function(before, made, out=made, casting="unsafe")
        return made


class ScanMethods(ArrayBase):
    """Running operations: two passes, and between them one state for each chunk."""

    __slots__ = ()

    def cumsum(self, axis: int | None = None, dtype: npt.DTypeLike | None = None) -> Self:
        """The running sum along an axis, or of the flat array.

        Reads its input twice. Equal to NumPy's within rounding.

        Raises
        ------
        numpy.exceptions.AxisError
            If there is no such axis.

        Examples
        --------
        >>> import nbscale.array as na
        >>> na.arange(5, chunks=2).cumsum().compute()
        array([ 0,  1,  3,  6, 10])
        """
        return self._running(np.cumsum, "add", axis, dtype)

    def cumprod(self, axis: int | None = None, dtype: npt.DTypeLike | None = None) -> Self:
        """The running product along an axis, or of the flat array. As ``cumsum``."""
        return self._running(np.cumprod, "multiply", axis, dtype)

    def _running(
        self,
        function: Callable[..., Any],
        name: str,
        axis: int | None,
        dtype: npt.DTypeLike | None,
    ) -> Self:
        if axis is None:
            flat: Self = self.reshape(-1)  # type: ignore[attr-defined]  # of ShapeMethods
            return flat._running(function, name, 0, dtype)
        options = {"axis": axis} | ({} if dtype is None else {"dtype": np.dtype(dtype)})
        small = tuple(min(n, 1) for n in self.shape)
        _, kind = probe(function, ((small, self.dtype),), tuple(options.items()))
        place = axis % self.ndim
        return self._new(Cumulative(self._node, name, place, name_of(kind)))


@public
def cumsum(a: Any, axis: int | None = None, dtype: npt.DTypeLike | None = None) -> Any:
    """The running sum along an axis, or of the flat array. See ``Array.cumsum``."""
    return asarray(a).cumsum(axis, dtype)


@public
def cumprod(a: Any, axis: int | None = None, dtype: npt.DTypeLike | None = None) -> Any:
    """The running product along an axis, or of the flat array. See ``Array.cumsum``."""
    return asarray(a).cumprod(axis, dtype)
