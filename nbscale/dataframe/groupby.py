"""``.groupby(...)`` of frames and series: which keys are meant."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from nbscale.collection import Collection
from nbscale.dataframe.elementwise import Assign
from nbscale.dataframe.grouped import ByColumn, ByLevel
from nbscale.dataframe.grouping import DataFrameGroupBy, Key, Options, SeriesGroupBy
from nbscale.dataframe.select import Column, Project, missing_column

__all__ = ["GroupByMethods"]


def _origin(node: Any, name: Hashable) -> Any:
    """The node that made this column of a frame, as far as it was only passed on."""
    while isinstance(node, Project) or (isinstance(node, Assign) and name not in node.names):
        node = node.input
    return node if name in node.columns else None


class GroupByMethods(Collection):
    """``.groupby(...)`` of frames and series."""

    __slots__ = ()

    def groupby(
        self,
        by: Any = None,
        level: Any = None,
        *,
        as_index: bool = True,
        sort: bool = True,
        group_keys: bool = True,
        observed: bool = True,
        dropna: bool = True,
    ) -> Any:
        """Gather rows by equal keys.

        Parameters
        ----------
        by
            A column, a lazy Series (aligned), or a list of these.
        level
            Instead of ``by``: 0 or the name of the index.
        as_index
            Keys label the rows of the result; otherwise they are columns of it.
        sort
            Sort the result by the keys; otherwise groups come in the order of their first rows.
        group_keys
            Accepted; matters to functions of one's own only.
        observed
            Only categories that are there.
        dropna
            Leave out rows with a missing key.

        Returns
        -------
        DataFrameGroupBy or SeriesGroupBy

        Raises
        ------
        KeyError
            If a column is not there.

        Notes
        -----
        Costs nothing by itself; see ``sum``.
        """
        del group_keys
        options = Options(sort, dropna, observed, as_index)
        if level is not None:
            if by is not None:
                msg = "give by or level, not both"
                raise TypeError(msg)
            keys = [self._level_key(level)]
        elif by is None:
            msg = "You have to supply one of 'by' and 'level'"
            raise TypeError(msg)
        else:
            keys = [self._key(one) for one in (by if isinstance(by, list) else [by])]
            if not keys:
                msg = "No group keys passed!"
                raise ValueError(msg)
        frame = self._node.kind == "frame"  # type: ignore[attr-defined]
        if not frame and not as_index:
            msg = "as_index=False only valid with DataFrame"
            raise TypeError(msg)
        return (DataFrameGroupBy if frame else SeriesGroupBy)(self, keys, options)

    def _level_key(self, level: Any) -> Key:
        name = self._node.sample.index.name  # type: ignore[attr-defined]
        if level not in (0, -1) and level != name:
            msg = f"level name {level} is not the name of the index"
            raise ValueError(msg)
        return Key(name, ByLevel())

    def _key(self, by: Any) -> Key:
        node: Any = self._node
        if isinstance(by, Collection):
            key: Any = by._node  # noqa: SLF001
            if key.kind != "series":
                msg = f"cannot group by a lazy {key.kind}; group by columns or series"
                raise TypeError(msg)
            if isinstance(key, Column) and _origin(node, key.name) is _origin(key.input, key.name):
                return Key(key.name, ByColumn(key.name))
            return Key(key.sample.name, key, by)
        if callable(by) or isinstance(by, (dict, pd.Grouper, pd.Series, np.ndarray, pd.Index)):
            msg = (
                f"cannot group by {type(by).__name__}: make a lazy series of the keys first, such "
                "as df.when.dt.year or df.x // 10"
            )
            raise NotImplementedError(msg)
        if node.kind == "frame" and by in node.columns:
            return Key(by, ByColumn(by))
        if by == node.sample.index.name and by is not None:
            return Key(by, ByLevel())
        raise missing_column(by, node.columns)
