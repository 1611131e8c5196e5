"""Operations that look at one row at a time: arithmetic, comparisons, and pandas' row-wise methods.

One node stands for all of them: a pandas method, named, with its arguments. It keeps rows and
index, so chains of them are fused into one pass.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd

from nbscale.collection import Collection, wrap
from nbscale.dataframe.align import aligned, aligned_to, identical, spread
from nbscale.dataframe.node import Frame, FrameMap
from nbscale.dataframe.rename import Renamed
from nbscale.dataframe.select import Project, missing_column
from nbscale.expr.function import capture
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.record import record

__all__ = ["Assign", "Elementwise", "ElementwiseMethods", "MapPartitions", "elementwise"]


class Elementwise(FrameMap):
    """``inputs[0].method(*args, **kwargs)`` in every partition.

    ``args`` holds nodes where the arguments are lazy; ``method`` is a method of pandas', dotted
    for accessors (``str.upper``), or an operator (``operator.add``).
    """

    subject: Node
    method: str
    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()
    by_column: bool = True

    row_preserving = True
    carries_index = True

    @property
    def column_local(self) -> bool:  # type: ignore[override]
        """Whether each column comes from the column of the same name."""
        return self.by_column

    @property
    def label(self) -> str:
        return self.method.removeprefix("operator.")

    @property
    def gil_free(self) -> bool:  # type: ignore[override]
        return not self.method.startswith("str.")

    def kernel(self) -> Kernel:
        template = tuple(_Slot() if isinstance(a, Node) else a for a in self.args)
        return _Call(self.method, template, dict(self.kwargs))

    def needs(self, need: Need) -> tuple[Need, ...]:
        whole = Need(None, need.index, need.order)
        if not self.by_column or need.columns is None:
            return (whole,) * len(self.inputs)
        return tuple(
            need.of(c for c in node.columns if c in need.columns)
            if isinstance(node, Frame) and node.kind == "frame"
            else whole
            for node in self.inputs
        )

    def pruned(self, need: Need, inputs: Sequence[Node]) -> Node:
        if not self.by_column or not any(isinstance(a, dict) for a in self.args):
            return self.with_inputs(inputs)
        (subject,) = inputs
        have = subject.columns  # type: ignore[attr-defined]
        return self.replace(subject=subject, args=tuple(_of_columns(a, have) for a in self.args))


def _of_columns(argument: Any, columns: Sequence[Hashable]) -> Any:
    """A dict by column with the columns there are; anything else as it is."""
    if not isinstance(argument, dict):
        return argument
    return {name: value for name, value in argument.items() if name in columns}


class _Slot:
    """The place of a lazy argument."""

    __slots__ = ()


@record
class _Call:
    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __call__(self, index: Index, subject: Any, *lazy: Any) -> Any:
        queue = iter(lazy)
        args = [next(queue) if isinstance(a, _Slot) else a for a in self.args]
        name = self.method
        if name.startswith("operator."):
            return getattr(operator, name[9:])(subject, *args)
        if name.startswith("reversed."):
            return getattr(operator, name[9:])(args[0], subject)
        if name.startswith("numpy."):
            return getattr(np, name[6:])(subject, *args, **self.kwargs)
        target = subject
        *path, last = name.split(".")
        for step in path:
            target = getattr(target, step)
        member = getattr(target, last)
        return member(*args, **self.kwargs) if callable(member) else member


def elementwise(
    subject: Collection,
    method: str,
    *args: Any,
    by_column: bool = True,
    **kwargs: Any,
) -> Any:
    """The collection of a row-wise method of pandas'; lazy arguments are aligned first."""
    lazy = [a for a in args if isinstance(a, Collection)]
    first, method, others = _meeting(subject._node, method, [a._node for a in lazy])  # noqa: SLF001
    queue = iter(others)
    filled = tuple(next(queue) if isinstance(a, Collection) else _plain(a) for a in args)
    node = Elementwise(
        first,
        method,
        filled,
        tuple((k, _plain(v)) for k, v in kwargs.items()),
        by_column,
    )
    return wrap(node, subject, *lazy)


_COMPARISONS = frozenset({"lt", "le", "gt", "ge", "eq", "ne"})
_ON_THE_SUBJECT = frozenset({"where", "mask", "fillna"})
"""Methods that bring their arguments to the rows of the subject, as pandas does."""


def _meeting(subject: Any, method: str, others: Sequence[Any]) -> tuple[Node, str, Sequence[Node]]:
    """The subject and the other operands on the rows on which they meet in pandas."""
    if not others:
        return subject, method, others
    kind, _, name = method.rpartition(".")
    operation = kind in ("operator", "reversed")
    kinds = [other.kind for other in others]
    if operation and subject.kind == "series" and kinds == ["frame"]:
        # Frame and series meet along the columns, whichever comes first.
        other_way = "reversed" if kind == "operator" else "operator"
        return others[0], f"{other_way}.{name}", [spread(subject)]
    if subject.kind == "frame" and kinds == ["series"] and (operation or name == "fillna"):
        return subject, method, [spread(others[0])]
    if operation and name in _COMPARISONS:
        return subject, method, [identical(subject, other) for other in others]
    if method in _ON_THE_SUBJECT:
        return subject, method, aligned_to(subject, *others)
    first, *rest = aligned(subject, *others)
    return first, method, rest


def _plain(value: Any) -> Any:
    """Refuse arguments that would have to be cut into partitions by guessing."""
    if isinstance(value, (pd.Series, pd.DataFrame)):
        msg = (
            f"a pandas {type(value).__name__} cannot meet a lazy frame row by row; make it lazy "
            "with nd.from_pandas first, so that it is aligned"
        )
        raise TypeError(msg)
    if isinstance(value, np.ndarray) and value.ndim:
        msg = "an array of one value for each row cannot meet a lazy frame; make it lazy first"
        raise TypeError(msg)
    return value


class Assign(FrameMap):
    """A frame with columns added or replaced; values are series on the same rows, or scalars."""

    input: Node
    names: tuple[Hashable, ...]
    values: tuple[Any, ...]

    row_preserving = True
    carries_index = True

    @property
    def label(self) -> str:
        return "assign"

    def kernel(self) -> Kernel:
        template = tuple(_Slot() if isinstance(v, Node) else v for v in self.values)
        return _AssignKernel(self.names, template)

    def needs(self, need: Need) -> tuple[Need | None, ...]:
        whole = Need(None, need.index, need.order)
        below = need
        if need.columns is not None:
            below = need.of(c for c in need.columns if c not in self.names)
        lazy = [n for n, v in zip(self.names, self.values, strict=True) if isinstance(v, Node)]
        used = [need.columns is None or name in need.columns for name in lazy]
        return (below, *(whole if is_used else None for is_used in used))

    def pruned(self, need: Need, inputs: Sequence[Node]) -> Node:
        source, *lazy = inputs
        queue = iter(lazy)
        kept = [
            (name, next(queue) if isinstance(value, Node) else value)
            for name, value in zip(self.names, self.values, strict=True)
        ]
        if need.columns is not None:
            kept = [(name, value) for name, value in kept if name in need.columns]
        if not kept:
            return source
        return Assign(source, tuple(n for n, _ in kept), tuple(v for _, v in kept))


@record
class _AssignKernel:
    names: tuple[Hashable, ...]
    values: tuple[Any, ...]

    def __call__(self, index: Index, frame: Any, *lazy: Any) -> Any:
        queue = iter(lazy)
        frame = frame.copy(deep=False)
        for name, value in zip(self.names, self.values, strict=True):
            series = next(queue) if isinstance(value, _Slot) else value
            # The rows are the same, so labels need no second look, repeated or not.
            if isinstance(series, (pd.Series, pd.Index)):
                series = series.array
            frame[name] = series
        return frame


class MapPartitions(FrameMap):
    """A function of the user's on every partition."""

    subject: Node
    function: Any
    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()

    gil_free = False

    @property
    def user_code(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return f"map_partitions({self.function.name})"

    def kernel(self) -> Kernel:
        template = tuple(_Slot() if isinstance(a, Node) else a for a in self.args)
        return _UserCall(self.function, template, dict(self.kwargs))


@record
class _UserCall:
    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __call__(self, index: Index, subject: Any, *lazy: Any) -> Any:
        queue = iter(lazy)
        args = [next(queue) if isinstance(a, _Slot) else a for a in self.args]
        return self.function(subject, *args, **self.kwargs)


def _operator(name: str, *, reverse: bool = False) -> Callable[[Any, Any], Any]:
    def method(self: Collection, other: Any) -> Any:
        if reverse:
            return elementwise(self, f"reversed.{name}", other)
        return elementwise(self, f"operator.{name}", other)

    side = "r" if reverse else ""
    method.__name__ = f"__{side}{name.rstrip('_')}__"
    method.__doc__ = f"Apply ``operator.{name}`` row by row; indexes are aligned as in pandas."
    return method


class ElementwiseMethods(Collection):
    """Arithmetic, comparisons and row-wise methods."""

    __slots__ = ()

    __add__ = _operator("add")
    __sub__ = _operator("sub")
    __mul__ = _operator("mul")
    __truediv__ = _operator("truediv")
    __floordiv__ = _operator("floordiv")
    __mod__ = _operator("mod")
    __pow__ = _operator("pow")
    __and__ = _operator("and_")
    __or__ = _operator("or_")
    __xor__ = _operator("xor")
    __radd__ = _operator("add", reverse=True)
    __rsub__ = _operator("sub", reverse=True)
    __rmul__ = _operator("mul", reverse=True)
    __rtruediv__ = _operator("truediv", reverse=True)
    __rfloordiv__ = _operator("floordiv", reverse=True)
    __rmod__ = _operator("mod", reverse=True)
    __rpow__ = _operator("pow", reverse=True)
    __rand__ = _operator("and_", reverse=True)
    __ror__ = _operator("or_", reverse=True)
    __rxor__ = _operator("xor", reverse=True)
    __lt__ = _operator("lt")
    __le__ = _operator("le")
    __gt__ = _operator("gt")
    __ge__ = _operator("ge")
    __eq__ = _operator("eq")
    __ne__ = _operator("ne")
    __hash__ = object.__hash__

    def __neg__(self) -> Self:
        """Negate every value."""
        return elementwise(self, "operator.neg")

    def __invert__(self) -> Self:
        """Invert every boolean."""
        return elementwise(self, "operator.invert")

    def __abs__(self) -> Self:
        """Absolute values."""
        return elementwise(self, "operator.abs")

    def abs(self) -> Self:
        """Absolute values. One pass, no exchange."""
        return elementwise(self, "abs")

    def round(self, decimals: int = 0) -> Self:
        """Round to so many decimals. One pass, no exchange.

        Examples
        --------
        >>> import pandas as pd, nbscale.dataframe as nd
        >>> nd.from_pandas(pd.Series([1.26, 2.34])).round(1).compute().tolist()
        [1.3, 2.3]
        """
        return elementwise(self, "round", decimals)

    def astype(self, dtype: Any) -> Self:
        """Convert to other dtypes.

        Parameters
        ----------
        dtype
            One dtype, or a dict from column to dtype.

        Notes
        -----
        One pass, no exchange. ``"category"`` without categories is not supported: they would
        differ from partition to partition; give a ``pandas.CategoricalDtype``.
        """
        wanted = list(dtype.values()) if isinstance(dtype, Mapping) else [dtype]
        if any(isinstance(d, str) and d == "category" for d in wanted):
            msg = (
                "astype('category') needs the categories: give "
                "pandas.CategoricalDtype(categories=[...])"
            )
            raise NotImplementedError(msg)
        if isinstance(dtype, Mapping):
            for name in dtype:
                columns = self._node.columns  # type: ignore[attr-defined]
                if name not in columns:
                    raise missing_column(name, columns)
            return elementwise(self, "astype", dict(dtype))
        return elementwise(self, "astype", dtype)

    def fillna(self, value: Any) -> Self:
        """Replace missing values by a scalar, a dict of column to scalar, or another Series.

        One pass, no exchange.
        """
        if isinstance(value, Mapping):
            return elementwise(self, "fillna", dict(value))
        return elementwise(self, "fillna", value)

    def isna(self) -> Self:
        """Whether each value is missing."""
        return elementwise(self, "isna")

    def notna(self) -> Self:
        """Whether each value is there."""
        return elementwise(self, "notna")

    isnull = isna
    notnull = notna

    def isin(self, values: Any) -> Self:
        """Whether each value is one of ``values``, a list-like in memory."""
        if isinstance(values, Mapping):
            return elementwise(self, "isin", dict(values), by_column=False)
        if isinstance(values, Collection):
            msg = "isin needs values in memory: compute() them first, or use merge"
            raise NotImplementedError(msg)
        return elementwise(self, "isin", list(values))

    def clip(self, lower: Any = None, upper: Any = None) -> Self:
        """Limit values to an interval; bounds are scalars."""
        return elementwise(self, "clip", lower, upper)

    def where(self, cond: Any, other: Any = np.nan) -> Self:
        """Keep values where ``cond`` is true, put ``other`` elsewhere. Indexes are aligned."""
        return elementwise(self, "where", cond, other, by_column=_by_column(cond, other))

    def mask(self, cond: Any, other: Any = np.nan) -> Self:
        """Put ``other`` where ``cond`` is true. Indexes are aligned."""
        if isinstance(cond, Collection):
            # Rows that the condition lacks count as true, as in pandas.
            return self.where(~cond, other)  # type: ignore[operator]
        return elementwise(self, "mask", cond, other, by_column=_by_column(cond, other))

    def map_partitions(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function on every partition.

        Parameters
        ----------
        func
            ``func(partition, *args, **kwargs)``, a pandas object in and out. It is captured as it
            is now, and called on a sample of real rows when the schema is asked for.
        args, kwargs
            Passed on; lazy frames among ``args`` are aligned and passed partition by partition.
        meta
            Accepted as a hint and not needed.

        Notes
        -----
        One pass, no exchange. Runs one partition at a time in the kernel, so that it can be
        stopped.

        Examples
        --------
        >>> import pandas as pd, nbscale.dataframe as nd
        >>> df = nd.from_pandas(pd.DataFrame({"x": [1, 2, 3]}), npartitions=2)
        >>> df.map_partitions(lambda part: part * 10).compute().x.tolist()
        [10, 20, 30]
        """
        kwargs.pop("meta", None)
        lazy = [a for a in args if isinstance(a, Collection)]
        nodes = aligned(self._node, *[a._node for a in lazy])  # noqa: SLF001
        queue = iter(nodes[1:])
        filled = tuple(next(queue) if isinstance(a, Collection) else a for a in args)
        node = MapPartitions(nodes[0], capture(func), filled, tuple(kwargs.items()))
        return wrap(node, self, *lazy)


def _by_column(*arguments: Any) -> bool:
    """Whether arguments let each column be worked on alone: no series, which meet all columns."""
    return all(not isinstance(a, Collection) or a._node.kind == "frame" for a in arguments)  # type: ignore[attr-defined] # noqa: SLF001


class FrameElementwise(ElementwiseMethods):
    """Row-wise methods of frames only."""

    __slots__ = ()

    def assign(self, **columns: Any) -> Self:
        """Add or replace columns.

        Parameters
        ----------
        columns
            Lazy Series (aligned), scalars, or functions of the frame that give one of these.

        Examples
        --------
        >>> import pandas as pd, nbscale.dataframe as nd
        >>> df = nd.from_pandas(pd.DataFrame({"x": [1, 2]}))
        >>> df.assign(y=df.x * 2).compute().y.tolist()
        [2, 4]
        """
        result: Any = self
        for name, value in columns.items():
            made = value(result) if callable(value) else value
            result = result._assigned(name, made)  # noqa: SLF001 - its own class
        return result

    def _assigned(self, name: Hashable, value: Any) -> Self:
        if isinstance(value, Collection):
            (series,) = aligned_to(self._node, value._node)  # noqa: SLF001
            return wrap(Assign(self._node, (name,), (series,)), self, value)
        return wrap(Assign(self._node, (name,), (_plain(value),)), self)

    def drop(
        self,
        labels: Any = None,
        *,
        axis: Any = 0,
        columns: Any = None,
        errors: str = "raise",
    ) -> Self:
        """Leave out columns, by ``columns=`` or by ``labels`` with ``axis=1``.

        Raises
        ------
        KeyError
            If a column is not there, unless ``errors="ignore"``.
        """
        if columns is None:
            if axis not in (1, "columns"):
                msg = "drop leaves out columns: use columns=... or axis=1; filter rows by a mask"
                raise NotImplementedError(msg)
            columns = labels
        leave = [columns] if isinstance(columns, str) or not np.iterable(columns) else list(columns)
        have = self._node.columns  # type: ignore[attr-defined]
        for name in leave:
            if name not in have and errors == "raise":
                raise missing_column(name, have)
        kept = tuple(name for name in have if name not in leave)
        return wrap(Project(self._node, kept), self)

    def rename(
        self,
        mapper: Any = None,
        *,
        columns: Any = None,
        index: Any = None,
        axis: Any = None,
        errors: str = "ignore",
    ) -> Self:
        """Rename columns by a dict or a function; one pass, no exchange.

        Parameters
        ----------
        mapper
            The same as ``columns``, with ``axis=1``.
        columns
            A dict from old to new names, or a function of the old ones.
        errors
            ``"raise"``: a KeyError for names that are not there. ``"ignore"``: leave them.

        Raises
        ------
        KeyError
            If a name is not there and ``errors="raise"``.
        TypeError
            If ``axis`` or a mapper is given beside ``columns``, or nothing to rename.
        ValueError
            If ``errors`` is neither of the two.
        NotImplementedError
            If labels of rows are to be renamed.

        Examples
        --------
        >>> import pandas as pd, nbscale.dataframe as nd
        >>> df = nd.from_pandas(pd.DataFrame({"x": [1], "y": [2]}))
        >>> df.rename(columns={"y": "z"}).columns.tolist()
        ['x', 'z']
        """
        if errors not in ("ignore", "raise"):
            raise ValueError(f"errors is 'ignore' or 'raise', not {errors!r}")
        if columns is not None and axis is not None:
            raise TypeError("axis goes with a mapper: use columns=... without axis")
        if columns is not None and mapper is not None:
            raise TypeError("rename takes a mapper with axis=1, or columns=..., not both")
        if columns is None and axis in (1, "columns"):
            columns, mapper = mapper, None
        if mapper is not None or index is not None:
            msg = "rename renames columns: use columns=...; labels of rows by map_partitions"
            raise NotImplementedError(msg)
        if columns is None:
            msg = "must pass an index to rename: use columns=..."
            raise TypeError(msg)
        have = self._node.columns  # type: ignore[attr-defined]
        if errors == "raise" and not callable(columns):
            for name in columns:
                if name not in have:
                    raise missing_column(name, have)
        labels = self._node.sample.columns  # type: ignore[attr-defined]
        if labels.nlevels > 1 or not labels.is_unique:
            return elementwise(self, "rename", by_column=False, columns=columns)
        names = [columns(n) if callable(columns) else columns.get(n, n) for n in have]
        return wrap(Renamed(self._node, have, tuple(names)), self)

    def dropna(self, how: str = "any", subset: Any = None, thresh: int | None = None) -> Self:
        """Leave out rows with missing values.

        Parameters
        ----------
        how
            ``"any"`` or ``"all"``.
        subset
            Columns to look at.
        thresh
            Keep rows with at least so many values that are there, instead of ``how``.
        """
        frame: Any = self if subset is None else self[_listed(subset)]  # type: ignore[index]
        there = frame.notna()
        if thresh is not None:
            keep = elementwise(there, "sum", by_column=False, axis=1) >= thresh
        else:
            keep = elementwise(there, "any" if how == "all" else "all", by_column=False, axis=1)
        return self[keep]  # type: ignore[index]


def _listed(names: Any) -> list[Any]:
    return [names] if isinstance(names, str) or not np.iterable(names) else list(names)


class SeriesElementwise(ElementwiseMethods):
    """Row-wise methods of series only."""

    __slots__ = ()

    def dropna(self) -> Self:
        """Leave out missing values."""
        return self[self.notna()]  # type: ignore[index]

    def rename(self, index: Any) -> Self:
        """Give the series another name."""
        return elementwise(self, "rename", index)

    def to_frame(self, name: Hashable | None = None) -> Any:
        """Make a frame of one column."""
        kwargs = {} if name is None else {"name": name}
        return elementwise(self, "to_frame", by_column=False, **kwargs)

    def between(self, left: Any, right: Any, inclusive: str = "both") -> Self:
        """Whether each value lies between two scalars."""
        return elementwise(self, "between", left, right, inclusive=inclusive)

    @property
    def str(self) -> Accessor:
        """Methods of text, row by row."""
        return Accessor(self, "str")

    @property
    def dt(self) -> Accessor:
        """Parts of dates and times, row by row."""
        return Accessor(self, "dt")


class Accessor:
    """``series.str`` and ``series.dt``: every row-wise member that pandas has there."""

    def __init__(self, series: Collection, name: str) -> None:
        getattr(series._node.sample, name)  # type: ignore[attr-defined] # noqa: SLF001 - raises as pandas does
        self._series = series
        self._name = name

    def __dir__(self) -> list[str]:
        return dir(getattr(pd.Series, self._name))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        member = getattr(getattr(self._series._node.sample, self._name), name)  # type: ignore[attr-defined] # noqa: SLF001
        if name in {"cat", "get_dummies"}:
            msg = f".{self._name}.{name} looks at more than one row and is not supported"
            raise NotImplementedError(msg)
        if not callable(member):
            return elementwise(self._series, f"{self._name}.{name}")

        def call(*args: Any, **kwargs: Any) -> Any:
            return elementwise(
                self._series, f"{self._name}.{name}", *args, by_column=False, **kwargs
            )

        return call
