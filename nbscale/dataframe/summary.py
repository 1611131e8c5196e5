"""Several reductions at once: ``agg`` and ``describe``.

All reductions that need one pass share it. What pandas builds of the values is built the way
pandas builds it, so that mixed dtypes come out alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nbscale.collection import Collection, wrap
from nbscale.dataframe.columnwise import Extreme, Fold, Mean, Moments, Reducer, Valid
from nbscale.dataframe.combine import combined
from nbscale.dataframe.distinct import count_distinct, value_counts
from nbscale.dataframe.node import FrameReduce
from nbscale.dataframe.quantile import Median, QuantileOf, Quantiles, SortedColumns
from nbscale.dataframe.rows import CountRows, FirstRows
from nbscale.dataframe.select import Column, Project, missing_column
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node

__all__ = ["REDUCERS", "Summary", "aggregate", "describe"]

REDUCERS: dict[str, Callable[[], Reducer]] = {
    **{
        name: (lambda name=name: Fold(name)) for name in ("sum", "prod", "min", "max", "any", "all")
    },
    **{name: (lambda name=name: Moments(name)) for name in ("var", "std", "sem")},
    **{name: (lambda name=name: Extreme(name)) for name in ("idxmin", "idxmax")},
    "mean": Mean,
    "count": Valid,
}
"""Reductions of one pass, by name."""

_OTHERS = ("median", "nunique", "size")
_FUNCTIONS: dict[Any, str] = {
    **{f: f.__name__ for f in (sum, min, max, any, all)},
    **{getattr(np, name): name for name in ("sum", "prod", "min", "max", "mean")},
}


class Summary(FrameReduce):
    """Several reductions of columns in one pass: the list of their values.

    ``wanted`` has (column, reducer); the column of a series is None.
    """

    input: Node
    wanted: tuple[tuple[Hashable, Any], ...]

    @property
    def label(self) -> str:
        return "summary"

    def reference(self, *inputs: Any) -> Any:
        return [reducer.reference(_column(inputs[0], c)) for c, reducer in self.wanted]

    def partial(self) -> Kernel:
        return _Partials(self.wanted)

    def combine(self) -> Kernel:
        return _Combines(self.wanted)

    def final(self) -> Kernel:
        return _Finals(self.wanted)

    def needs(self, need: Need) -> tuple[Need, ...]:
        del need
        columns = None if None in dict(self.wanted) else frozenset(c for c, _ in self.wanted)
        return (Need(columns, index=any(isinstance(r, Extreme) for _, r in self.wanted)),)


def _column(value: Any, name: Hashable) -> pd.Series:
    return value if isinstance(value, pd.Series) else value[name]


@dataclasses.dataclass(frozen=True, slots=True)
class _Partials:
    wanted: tuple[tuple[Hashable, Any], ...]

    def __call__(self, index: Index, value: Any) -> list[Any]:
        del index
        return [reducer.partial(_column(value, c)) for c, reducer in self.wanted]


@dataclasses.dataclass(frozen=True, slots=True)
class _Combines:
    wanted: tuple[tuple[Hashable, Any], ...]

    def __call__(self, index: Index, states: list[list[Any]]) -> list[Any]:
        del index
        by_column = zip(*states, strict=True)
        return [r.combine(s) for (_, r), s in zip(self.wanted, by_column, strict=True)]


@dataclasses.dataclass(frozen=True, slots=True)
class _Finals:
    wanted: tuple[tuple[Hashable, Any], ...]

    def __call__(self, index: Index, states: list[Any]) -> list[Any]:
        del index
        pairs = zip(self.wanted, states, strict=True)
        return [r.close(pd.Series(r.final(state, alone=True))) for (_, r), state in pairs]


# agg ----------------------------------------------------------------------------------------


def function_name(function: Any) -> str:
    """The name of a reduction given by name, or as a function that is one."""
    name = function if isinstance(function, str) else _FUNCTIONS.get(function)
    if name in REDUCERS or name in _OTHERS:
        return str(name)
    shown = function if isinstance(function, str) else getattr(function, "__name__", function)
    msg = (
        f"agg cannot reduce by {shown!r}: a function of one's own would need the whole column in "
        f"memory; what there is: {', '.join(sorted([*REDUCERS, *_OTHERS]))}"
    )
    raise NotImplementedError(msg)


@dataclasses.dataclass(frozen=True, slots=True)
class _Listed:
    """Rows are reductions, columns are columns: ``agg([...])``, ``agg({column: [...]})``."""

    rows: tuple[tuple[Hashable, tuple[Hashable, ...]], ...]
    columns: Any
    order: tuple[Hashable, ...] | None = None

    def __call__(self, values: Sequence[Any]) -> pd.DataFrame:
        queue = iter(values)
        found = [pd.Series([next(queue) for _ in labels], index=labels) for _, labels in self.rows]
        frame = pd.concat(found, axis=1, keys=[name for name, _ in self.rows])
        if isinstance(self.columns, pd.Index):
            frame.columns = self.columns
        return frame if self.order is None else frame.reindex(list(self.order))


@dataclasses.dataclass(frozen=True, slots=True)
class _Labelled:
    """One value a label: ``agg({column: "sum"})``, and all forms for a series."""

    labels: tuple[Hashable, ...]
    name: Hashable = None

    def __call__(self, values: Sequence[Any]) -> pd.Series:
        return pd.Series(list(values), index=list(self.labels), name=self.name)


@dataclasses.dataclass(frozen=True, slots=True)
class _Arranged:
    """Values of a shared pass and of others, in the order that was asked for."""

    places: tuple[int, ...]
    build: Any

    def __call__(self, values: list[Any]) -> Any:
        first, *rest = values
        whole = [*first, *rest]
        return self.build([whole[place] for place in self.places])


def _all_of(subject: Collection, wanted: Sequence[tuple[Hashable, str]], build: Any) -> Any:
    """The collection that ``build`` makes of the named reductions of columns."""
    node: Any = subject._node  # noqa: SLF001
    once = [w for w in dict.fromkeys(wanted) if w[1] in REDUCERS]
    others = [w for w in dict.fromkeys(wanted) if w[1] not in REDUCERS]
    summary = Summary(node, tuple((column, REDUCERS[name]()) for column, name in once))
    parts = [summary, *(_other(subject, column, name) for column, name in others)]
    place = {w: i for i, w in enumerate([*once, *others])}
    return wrap(combined(parts, _Arranged(tuple(place[w] for w in wanted), build)), subject)


def _other(subject: Collection, column: Hashable, name: str) -> Node:
    node: Any = subject._node  # noqa: SLF001
    if node.kind == "frame":
        node = Column(node, column)
    if name == "size":
        return CountRows(node)
    if name == "median":
        return Quantiles(SortedColumns(node), node, Median(None))
    return count_distinct(wrap(node, subject), dropna=True)._node  # type: ignore[no-any-return] # noqa: SLF001


def aggregate(subject: Collection, func: Any, named: Mapping[str, Any]) -> Any:
    """Reductions by name: one, a list, or a dict; or keywords."""
    node: Any = subject._node  # noqa: SLF001
    if func is not None and not isinstance(func, (list, tuple, Mapping)):
        return getattr(subject, function_name(func))(**named)
    if func is None and not named:
        msg = "agg needs the names of reductions, such as 'sum' or ['min', 'max']"
        raise TypeError(msg)
    if node.kind != "frame":
        pairs = named if func is None else func
        if isinstance(pairs, Mapping):
            labels, names = tuple(pairs), [function_name(f) for f in pairs.values()]
        else:
            names = [function_name(f) for f in pairs]
            labels = tuple(names)
        return _all_of(subject, [(None, n) for n in names], _Labelled(labels, node.sample.name))
    if isinstance(func, Mapping):
        return _by_column(subject, func)
    if func is None:
        return _by_name(subject, named)
    names = tuple(function_name(f) for f in func)
    wanted = [(column, name) for column in node.columns for name in names]
    rows = tuple((column, names) for column in node.columns)
    return _all_of(subject, wanted, _Listed(rows, node.schema.columns))


def _by_column(subject: Collection, func: Mapping[Any, Any]) -> Any:
    columns = subject._node.columns  # type: ignore[attr-defined] # noqa: SLF001
    for column in func:
        if column not in columns:
            raise missing_column(column, columns)
    if not any(isinstance(f, (list, tuple)) for f in func.values()):
        wanted = [(column, function_name(f)) for column, f in func.items()]
        return _all_of(subject, wanted, _Labelled(tuple(func)))
    rows = tuple(
        (column, tuple(function_name(one) for one in (f if isinstance(f, (list, tuple)) else [f])))
        for column, f in func.items()
    )
    wanted = [(column, name) for column, names in rows for name in names]
    return _all_of(subject, wanted, _Listed(rows, None))


def _by_name(subject: Collection, named: Mapping[str, Any]) -> Any:
    """``total=("column", "sum")``: a row for each name."""
    columns = subject._node.columns  # type: ignore[attr-defined] # noqa: SLF001
    by_column: dict[Hashable, list[tuple[str, str]]] = {}
    for label, value in named.items():
        if isinstance(value, pd.NamedAgg):
            value = (value.column, value.aggfunc)  # noqa: PLW2901
        if not isinstance(value, tuple) or len(value) != 2:
            msg = f"agg needs {label}=('column', 'sum'), not {value!r}"
            raise TypeError(msg)
        column, function = value
        if column not in columns:
            raise missing_column(column, columns)
        by_column.setdefault(column, []).append((label, function_name(function)))
    wanted = [(c, name) for c, pairs in by_column.items() for _, name in pairs]
    rows = tuple((c, tuple(label for label, _ in pairs)) for c, pairs in by_column.items())
    return _all_of(subject, wanted, _Listed(rows, None, tuple(named)))


# describe -----------------------------------------------------------------------------------


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


@dataclasses.dataclass(frozen=True, slots=True)
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


@dataclasses.dataclass(frozen=True, slots=True)
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
        series = {None: node}
        q, says = _percentiles(node.sample, percentiles)
        described = (_described(None, node.sample, says),)
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
