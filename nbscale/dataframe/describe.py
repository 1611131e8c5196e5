"""``describe``: one pass for what needs one, and quantiles or frequencies beside it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from nbscale.collection import Collection, wrap
from nbscale.dataframe.combine import combined
from nbscale.dataframe.counts import value_counts
from nbscale.dataframe.distinct import count_distinct
from nbscale.dataframe.narrow import SortedColumns
from nbscale.dataframe.quantile import QuantileOf, Quantiles
from nbscale.dataframe.rows import FirstRows
from nbscale.dataframe.select import Column, Project
from nbscale.dataframe.summary import REDUCERS, Summary
from nbscale.expr.node import Node
from nbscale.record import record

__all__ = ["describe"]


def _kind(dtype: Any) -> str:
    """How pandas describes a column of this dtype."""
    if pd.api.types.is_bool_dtype(dtype):
        return "values"
    if pd.api.types.is_numeric_dtype(dtype) or dtype.kind == "m":
        return "numbers"
    return "dates" if dtype.kind == "M" else "values"


_PASS = {
    "numbers": ("count", "mean", "std", "min", "max"),
    "dates": ("count", "mean", "min", "max"),
    "values": ("count",),
}


@record
class _Described:
    """The description of one column: what it is called, its kind, its dtype, its row labels."""

    name: Hashable
    kind: str
    dtype: Any
    labels: tuple[Hashable, ...]

    def build(self, once: dict[str, Any], rest: list[Any]) -> pd.Series:
        """The description, built as pandas builds it."""
        if self.kind == "values":
            unique, top = rest
            some = unique > 0
            values = [
                once["count"],
                unique,
                *((top.index[0], top.iloc[0]) if some else (np.nan,) * 2),
            ]
            dtype: Any = None if some else object
            return pd.Series(values, index=self.labels, name=self.name, dtype=dtype)
        (quantiles,) = rest
        head = (
            ("count", "mean", "std", "min") if self.kind == "numbers" else ("count", "mean", "min")
        )
        values = [*(once[name] for name in head), *quantiles.tolist(), once["max"]]
        return pd.Series(values, index=self.labels, name=self.name, dtype=self._result())

    def _result(self) -> Any:
        if self.kind == "dates":
            return None
        if isinstance(self.dtype, pd.ArrowDtype):
            return None if self.dtype.kind == "m" else "double[pyarrow]"
        if not isinstance(self.dtype, np.dtype):
            return "Float64"
        return np.dtype(float) if self.dtype.kind in "iuf" else None


@record
class _Describe:
    columns: tuple[_Described, ...]
    names: pd.Index | None

    def __call__(self, values: list[Any]) -> Any:
        once, *rest = values
        queue, others = iter(once), iter(rest)
        found = []
        for column in self.columns:
            known = {name: next(queue) for name in _PASS[column.kind]}
            more = [next(others) for _ in range(2 if column.kind == "values" else 1)]
            found.append(column.build(known, more))
        if self.names is None:
            return found[0]
        labels: dict[Hashable, None] = {}
        for series in sorted(found, key=len):
            labels.update(dict.fromkeys(series.index))
        frame = pd.concat(found, axis=1, ignore_index=True, sort=False).reindex(list(labels))
        frame.columns = self.names
        return frame


def describe(subject: Collection, percentiles: Any, include: Any, exclude: Any) -> Any:
    """Count, mean, spread and quantiles, or count, distinct values and the most frequent."""
    node: Any = subject._node  # noqa: SLF001
    if node.kind != "frame":
        series: dict[Any, Node] = {None: node}
        q, says = _percentiles(node.sample, percentiles)
        described: tuple[_Described, ...] = (_described(None, node.sample, says),)
        names = None
    else:
        q, says = _percentiles(node.sample, percentiles, include=include, exclude=exclude)
        chosen = tuple(says.columns)
        node = Project(node, chosen)
        series = {name: Column(node, name) for name in chosen}
        names = says.columns
        described = tuple(
            _described(name, node.sample[name], node.sample[name].describe(q)) for name in chosen
        )
    wanted = [
        (None if names is None else d.name, REDUCERS[one]())
        for d in described
        for one in _PASS[d.kind]
    ]
    parts: list[Node] = [Summary(node, tuple(wanted))]
    for d in described:
        column = series[None if names is None else d.name]
        if d.kind == "values":
            parts += _frequent(wrap(column, subject))
        else:
            result = QuantileOf(None, q, False, "linear")
            parts.append(Quantiles(SortedColumns(column), column, result))
    return wrap(combined(parts, _Describe(described, names)), subject)


def _described(name: Hashable, column: pd.Series, says: pd.Series) -> _Described:
    kind = _kind(column.dtype)
    return _Described(column.name, kind, column.dtype, tuple(says.index))


def _percentiles(sample: Any, percentiles: Any, **chosen: Any) -> tuple[tuple[float, ...], Any]:
    """The quantiles asked for, and pandas' own description of the sample."""
    says = sample.describe(percentiles=percentiles, **chosen)
    wanted = (0.25, 0.5, 0.75) if percentiles is None else percentiles
    return tuple(np.unique(np.asarray(wanted, dtype=float)).tolist()), says


def _frequent(column: Collection) -> list[Node]:
    """Number of distinct values, and the most frequent one with its count."""
    counts = value_counts(  # noqa: SLF001
        column, None, normalize=False, sort=True, ascending=False, dropna=True
    )._node
    return [
        count_distinct(column, dropna=True)._node,  # noqa: SLF001
        FirstRows(counts, 1),
    ]
