"""Frames one after the other, or side by side: ``concat``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from nbscale.collection import Collection, public, wrap
from nbscale.dataframe.align import meeting
from nbscale.dataframe.appear import Appearing
from nbscale.dataframe.node import zips
from nbscale.dataframe.reindex import ResetIndex
from nbscale.dataframe.source import from_pandas, numbered
from nbscale.dataframe.stacked import Concat, SideBySide, joined_columns
from nbscale.expr.node import Node

__all__ = ["concat"]


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
        ``axis=1`` with ``join="inner"`` on rows that differ.

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
        names = tuple(joined_columns([node.schema for node in nodes], join, None).columns)
    made = Concat.of(nodes, join, names)
    return numbered(ResetIndex(made, True)) if ignore_index else made


def _beside(nodes: list[Any], join: str) -> Node:
    names = pd.concat([node.schema for node in nodes], axis=1).columns
    if not zips(*nodes) and join == "inner":
        msg = "concat(axis=1, join='inner') of different rows: use merge on the index instead"
        raise NotImplementedError(msg)
    return SideBySide(meeting(Appearing, *nodes), names)
