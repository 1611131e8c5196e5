"""What users call aggregates on: ``df.groupby("k")``, ``df.groupby("k")["x"]``."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.typing import DataFrameGroupBy as DataFrameGroupByOfPandas

from nbscale.collection import Collection, public_methods, wrap
from nbscale.dataframe.aggregates import NAMED, Aggregate, Size
from nbscale.dataframe.align import aligned
from nbscale.dataframe.grouped import ByColumn, ByLevel, GroupStates, result_of
from nbscale.dataframe.grouped_result import GroupedResult
from nbscale.dataframe.groups import Wanted
from nbscale.dataframe.select import missing_column
from nbscale.expr.node import Node
from nbscale.record import record

__all__ = ["DataFrameGroupBy", "Key", "Options", "SeriesGroupBy"]


@record
class Key:
    """One key: its name, where it is found, and whether it is a column of the frame itself."""

    name: Hashable
    by: Any
    source: Collection | None = None

    @property
    def column(self) -> bool:
        """Whether the key is a column of the frame that is grouped."""
        return isinstance(self.by, ByColumn)


@record
class Options:
    """What ``groupby`` was asked beside its keys."""

    sort: bool
    dropna: bool
    observed: bool
    as_index: bool


_CALLABLES: dict[Any, str] = {
    sum: "sum",
    min: "min",
    max: "max",
    any: "any",
    all: "all",
    np.sum: "sum",
    np.min: "min",
    np.max: "max",
    np.mean: "mean",
    np.prod: "prod",
}


def _named(function: Any) -> str:
    """The name of an aggregate given by name or as a function that is one."""
    name = function if isinstance(function, str) else _CALLABLES.get(function)
    if name in NAMED:
        return str(name)
    shown = function if isinstance(function, str) else getattr(function, "__name__", function)
    msg = (
        f"groupby cannot aggregate by {shown!r}: a function of one's own sees all rows of a group "
        f"at once, which may not fit in memory; what there is: {', '.join(sorted(NAMED))}"
    )
    raise NotImplementedError(msg)


class _GroupBy:
    """Rows gathered by equal keys; aggregates of them are lazy frames and series."""

    def __init__(
        self, subject: Collection, keys: Sequence[Key], options: Options, selected: Any = None
    ) -> None:
        self._subject = subject
        self._keys = tuple(keys)
        self._options = options
        self._selected = selected

    def __repr__(self) -> str:
        names = ", ".join(repr(key.name) for key in self._keys)
        return f"<nbscale {type(self).__name__} by {names}; not computed yet>"

    def __iter__(self) -> Iterator[Any]:
        msg = (
            "iterating over groups would compute all of them; aggregate them, or use "
            "get_group(name) for one"
        )
        raise NotImplementedError(msg)

    @property
    def _node(self) -> Any:
        return self._subject._node  # noqa: SLF001

    # To be given by subclasses.

    def _columns(self) -> list[Hashable]:
        """The columns aggregated, or [None] for a series."""
        raise NotImplementedError(type(self).__name__)

    def _on_sample(self, columns: Any) -> Any:
        """Pandas' own group-by of the sample: it says what is wrong, and names the columns."""
        sample = self._node.sample
        keys = []
        for key in self._keys:
            if key.column:
                keys.append(key.by.name)
            elif isinstance(key.by, ByLevel):
                keys.append(pd.Series(sample.index, index=sample.index, name=key.name))
            else:
                values = key.by.sample.array[: len(sample)]
                sample = sample.iloc[: len(values)]
                keys.append(pd.Series(values, name=key.name))
        keys = [k.set_axis(sample.index[: len(k)]) if isinstance(k, pd.Series) else k for k in keys]
        options = dataclasses.asdict(self._options)
        grouped = sample.groupby(keys if len(keys) > 1 else keys[0], **options)
        return grouped if columns is None else grouped[columns]

    def _lazy(
        self, called: str, wanted: Sequence[Wanted], columns: pd.Index | None, name: Any
    ) -> Any:
        lazy = [key for key in self._keys if key.source is not None]
        subject, *series = aligned(self._node, *[key.by for key in lazy])
        queue = iter(series)
        by = tuple(next(queue) if isinstance(key.by, Node) else key.by for key in self._keys)
        unique = tuple(dict.fromkeys(wanted))
        states = GroupStates(subject, by, unique, self._options.dropna)
        dtypes = [getattr(key, "dtype", None) for key in states.sample.keys]
        result = GroupedResult(
            called,
            tuple(key.name for key in self._keys),
            tuple(wanted),
            columns,
            name,
            self._options.sort,
            self._options.observed,
            self._options.as_index,
            any(isinstance(dtype, pd.CategoricalDtype) for dtype in dtypes),
        )
        node = result_of(states, result)
        return wrap(node, self._subject, *[key.source for key in lazy if key.source is not None])

    def _one(self, method: str, numeric_only: bool = False, **options: Any) -> Any:
        """One aggregate of every column."""
        columns = self._columns()
        if numeric_only:
            schema = self._node.schema
            numeric = pd.api.types.is_numeric_dtype
            if columns != [None]:
                columns = [c for c in columns if numeric(schema[c].dtype)]
            elif not numeric(schema.dtype):
                msg = f"{method} with numeric_only=True needs numbers, not {schema.dtype}"
                raise TypeError(msg)
        one = self._is_series()
        picked = None if columns == [None] else (columns[0] if one else columns)
        pandas_says = getattr(self._on_sample(picked), method)(**options)
        wanted = [Wanted(c, NAMED[method](**options)) for c in columns]
        if one:
            return self._lazy(method, wanted, None, self._series_name())
        labels = pandas_says.columns
        return self._lazy(method, wanted, labels[len(labels) - len(wanted) :], None)

    def _is_series(self) -> bool:
        raise NotImplementedError(type(self).__name__)

    def _series_name(self) -> Hashable:
        raise NotImplementedError(type(self).__name__)

    # Aggregates -----------------------------------------------------------------------------

    def sum(self, numeric_only: bool = False, min_count: int = 0) -> Any:
        """Sum of each group.

        Parameters
        ----------
        numeric_only
            Columns of numbers and booleans only.
        min_count
            The sum of fewer values than this is missing.

        Notes
        -----
        One pass. Groups are merged in a tree if those of all partitions together are no larger
        than one partition; otherwise each group is exchanged once, and the result has several
        partitions.

        Examples
        --------
        >>> import pandas as pd, nbscale.dataframe as nd
        >>> df = nd.from_pandas(pd.DataFrame({"k": ["a", "b", "a"], "x": [1, 2, 3]}), npartitions=2)
        >>> df.groupby("k").x.sum().compute().to_dict()
        {'a': 4, 'b': 2}
        """
        options = {"min_count": min_count} if min_count else {}
        return self._one("sum", numeric_only, **options)

    def prod(self, numeric_only: bool = False, min_count: int = 0) -> Any:
        """Product of each group; see ``sum``."""
        options = {"min_count": min_count} if min_count else {}
        return self._one("prod", numeric_only, **options)

    def mean(self, numeric_only: bool = False) -> Any:
        """Mean of each group; cost as in ``sum``."""
        return self._one("mean", numeric_only)

    def min(self, numeric_only: bool = False) -> Any:
        """Smallest value of each group; cost as in ``sum``."""
        return self._one("min", numeric_only)

    def max(self, numeric_only: bool = False) -> Any:
        """Largest value of each group; cost as in ``sum``."""
        return self._one("max", numeric_only)

    def first(self, numeric_only: bool = False) -> Any:
        """First value of each group that is there; cost as in ``sum``."""
        return self._one("first", numeric_only)

    def last(self, numeric_only: bool = False) -> Any:
        """Last value of each group that is there; cost as in ``sum``."""
        return self._one("last", numeric_only)

    def var(self, ddof: int = 1, numeric_only: bool = False) -> Any:
        """Variance of each group, by merged moments; cost as in ``sum``."""
        return self._one("var", numeric_only, ddof=ddof)

    def std(self, ddof: int = 1, numeric_only: bool = False) -> Any:
        """Standard deviation of each group; cost as in ``sum``."""
        return self._one("std", numeric_only, ddof=ddof)

    def sem(self, ddof: int = 1, numeric_only: bool = False) -> Any:
        """Standard error of the mean of each group; cost as in ``sum``."""
        return self._one("sem", numeric_only, ddof=ddof)

    def count(self) -> Any:
        """Number of values of each group that are there; cost as in ``sum``."""
        return self._one("count")

    def nunique(self, dropna: bool = True) -> Any:
        """Number of distinct values of each group.

        One pass. Keeps each pair of group and value once; cost otherwise as in ``sum``.
        """
        return self._one("nunique", dropna=dropna)

    def any(self) -> Any:
        """Whether any value of each group is true; cost as in ``sum``."""
        return self._one("any")

    def all(self) -> Any:
        """Whether all values of each group are true; cost as in ``sum``."""
        return self._one("all")

    def size(self) -> Any:
        """Number of rows of each group; cost as in ``sum``."""
        if self._options.as_index:
            return self._lazy("size", [Wanted(None, Size())], None, self._series_name())
        return self._lazy("size", [Wanted(None, Size())], pd.Index(["size"]), None)

    def aggregate(self, func: Any = None, **named: Any) -> Any:
        """Several aggregates at once.

        Parameters
        ----------
        func
            The name of an aggregate, a list of names, or for a frame a dict from column to name or
            list of names.
        named
            Instead of ``func``: ``total=("x", "sum")`` for a frame, ``total="sum"`` for a series.

        Raises
        ------
        NotImplementedError
            For functions of one's own.

        Notes
        -----
        One pass for all of them; cost as in ``sum``.

        Examples
        --------
        >>> import pandas as pd, nbscale.dataframe as nd
        >>> df = nd.from_pandas(pd.DataFrame({"k": ["a", "b", "a"], "x": [1, 2, 3]}), npartitions=2)
        >>> df.groupby("k").agg(total=("x", "sum"), top=("x", "max")).compute().loc["a"].tolist()
        [4, 3]
        """
        if func is not None and not isinstance(func, (list, tuple, dict)):
            return getattr(self, _named(func))(**named)
        wanted, plain = self._compiled(func, named)
        columns = None if self._columns() == [None] else self._pick()
        says = self._on_sample(columns)
        labels = (says.agg(plain) if plain is not None else says.agg(**named)).columns
        return self._lazy("agg", wanted, labels[len(labels) - len(wanted) :], None)

    agg = aggregate

    def _pick(self) -> Any:
        raise NotImplementedError(type(self).__name__)

    def _compiled(self, func: Any, named: dict[str, Any]) -> tuple[list[Wanted], Any]:
        """The aggregates in the order of pandas' columns, and ``func`` with names only."""
        raise NotImplementedError(type(self).__name__)

    def get_group(self, name: Any) -> Any:
        """The rows of one group.

        One pass. Unlike in pandas, a group that is not there gives no rows.
        """
        names = name if isinstance(name, tuple) else (name,)
        if len(names) != len(self._keys):
            msg = f"get_group needs a value for each of {len(self._keys)} keys, not {name!r}"
            raise ValueError(msg)
        rows: Any = self._subject
        for key, value in zip(self._keys, names, strict=True):
            if isinstance(key.by, ByLevel):
                msg = "get_group by the index: select by .loc instead"
                raise NotImplementedError(msg)
            series = rows[key.by.name] if key.column else key.source
            rows = rows[series == value]
        return rows if self._selected is None else rows[self._selected]

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and hasattr(DataFrameGroupByOfPandas, name):
            msg = (
                f"groupby(...).{name} is not there, since it may need all rows of a group at once; "
                f"what there is: {', '.join(sorted(NAMED))}, agg, get_group"
            )
            raise NotImplementedError(msg)
        msg = f"{type(self).__name__!r} object has no attribute {name!r}"
        raise AttributeError(msg)


@public_methods
class SeriesGroupBy(_GroupBy):
    """One series, or one column of a frame, gathered by equal keys."""

    def _columns(self) -> list[Hashable]:
        return [self._selected] if self._node.kind == "frame" else [None]

    def _is_series(self) -> bool:
        return True

    def _series_name(self) -> Hashable:
        return self._selected if self._node.kind == "frame" else self._node.sample.name

    def _pick(self) -> Any:
        return self._selected

    def _compiled(self, func: Any, named: dict[str, Any]) -> tuple[list[Wanted], Any]:
        (column,) = self._columns()
        if isinstance(func, dict):
            self._on_sample(None if column is None else column).agg(func)  # raises as pandas does
        plain = [_named(f) for f in func] if func is not None else None
        names = plain if plain is not None else [_named(f) for f in named.values()]
        return [_wanted(column, name) for name in names], plain


@public_methods
class DataFrameGroupBy(_GroupBy):
    """A frame gathered by equal keys."""

    def _columns(self) -> list[Hashable]:
        if self._selected is not None:
            return list(self._selected)
        own = {key.by.name for key in self._keys if key.column}
        return [c for c in self._node.columns if c not in own]

    def _is_series(self) -> bool:
        return False

    def _series_name(self) -> Hashable:
        return None

    def _pick(self) -> Any:
        return None if self._selected is None else list(self._selected)

    def _compiled(self, func: Any, named: dict[str, Any]) -> tuple[list[Wanted], Any]:
        if func is None:
            if not named:
                raise _nothing_named()
            return [_wanted(*_pair(value)) for value in named.values()], None
        if isinstance(func, dict):
            lists = {c: f if isinstance(f, (list, tuple)) else [f] for c, f in func.items()}
            plain = {
                c: [_named(one) for one in f] if isinstance(f, (list, tuple)) else _named(f)
                for c, f in func.items()
            }
            for column in func:
                if column not in self._node.columns:
                    raise missing_column(column, self._node.columns)
            return [_wanted(c, _named(one)) for c, f in lists.items() for one in f], plain
        names = [_named(f) for f in func]
        return [_wanted(c, name) for c in self._columns() for name in names], names

    def __getitem__(self, key: Any) -> Any:
        """One column, or several by a list."""
        many = isinstance(key, (list, pd.Index))
        for name in key if many else [key]:
            if name not in self._node.columns:
                raise missing_column(name, self._node.columns)
        if many:
            return DataFrameGroupBy(self._subject, self._keys, self._options, tuple(key))
        return SeriesGroupBy(self._subject, self._keys, self._options, key)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in self._node.columns:
            return self[name]
        return super().__getattr__(name)

    def __dir__(self) -> list[str]:
        names = [c for c in self._node.columns if isinstance(c, str) and c.isidentifier()]
        return sorted({*super().__dir__(), *names})


def _pair(value: Any) -> tuple[Hashable, str]:
    """Column and aggregate of ``total=("column", "sum")``."""
    if isinstance(value, pd.NamedAgg):
        return value.column, _named(value.aggfunc)
    if isinstance(value, tuple) and len(value) == 2:
        return value[0], _named(value[1])
    raise _nothing_named()


def _nothing_named() -> TypeError:
    return TypeError("agg needs names, or keywords such as total=('column', 'sum')")


def _wanted(column: Hashable, name: str) -> Wanted:
    aggregate: Aggregate = NAMED[name]()
    return Wanted(None if name == "size" else column, aggregate)
