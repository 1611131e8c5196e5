"""Filling missing values from the rows before or behind: ``ffill`` and ``bfill``."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd

from nbscale.dataframe.cumulate import ScanByColumn, columns_in, rebuilt
from nbscale.expr.node import Index, Kernel, Node
from nbscale.record import record

__all__ = ["Fill", "FillBack"]


@record
class _Last:
    """The last value of a column that is there (at most one row), and how many rows miss since."""

    value: pd.Series
    gap: int


class Fill(ScanByColumn):
    """``ffill``: the last value before, for at most ``limit`` rows."""

    input: Node
    limit: int | None = None

    forward: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return "ffill" if self.forward else "bfill"

    def validate(self) -> None:
        if self.limit is not None and (not isinstance(self.limit, int) or self.limit < 1):
            kind = "greater than 0" if isinstance(self.limit, int) else "an integer"
            msg = f"Limit must be {kind}"
            raise ValueError(msg)
        super().validate()

    def summarise(self) -> Kernel:
        return _FindLast(self.forward)

    def fold(self) -> Kernel:
        return _fold_last if self.forward else _fold_first

    def apply(self) -> Kernel:
        return _FillOn(self.limit, self.forward)


class FillBack(Fill):
    """``bfill``: the next value behind, for at most ``limit`` rows."""

    backward = True
    forward = False


@record
class _FindLast:
    forward: bool

    def __call__(self, _index: Index, value: Any) -> list[_Last]:
        return [self._of(column) for column in columns_in(value)]

    def _of(self, column: pd.Series) -> _Last:
        there = column.notna().to_numpy()
        rows = len(there)
        if not there.any():
            return _Last(column.iloc[:0].reset_index(drop=True), rows)
        at = rows - 1 - int(np.argmax(there[::-1])) if self.forward else int(np.argmax(there))
        gap = rows - 1 - at if self.forward else at
        return _Last(column.iloc[at : at + 1].reset_index(drop=True), gap)


def _fold_last(_index: Index, summaries: list[list[_Last]]) -> list[list[_Last]]:
    so_far = [_Last(last.value.iloc[:0], 0) for last in summaries[0]]
    prefixes = []
    for summary in summaries:
        prefixes.append(so_far)
        so_far = [
            last if len(last.value) else _Last(before.value, before.gap + last.gap)
            for before, last in zip(so_far, summary, strict=True)
        ]
    return prefixes


def _fold_first(index: Index, summaries: list[list[_Last]]) -> list[list[_Last]]:
    return _fold_last(index, summaries[::-1])[::-1]


@record
class _FillOn:
    limit: int | None
    forward: bool

    def __call__(self, _index: Index, value: Any, prefix: list[_Last]) -> Any:
        local = value.ffill(limit=self.limit) if self.forward else value.bfill(limit=self.limit)
        if not len(value):
            return local
        done, changed = [], False
        for column, raw, before in zip(columns_in(local), columns_in(value), prefix, strict=True):
            filled = self._filled(column, raw, before)
            changed = changed or filled is not column
            done.append(filled)
        return rebuilt(local, done) if changed else local

    def _filled(self, column: pd.Series, raw: pd.Series, before: _Last) -> pd.Series:
        there = raw.notna().to_numpy()
        if not self.forward:
            there = there[::-1]
        reach = int(np.argmax(there)) if there.any() else len(there)
        if self.limit is not None:
            reach = min(reach, self.limit - before.gap)
        if reach <= 0 or not len(before.value):
            return column
        values = pd.concat([before.value] * reach, ignore_index=True)
        plain = column.reset_index(drop=True)
        parts = [values, plain[reach:]] if self.forward else [plain[: len(plain) - reach], values]
        whole = pd.concat(parts, ignore_index=True)
        return whole.set_axis(column.index).rename(column.name)
