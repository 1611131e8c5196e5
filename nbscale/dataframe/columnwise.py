"""Reduce every column to one value: one pass, a tree of states that hold one value a column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nbscale.dataframe.node import FrameReduce
from nbscale.dataframe.reducers import Extreme, Monotonic
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.record import record

__all__ = ["Reduction"]


class Reduction(FrameReduce):
    """One value of a series, or one for each column of a frame."""

    input: Node
    reducer: Any

    @property
    def label(self) -> str:
        return str(self.reducer.name)

    def reference(self, *inputs: Any) -> Any:
        (value,) = inputs
        return self.reducer.reference(value)

    def partial(self) -> Kernel:
        return _Partial(self.reducer)

    def combine(self) -> Kernel:
        return _Combine(self.reducer)

    def final(self) -> Kernel:
        return _Final(self.reducer)

    def needs(self, need: Need) -> tuple[Need, ...]:
        by_label = isinstance(self.reducer, Extreme)
        ordered = by_label or isinstance(self.reducer, Monotonic)
        ordered |= self.reducer.name == "sum"  # text is added up in order
        return (Need(None, index=by_label, order=ordered),)


@record
class _State:
    """States of the columns; ``names`` is None for a series."""

    names: pd.Index | None
    columns: tuple[Any, ...]


@record
class _Partial:
    reducer: Any

    def __call__(self, index: Index, value: Any) -> _State:
        del index
        if isinstance(value, pd.DataFrame):
            states = [self.reducer.partial(value.iloc[:, i]) for i in range(value.shape[1])]
            return _State(value.columns, tuple(states))
        return _State(None, (self.reducer.partial(value),))


@record
class _Combine:
    reducer: Any

    def __call__(self, index: Index, states: list[_State]) -> _State:
        del index
        by_column = zip(*[state.columns for state in states], strict=True)
        return _State(states[0].names, tuple(self.reducer.combine(c) for c in by_column))


@record
class _Final:
    reducer: Any

    def __call__(self, index: Index, state: _State) -> Any:
        del index
        reducer = self.reducer
        if state.names is None:
            value = reducer.final(state.columns[0], alone=True)
            return reducer.close(value if isinstance(value, pd.Series) else pd.Series(value))
        values = [reducer.final(column) for column in state.columns]
        if isinstance(reducer, Extreme):
            labels = [reducer.close(value) for value in values]
            like = values[0].index[:0] if values else None
            return _labelled(labels, state.names, like)
        if len({len(value) for value in values}) > 1:
            # Only some columns had rows: cannot be, since columns have rows together.
            msg = "columns of one frame have different numbers of rows"
            raise AssertionError(msg)
        row = pd.DataFrame(dict(enumerate(values)), copy=False)
        row.columns = state.names
        return reducer.close(row)


def _labelled(labels: list[Any], names: pd.Index, like: pd.Index | None) -> pd.Series:
    if like is None:
        return pd.Series([], index=names, dtype=np.int64)
    found = pd.Series(labels, index=names)
    return found.astype(like.dtype) if found.dtype != like.dtype else found
