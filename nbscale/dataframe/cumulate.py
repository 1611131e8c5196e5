"""Running totals: ``cumsum``, ``cumprod``, ``cummax``, ``cummin``; and what scans by column share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from nbscale.dataframe.node import FrameScan
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.record import record

__all__ = ["Cumulate", "ScanByColumn", "columns_in", "rebuilt"]


def columns_in(value: Any) -> list[pd.Series]:
    """The columns of a frame by position, or the series itself."""
    if isinstance(value, pd.Series):
        return [value]
    return [value.iloc[:, i] for i in range(value.shape[1])]


def rebuilt(like: Any, columns: list[pd.Series]) -> Any:
    """Columns put together as they came from a frame, or the series itself."""
    if isinstance(like, pd.Series):
        return columns[0]
    if not columns:
        return like
    made = pd.concat([c.reset_index(drop=True) for c in columns], axis=1)
    made.columns, made.index = like.columns, like.index
    return made


class ScanByColumn(FrameScan):
    """A scan of each column by itself."""

    column_local = True

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (Need(need.columns, need.index, True),)


# Running totals -----------------------------------------------------------------------------


class Cumulate(ScanByColumn):
    """``cumsum``, ``cumprod``, ``cummax`` and ``cummin``."""

    input: Node
    method: str
    skipna: bool

    @property
    def label(self) -> str:
        return self.method

    def validate(self) -> None:
        for column in columns_in(self.input.sample):  # type: ignore[attr-defined]
            text = isinstance(column.dtype, pd.StringDtype) or column.dtype == object
            if text and self.method in ("cumsum", "cumprod"):
                msg = f"{self.method} of {column.name!r}: cannot add up values of {column.dtype}"
                raise TypeError(msg)
        super().validate()

    def summarise(self) -> Kernel:
        return _Totals(self.method, self.skipna)

    def fold(self) -> Kernel:
        return _FoldTotals(self.method, self.skipna)

    def apply(self) -> Kernel:
        return _RunOn(self.method, self.skipna)


_TOTALS = {"cumsum": "sum", "cumprod": "prod", "cummax": "max", "cummin": "min"}


@record
class _Totals:
    """Of each column a series of at most one row: the last running value that is there."""

    method: str
    skipna: bool

    def __call__(self, _index: Index, value: Any) -> list[pd.Series]:
        return [self._total(column) for column in columns_in(value)]

    def _total(self, column: pd.Series) -> pd.Series:
        held = column.dropna() if self.skipna else column
        if not len(held):
            return held
        total = getattr(held, _TOTALS[self.method])(skipna=self.skipna)
        if self.method in ("cummax", "cummin") and not pd.isna(total):
            return _constant(total, held.dtype)
        running = getattr(held.iloc[:1], self.method)(skipna=self.skipna)
        return _constant(total, running.dtype)


def _constant(value: Any, dtype: Any) -> pd.Series:
    return pd.Series([value], dtype=dtype)


@record
class _FoldTotals:
    method: str
    skipna: bool

    def __call__(
        self, _index: Index, summaries: list[list[pd.Series]]
    ) -> list[list[pd.Series | None]]:
        so_far: list[pd.Series | None] = [None] * len(summaries[0])
        prefixes = []
        for summary in summaries:
            prefixes.append(list(so_far))
            for i, total in enumerate(summary):
                if len(total):
                    so_far[i] = self._joined(so_far[i], total)
        return prefixes

    def _joined(self, before: pd.Series | None, total: pd.Series) -> pd.Series:
        if before is None:
            return total
        both = pd.concat([before, total], ignore_index=True)
        return getattr(both, self.method)(skipna=self.skipna).iloc[1:]


@record
class _RunOn:
    method: str
    skipna: bool

    def __call__(self, _index: Index, value: Any, prefix: list[pd.Series | None]) -> Any:
        local = getattr(value, self.method)(skipna=self.skipna)
        if all(p is None for p in prefix) or not len(value):
            return local
        done = [
            column if before is None else self._after(column, run, before)
            for column, run, before in zip(
                columns_in(local), columns_in(value), prefix, strict=True
            )
        ]
        return rebuilt(local, done)

    def _after(self, local: pd.Series, column: pd.Series, before: pd.Series) -> pd.Series:
        total = before.iloc[0]
        plain = isinstance(local.dtype, np.dtype) and local.dtype.kind in "iuf"
        if plain and not pd.isna(total):
            return self._plain(local, total)
        # Any other dtype: let pandas run on from the row before.
        rest = column.reset_index(drop=True).astype(local.dtype)
        run = pd.concat([before, rest], ignore_index=True)
        made: pd.Series = getattr(run, self.method)(skipna=self.skipna).iloc[1:]
        return made.set_axis(local.index).rename(local.name)

    def _plain(self, local: pd.Series, total: Any) -> pd.Series:
        operation = _OPERATIONS[self.method]
        values = operation(local.to_numpy(), local.dtype.type(total))
        return pd.Series(values, index=local.index, name=local.name, copy=False)


# Missing values stay missing in all four, as pandas leaves them.
_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "cumsum": np.add,
    "cumprod": np.multiply,
    "cummax": np.maximum,
    "cummin": np.minimum,
}
