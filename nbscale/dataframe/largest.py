"""The rows with the largest or smallest values, as a tree of a few rows each."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from nbscale.dataframe.node import FrameReduce
from nbscale.dataframe.rows import concatenated
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.record import record

__all__ = ["Largest"]


class Largest(FrameReduce):
    """The n rows with the largest or smallest values: a tree of n rows each."""

    input: Node
    n: int
    columns_by: tuple[Hashable, ...] | None
    smallest: bool
    keep: str

    @property
    def label(self) -> str:
        return "nsmallest" if self.smallest else "nlargest"

    def partial(self) -> Kernel:
        return _Keep(self._pick(1))

    def combine(self) -> Kernel:
        return _KeepOfAll(_Keep(self._pick(1)))

    def final(self) -> Kernel:
        return self._pick()

    def _pick(self, more: int = 0) -> _Pick:
        # One row more than wanted tells the final pick that there were more rows than wanted:
        # pandas breaks ties in another way where there are not.
        return _Pick(self.n + more, self.columns_by, self.smallest, self.keep)

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (need.plus(self.columns_by or ()),)


@record
class _Pick:
    n: int
    columns: tuple[Hashable, ...] | None
    smallest: bool
    keep: Any

    def __call__(self, _index: Index, value: Any) -> Any:
        method = value.nsmallest if self.smallest else value.nlargest
        if self.columns is None:
            return method(self.n, keep=self.keep)
        return method(self.n, list(self.columns), keep=self.keep)


@record
class _Keep:
    """The rows picked, in the order they had: so that ties are broken by that order again."""

    pick: _Pick

    def __call__(self, index: Index, value: Any) -> Any:
        counted = value.set_axis(pd.RangeIndex(len(value)))
        kept = np.sort(self.pick(index, counted).index.to_numpy())
        return value.take(kept)


@record
class _KeepOfAll:
    keep: _Keep

    def __call__(self, index: Index, states: list[Any]) -> Any:
        return self.keep(index, concatenated(states))
