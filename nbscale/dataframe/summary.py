"""Several reductions at once: ``agg``.

All reductions that need one pass share it. What pandas builds of the values is built the way
pandas builds it, so that mixed dtypes come out alike.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nbscale.collection import Collection, wrap
from nbscale.dataframe.combine import combined
from nbscale.dataframe.distinct import count_distinct
from nbscale.dataframe.narrow import SortedColumns
from nbscale.dataframe.node import FrameReduce
from nbscale.dataframe.quantile import Median, Quantiles
from nbscale.dataframe.reducers import Extreme, Fold, Mean, Moments, Reducer, Valid
from nbscale.dataframe.rows import CountRows
from nbscale.dataframe.select import Column, missing_column
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.record import record

__all__ = ["REDUCERS", "Summary", "aggregate"]

REDUCERS: dict[str, Callable[[], Reducer]] = {
    **{n: functools.partial(Fold, n) for n in ("sum", "prod", "min", "max", "any", "all")},
    **{n: functools.partial(Moments, n) for n in ("var", "std", "sem")},
    **{n: functools.partial(Extreme, n) for n in ("idxmin", "idxmax")},
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


@record
class _Partials:
    wanted: tuple[tuple[Hashable, Any], ...]

    def __call__(self, index: Index, value: Any) -> list[Any]:
        del index
        return [reducer.partial(_column(value, c)) for c, reducer in self.wanted]


@record
class _Combines:
    wanted: tuple[tuple[Hashable, Any], ...]

    def __call__(self, index: Index, states: list[list[Any]]) -> list[Any]:
        del index
        by_column = zip(*states, strict=True)
        return [r.combine(s) for (_, r), s in zip(self.wanted, by_column, strict=True)]


@record
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


@record
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


@record
class _Labelled:
    """One value a label: ``agg({column: "sum"})``, and all forms for a series."""

    labels: tuple[Hashable, ...]
    name: Hashable = None

    def __call__(self, values: Sequence[Any]) -> pd.Series:
        return pd.Series(list(values), index=list(self.labels), name=self.name)


@record
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
    return count_distinct(wrap(node, subject), dropna=True)._node  # noqa: SLF001


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
    called = tuple(function_name(f) for f in func)
    wanted = [(column, name) for column in node.columns for name in called]
    rows = tuple((column, called) for column in node.columns)
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
