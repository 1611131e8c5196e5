"""Running operations: ``cumsum``, ``shift``, ``ffill`` and their like.

Each is a scan: every partition is summarised, the summaries are folded into what each partition
needs of the rows before it (or behind it), and that is applied. A summary is the state of a
monoid, so empty partitions and any shift are right.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import numpy as np

from nbscale.collection import Collection, wrap
from nbscale.dataframe.cumulate import Cumulate
from nbscale.dataframe.elementwise import elementwise
from nbscale.dataframe.fill import Fill, FillBack
from nbscale.dataframe.node import FrameMap
from nbscale.dataframe.shifted import shifted
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.expr.token import token
from nbscale.plan.layout import Layout
from nbscale.record import record

__all__ = ["AlongColumns", "MoveLabels", "WindowMethods"]


# Labels -------------------------------------------------------------------------------------


class MoveLabels(FrameMap):
    """``shift`` with ``freq``: times move, values stay."""

    input: Node
    periods: int
    freq: Any

    column_local = True

    @property
    def label(self) -> str:
        return "shift"

    def kernel(self) -> Kernel:
        return _Later(self.periods, self.freq)

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (need,)

    def _make_layout(self) -> Layout:
        below: Layout = self.input.layout  # type: ignore[attr-defined]
        rows = token("later", below.rows, self.periods, self.freq)
        return dataclasses.replace(below, rows=rows, divisions=None)


@record
class _Later:
    periods: int
    freq: Any

    def __call__(self, _index: Index, value: Any) -> Any:
        return value.shift(self.periods, freq=self.freq)


# Along the columns --------------------------------------------------------------------------


class AlongColumns(FrameMap):
    """A running operation within each row."""

    input: Node
    method: str
    options: tuple[tuple[str, Any], ...]

    row_preserving = True
    carries_index = True

    @property
    def label(self) -> str:
        return self.method

    def kernel(self) -> Kernel:
        return _Across(self.method, self.options, self.schema)

    def reference(self, *inputs: Any) -> Any:
        return _Across(self.method, self.options, None)((0,), *inputs)


@record
class _Across:
    method: str
    options: tuple[tuple[str, Any], ...]
    empty: Any

    def __call__(self, _index: Index, value: Any) -> Any:
        if not len(value) and self.empty is not None:
            # Without a row pandas cannot tell the dtypes that rows have.
            return self.empty.set_axis(value.index)
        return getattr(value, self.method)(axis=1, **dict(self.options))


# What users call ----------------------------------------------------------------------------


class WindowMethods(Collection):
    """Operations that run along the rows: frames and series."""

    __slots__ = ()

    def cumsum(self, axis: Any = 0, skipna: bool = True) -> Self:
        """Running sums.

        Parameters
        ----------
        axis
            ``0``: down the rows; ``1``: along the columns, row by row.
        skipna
            Leave missing values out; otherwise everything behind one is missing.

        Raises
        ------
        TypeError
            For text, whose running sums grow without end.

        Notes
        -----
        Two passes, no exchange. Floats are added in another order than pandas adds them in.

        Examples
        --------
        >>> import pandas as pd, nbscale.dataframe as nd
        >>> nd.from_pandas(pd.Series([1, 2, 3]), npartitions=2).cumsum().compute().tolist()
        [1, 3, 6]
        """
        return self._cumulated("cumsum", axis, skipna)

    def cumprod(self, axis: Any = 0, skipna: bool = True) -> Self:
        """Running products; see ``cumsum``."""
        return self._cumulated("cumprod", axis, skipna)

    def cummax(self, axis: Any = 0, skipna: bool = True) -> Self:
        """Running maxima; see ``cumsum``."""
        return self._cumulated("cummax", axis, skipna)

    def cummin(self, axis: Any = 0, skipna: bool = True) -> Self:
        """Running minima; see ``cumsum``."""
        return self._cumulated("cummin", axis, skipna)

    def _cumulated(self, method: str, axis: Any, skipna: bool) -> Any:
        if axis in (1, "columns"):
            return wrap(AlongColumns(self._node, method, (("skipna", skipna),)), self)
        return wrap(Cumulate(self._node, method, bool(skipna)), self)

    def ffill(self, *, limit: int | None = None) -> Self:
        """Put the last value before in the place of missing ones, for at most ``limit`` rows.

        Notes
        -----
        Two passes, no exchange.

        Examples
        --------
        >>> import pandas as pd, nbscale.dataframe as nd
        >>> s = nd.from_pandas(pd.Series([1.0, None, None]), npartitions=3)
        >>> s.ffill(limit=1).compute().tolist()
        [1.0, 1.0, nan]
        """
        return wrap(Fill(self._node, limit), self)

    def bfill(self, *, limit: int | None = None) -> Self:
        """Put the next value behind in the place of missing ones; see ``ffill``."""
        return wrap(FillBack(self._node, limit), self)

    def shift(
        self, periods: int = 1, freq: Any = None, axis: Any = 0, fill_value: Any = None
    ) -> Self:
        """Move values by rows; labels stay.

        Parameters
        ----------
        periods
            By how many rows; negative ones move up.
        freq
            Move the labels by this time instead of the values.
        axis
            ``1`` moves values to the next columns.
        fill_value
            What takes the places that become free; by default they are missing, which may change
            the dtype as in pandas.

        Notes
        -----
        Two passes and no exchange for few rows; otherwise lengths are counted and rows move to
        other partitions by position.

        Examples
        --------
        >>> import pandas as pd, nbscale.dataframe as nd
        >>> nd.from_pandas(pd.Series([1, 2, 3]), npartitions=2).shift(1, fill_value=0).compute().tolist()
        [0, 1, 2]
        """
        options = {} if fill_value is None else {"fill_value": fill_value}
        _check_periods("shift", periods)
        if axis in (1, "columns"):
            plain = (("periods", periods), *options.items())
            return wrap(AlongColumns(self._node, "shift", plain), self)
        if freq is not None:
            return wrap(MoveLabels(self._node, periods, freq), self)
        if periods == 0:
            return self
        return wrap(shifted(self._node, "shift", periods, options), self)

    def diff(self, periods: int = 1, axis: Any = 0) -> Self:
        """The difference from the row ``periods`` before; see ``shift``.

        Examples
        --------
        >>> import pandas as pd, nbscale.dataframe as nd
        >>> nd.from_pandas(pd.Series([1, 4, 9]), npartitions=2).diff().compute().tolist()
        [nan, 3.0, 5.0]
        """
        _check_periods("diff", periods)
        if axis in (1, "columns"):
            made = AlongColumns(self._node, "diff", (("periods", periods),))
            return wrap(made, self)
        if periods == 0:
            return elementwise(self, "diff", 0)
        return wrap(shifted(self._node, "diff", periods, {}), self)

    def pct_change(self, periods: int = 1) -> Self:
        """The relative difference from the row ``periods`` before."""
        return self / self.shift(periods) - 1  # type: ignore[operator]


def _check_periods(method: str, periods: Any) -> None:
    if not isinstance(periods, (int, np.integer)) or isinstance(periods, bool):
        msg = f"{method} moves by a whole number of rows, not {periods!r}"
        raise TypeError(msg)
