"""Frames one after the other, or side by side: ``concat``."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nbscale.collection import Collection, public, wrap
from nbscale.dataframe.align import aligned
from nbscale.dataframe.cumulate import columns_in
from nbscale.dataframe.node import FrameMap, zips
from nbscale.dataframe.order import ResetIndex
from nbscale.dataframe.source import from_pandas, numbered
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node, Read
from nbscale.graph.axismap import Ranges
from nbscale.plan.layout import Layout
from nbscale.record import record

__all__ = ["Concat", "SideBySide", "concat"]


class Concat(FrameMap):
    """The partitions of several frames, one frame after the other, in one schema."""

    parts: tuple[Node, ...]
    join: str
    names: tuple[Hashable, ...] | None

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
        return tuple(reads)

    def kernel(self) -> Kernel:
        return _Conform(self.schema, self.names)

    def reference(self, *inputs: Any) -> Any:
        return _whole(inputs, self.join, self.names)

    def needs(self, need: Need) -> tuple[Need, ...]:
        if need.columns is None:
            return (need,) * len(self.parts)
        return tuple(
            need.of(c for c in part.columns if c in need.columns)  # type: ignore[attr-defined]
            for part in self.parts
        )

    def pruned(self, need: Need, inputs: Sequence[Node]) -> Node:
        if self.names is None or need.columns is None:
            return self.with_inputs(inputs)
        kept = tuple(name for name in self.names if name in need.columns)
        return Concat(tuple(inputs), self.join, kept)

    def _make_layout(self) -> Layout:
        known = [part.layout.lengths for part in self.parts]  # type: ignore[attr-defined]
        lengths = None if any(k is None for k in known) else tuple(n for k in known for n in k)
        return Layout(self.key, lengths=lengths)


def _whole(inputs: Sequence[Any], join: str, names: tuple[Hashable, ...] | None) -> Any:
    """Pandas' concat, of the columns that are wanted."""
    made = pd.concat(list(inputs), join=join)  # type: ignore[call-overload]
    return made if names is None else made[list(names)]


@record
class _Conform:
    """A partition in the schema of the whole."""

    schema: Any
    names: tuple[Hashable, ...] | None

    def __call__(self, _index: Index, *lists: list[Any]) -> Any:
        value = next(values[0] for values in lists if values)
        if isinstance(value, pd.DataFrame) and self.names is not None:
            have = list(value.columns)
            if have != list(self.names):
                value = value.reindex(columns=list(self.names))
        value = _typed(value, self.schema)
        return _labelled(value, self.schema.index)


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


@public
def concat(
    objs: Iterable[Any],
    *,
    axis: Any = 0,
    join: str = "outer",
    ignore_index: bool = False,
    keys: Any = None,
    levels: Any = None,
    names: Any = None,
    verify_integrity: bool = False,
    sort: bool = False,
    copy: Any = None,
    interleave_partitions: bool = False,
) -> Any:
    """Put frames or series one after the other, or side by side.

    Parameters
    ----------
    objs
        Lazy frames or series, or pandas objects.
    axis
        ``0``: rows after rows; ``1``: columns beside columns, rows matched by label.
    join
        What to do with columns (rows, for ``axis=1``) that not all have: ``"outer"`` keeps them,
        ``"inner"`` does not.
    ignore_index
        Number the rows of the result.
    interleave_partitions
        Accepted; partitions are never interleaved.

    Raises
    ------
    ValueError
        If there is nothing to concatenate.
    NotImplementedError
        For ``keys``, ``levels``, ``names``, ``verify_integrity`` and ``sort``, and for
        ``axis=1`` on rows that differ.

    Notes
    -----
    ``axis=0``: no pass of its own, no exchange. ``axis=1``: rows are compared first where they
    may differ.

    Examples
    --------
    >>> import pandas as pd, nbscale.dataframe as nd
    >>> s = nd.from_pandas(pd.Series([1, 2]))
    >>> nd.concat([s, s], ignore_index=True).compute().index.tolist()
    [0, 1, 2, 3]
    """
    del copy, interleave_partitions
    given = {"keys": keys, "levels": levels, "names": names, "sort": sort}
    for name, value in {**given, "verify_integrity": verify_integrity}.items():
        if value is not None and value is not False:
            msg = f"concat does not support {name}={value!r}"
            raise NotImplementedError(msg)
    if join not in ("outer", "inner"):
        msg = "Only can inner (intersect) or outer (union) join the other axis"
        raise ValueError(msg)
    parts = [from_pandas(o) if isinstance(o, (pd.DataFrame, pd.Series)) else o for o in objs]
    if not parts:
        msg = "No objects to concatenate"
        raise ValueError(msg)
    for part in parts:
        if not isinstance(part, Collection):
            msg = f"concat takes frames and series, not {type(part).__name__}"
            raise TypeError(msg)
    nodes: list[Any] = [part._node for part in parts]  # noqa: SLF001
    made = _beside(nodes, join) if axis in (1, "columns") else _after(nodes, join, ignore_index)
    return wrap(made, *parts)


def _after(nodes: list[Any], join: str, ignore_index: bool) -> Node:
    kinds = {node.kind for node in nodes}
    if kinds == {"series", "frame"}:
        msg = "concat of frames and series together: make the series frames with to_frame() first"
        raise NotImplementedError(msg)
    names = None
    if kinds == {"frame"}:
        names = tuple(_whole([node.schema for node in nodes], join, None).columns)
    made = Concat(tuple(nodes), join, names)
    return numbered(ResetIndex(made, True)) if ignore_index else made


def _beside(nodes: list[Any], join: str) -> Node:
    names = pd.concat([node.schema for node in nodes], axis=1).columns
    if not zips(*nodes) and join == "inner":
        msg = "concat(axis=1, join='inner') of different rows: use merge on the index instead"
        raise NotImplementedError(msg)
    return SideBySide(aligned(*nodes), names)
