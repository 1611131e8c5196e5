"""The classes users hold: each is the sum of the mixins that live beside their nodes."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Hashable
from typing import Any

import pandas as pd

from nbscale.collection import Collection, Gather, Parts, register, wrap
from nbscale.dataframe.elementwise import (
    ElementwiseMethods,
    FrameElementwise,
    SeriesElementwise,
)
from nbscale.dataframe.groupby import GroupByMethods
from nbscale.dataframe.join import JoinMethods
from nbscale.dataframe.node import FrameHeld
from nbscale.dataframe.order import FrameOrder, SeriesOrder
from nbscale.dataframe.reduce import FrameReductions, SeriesReductions
from nbscale.dataframe.rows import RowMethods, concatenated
from nbscale.dataframe.select import Labels, SelectMethods
from nbscale.dataframe.show import html_repr, text_repr
from nbscale.dataframe.window import WindowMethods
from nbscale.dataframe.write import WriteMethods
from nbscale.expr.node import Node
from nbscale.expr.token import nonce

__all__ = ["DataFrame", "Index", "Scalar", "Series"]


class _Concatenate(Parts):
    """Partitions one after the other."""

    def result(self) -> Any:
        return concatenated(self.values)


class _FrameCollection(Collection):
    """What the lazy frames share."""

    __slots__ = ()

    def _gather(self, node: Node) -> Gather:
        return _Concatenate(node.grid)

    def _hold(self, node: Node, values: list[Any]) -> Node:
        frame: Any = node
        lengths = tuple(map(len, values)) if frame.has_index else None
        lies = dataclasses.replace(frame.layout, lengths=lengths)
        return FrameHeld(tuple(values), nonce(), frame.sample, lies)

    @property
    def _meta(self) -> Any:
        """The schema: a pandas object with no rows."""
        return self._node.schema  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return text_repr(type(self).__name__, self._node)  # type: ignore[arg-type]

    def _repr_html_(self) -> str:
        return html_repr(type(self).__name__, self._node)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        raise self._unknown(name)

    def _unknown(self, name: str) -> AttributeError:
        """The error for an attribute that is not there, and what to do instead."""
        title = type(self).__name__
        msg = f"{title!r} object has no attribute {name!r}"
        if not name.startswith("_") and hasattr(getattr(pd, title, None), name):
            msg += f": pandas' {title} has, nbscale's has not yet; compute() it first"
        return AttributeError(msg, name=name, obj=self)

    def __bool__(self) -> bool:
        msg = (
            f"the truth of a lazy {type(self).__name__} is ambiguous, as in pandas; "
            "use .any() or .all() and compute() it"
        )
        raise ValueError(msg)


@register("frame")
class DataFrame(
    FrameElementwise,
    FrameReductions,
    FrameOrder,
    GroupByMethods,
    JoinMethods,
    WindowMethods,
    WriteMethods,
    SelectMethods,
    RowMethods,
    _FrameCollection,
):
    """A lazy pandas DataFrame."""

    __slots__ = ()

    @property
    def columns(self) -> pd.Index:
        """The names of the columns."""
        return self._meta.columns

    @property
    def dtypes(self) -> pd.Series:
        """The dtype of each column."""
        return self._meta.dtypes

    @property
    def index(self) -> Any:
        """The index, lazily."""
        return wrap(Labels(self._node), self)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns. Counts the rows where their number is not known."""
        return len(self), len(self.columns)

    @property
    def ndim(self) -> int:
        """Number of axes: 2."""
        return 2

    @property
    def empty(self) -> bool:
        """Whether there is no row or no column."""
        return len(self.columns) == 0 or len(self) == 0

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._node.columns:  # type: ignore[attr-defined]
            raise self._unknown(name)
        return self[name]

    def __setitem__(self, name: Hashable, value: Any) -> None:
        """Add or replace a column of this collection."""
        if isinstance(name, (list, tuple)):
            msg = "set one column at a time"
            raise NotImplementedError(msg)
        made = self._assigned(name, value)
        self._node, self._origin = made._node, made._origin  # noqa: SLF001

    def __dir__(self) -> list[str]:
        names = [c for c in self.columns if isinstance(c, str) and c.isidentifier()]
        return sorted({*super().__dir__(), *names})

    def __iter__(self) -> Any:
        return iter(self.columns)

    def __contains__(self, name: Any) -> bool:
        return name in self.columns


@register("series")
class Series(
    SeriesElementwise,
    SeriesReductions,
    SeriesOrder,
    GroupByMethods,
    WindowMethods,
    SelectMethods,
    RowMethods,
    _FrameCollection,
):
    """A lazy pandas Series."""

    __slots__ = ()

    @property
    def name(self) -> Hashable:
        """The name."""
        return self._meta.name

    @property
    def dtype(self) -> Any:
        """The dtype."""
        return self._meta.dtype

    @property
    def index(self) -> Any:
        """The index, lazily."""
        return wrap(Labels(self._node), self)

    @property
    def shape(self) -> tuple[int]:
        """Number of rows, counted if it is not known."""
        return (len(self),)

    @property
    def ndim(self) -> int:
        """Number of axes: 1."""
        return 1


@register("index")
class Index(ElementwiseMethods, RowMethods, _FrameCollection):
    """A lazy pandas Index."""

    __slots__ = ()

    @property
    def name(self) -> Hashable:
        """The name."""
        return self._meta.name

    @property
    def dtype(self) -> Any:
        """The dtype."""
        return self._meta.dtype


@register("scalar")
class Scalar(ElementwiseMethods, _FrameCollection):
    """A lazy scalar: acts as one wherever a value is needed, computing it once."""

    __slots__ = ("_known",)

    def _gather(self, node: Node) -> Gather:
        return _Only(node.grid)

    @property
    def dtype(self) -> Any:
        """The dtype."""
        return getattr(self._meta, "dtype", type(self._meta))

    def _value(self) -> Any:
        if not hasattr(self, "_known"):
            self._known = self.compute()
        return self._known

    def __bool__(self) -> bool:
        return bool(self._value())

    def __int__(self) -> int:
        return int(self._value())

    def __float__(self) -> float:
        return float(self._value())

    def __complex__(self) -> complex:
        return complex(self._value())

    def __index__(self) -> int:
        return self._value().__index__()

    def __round__(self, ndigits: int | None = None) -> Any:
        return round(self._value(), ndigits)

    def __format__(self, spec: str) -> str:
        return format(self._value(), spec)

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>"


class _Only(Parts):
    """The one value there is."""

    def result(self) -> Any:
        return self.values[0]
