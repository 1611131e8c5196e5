"""Frames one after the other, and columns side by side: what ``concat`` is made of."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nbscale.dataframe.cumulate import columns_in
from nbscale.dataframe.node import FrameMap
from nbscale.dataframe.promote import Promote, dtypes_with_missing
from nbscale.dataframe.settle import Settled
from nbscale.expr.need import Need
from nbscale.expr.node import Adaptive, Index, Kernel, Node, Read, one, walk
from nbscale.graph.axismap import Ranges
from nbscale.plan.layout import Layout
from nbscale.record import record

__all__ = ["Concat", "SideBySide", "joined_columns"]


class SchemaOf(FrameMap):
    """The first partition without its rows: names and dtypes as they turned out."""

    input: Node

    @property
    def grid(self) -> tuple[int, ...]:
        return (1,)

    @property
    def label(self) -> str:
        return "schema"

    def reads(self) -> tuple[Read, ...]:
        return (one(self.input, (1,)),)

    def kernel(self) -> Kernel:
        return _no_rows

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (need,)


def _no_rows(_index: Index, value: Any) -> Any:
    return value[:0]


class Concat(FrameMap):
    """The partitions of several frames, one frame after the other, in one schema.

    ``schemas`` gives the schema of each part where the sample cannot: rows that alignment left
    missing change dtypes.
    """

    parts: tuple[Node, ...]
    schemas: tuple[Node, ...]
    join: str
    names: tuple[Hashable, ...] | None

    @classmethod
    def of(cls, parts: Sequence[Node], join: str, names: Any) -> Concat:
        """The parts one after the other."""
        settled = not any(isinstance(n, (Adaptive, Settled, Promote)) for n in walk(parts))
        schemas = () if settled else tuple(map(SchemaOf, parts))
        return cls(tuple(parts), schemas, join, names)

    @property
    def grid(self) -> tuple[int, ...]:
        return (sum(part.grid[0] for part in self.parts),)

    @property
    def label(self) -> str:
        return "concat"

    def reads(self) -> tuple[Read, ...]:
        reads, first, total = [], 0, self.grid[0]
        for part in self.parts:
            n = part.grid[0]
            own = np.arange(total) - first
            mine = (own >= 0) & (own < n)
            lo = np.where(mine, own, 0)
            reads.append(Read(part, (0,), (Ranges(n, lo, lo + mine),), "list"))
            first += n
        reads += [one(schema, self.grid) for schema in self.schemas]
        return tuple(reads)

    def kernel(self) -> Kernel:
        schema = None if self.schemas else self.schema
        return _Conform(len(self.parts), self.names, schema)

    def reference(self, *inputs: Any) -> Any:
        return joined_columns(inputs[: len(self.parts)], self.join, self.names)

    def needs(self, need: Need) -> tuple[Need, ...]:
        if need.columns is None:
            return (need,) * len(self.inputs)
        return tuple(
            need.of(c for c in part.columns if c in need.columns)  # type: ignore[attr-defined]
            for part in self.inputs
        )

    def pruned(self, need: Need, inputs: Sequence[Node]) -> Node:
        if self.names is None or need.columns is None:
            return self.with_inputs(inputs)
        kept = tuple(name for name in self.names if name in need.columns)
        n = len(self.parts)
        return Concat(tuple(inputs[:n]), tuple(inputs[n:]), self.join, kept)

    def _make_layout(self) -> Layout:
        known = [part.layout.lengths for part in self.parts]  # type: ignore[attr-defined]
        lengths = None if any(k is None for k in known) else tuple(n for k in known for n in k)
        return Layout(self.key, lengths=lengths)


def joined_columns(inputs: Sequence[Any], join: str, names: tuple[Hashable, ...] | None) -> Any:
    """Pandas' concat, of the columns that are wanted."""
    made = pd.concat(list(inputs), join=join)
    if names is None:
        return made
    return _typed(made[list(names)], joined_schema([i[:0] for i in inputs], names))


def joined_schema(schemas: Sequence[Any], names: tuple[Hashable, ...] | None) -> Any:
    """The schema of the whole: a column that a part lacks is missing in all of its rows."""
    made = pd.concat(list(schemas))
    if names is None:
        return made
    made = made[list(names)]
    lacking = [i for i, name in enumerate(names) if any(name not in s.columns for s in schemas)]
    for i, dtype in enumerate(dtypes_with_missing(made)):
        if i in lacking:
            made.isetitem(i, made.iloc[:, i].astype(dtype))
    return made


@record
class _Conform:
    """A partition in the schema of the whole."""

    parts: int
    names: tuple[Hashable, ...] | None
    schema: Any

    def __call__(self, _index: Index, *inputs: Any) -> Any:
        value = next(values[0] for values in inputs[: self.parts] if values)
        schema = self.schema
        if schema is None:
            schema = joined_schema(inputs[self.parts :], self.names)
        if isinstance(value, pd.DataFrame) and self.names is not None:
            have = list(value.columns)
            if have != list(self.names):
                value = value.reindex(columns=list(self.names))
        value = _typed(value, schema)
        return _labelled(value, schema.index)


def _typed(value: Any, schema: Any) -> Any:
    if isinstance(value, pd.Series):
        value = value if value.name == schema.name else value.rename(schema.name)
        return value if value.dtype == schema.dtype else value.astype(schema.dtype)
    wanted = [column.dtype for column in columns_in(schema)]
    if list(value.dtypes) == wanted:
        return value
    value = value.copy(deep=False)
    for i, dtype in enumerate(wanted):
        if value.dtypes.iloc[i] != dtype:
            value.isetitem(i, value.iloc[:, i].astype(dtype))
    return value


def _labelled(value: Any, like: pd.Index) -> Any:
    index = value.index
    if index.nlevels == 1 and like.nlevels == 1 and index.dtype != like.dtype:
        index = index.astype(like.dtype)
    if index.names != like.names:
        index = index.set_names(like.names)
    return value if index is value.index else value.set_axis(index)


class SideBySide(FrameMap):
    """Columns of frames and series on the same rows, side by side."""

    parts: tuple[Node, ...]
    names: Any

    row_preserving = True

    @property
    def label(self) -> str:
        return "concat"

    def kernel(self) -> Kernel:
        return _SideKernel(self.names)


@record
class _SideKernel:
    names: Any

    def __call__(self, _index: Index, *values: Any) -> Any:
        columns = [c.reset_index(drop=True) for value in values for c in columns_in(value)]
        whole = pd.concat(columns, axis=1)
        whole.columns, whole.index = self.names, values[0].index
        return whole
