"""Choosing columns and rows: ``df["x"]``, ``df[["x", "y"]]``, ``df[mask]``, and the index."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pandas as pd

from nbscale.collection import Collection, wrap
from nbscale.dataframe.align import aligned_mask
from nbscale.dataframe.node import FrameMap
from nbscale.dataframe.project import Project, missing_column
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.plan.layout import Layout
from nbscale.record import record

__all__ = ["Column", "Filter", "Labels", "Project", "SelectMethods", "missing_column"]


class Column(FrameMap):
    """One column of a frame, as a series."""

    input: Node
    name: Hashable

    row_preserving = True
    carries_index = True

    @property
    def label(self) -> str:
        return f"[{self.name!r}]"

    def validate(self) -> None:
        have = self.input.columns  # type: ignore[attr-defined]
        if self.name not in have:
            raise missing_column(self.name, have)
        super().validate()

    def kernel(self) -> Kernel:
        return _OneColumn(self.name)

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (need.of((self.name,)),)


@record
class _OneColumn:
    name: Hashable

    def __call__(self, index: Index, frame: Any) -> Any:
        return frame[self.name]


class Labels(FrameMap):
    """The index of a frame or series."""

    input: Node

    row_preserving = True

    @property
    def label(self) -> str:
        return "index"

    def kernel(self) -> Kernel:
        return _labels

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (Need(frozenset(), index=True, order=need.order),)


def _labels(index: Index, value: Any) -> Any:
    del index
    return value.index


class Filter(FrameMap):
    """The rows of ``input`` where ``mask`` is true."""

    input: Node
    mask: Node

    column_local = True
    carries_index = True
    filters_rows = True

    @property
    def label(self) -> str:
        return "filter"

    def kernel(self) -> Kernel:
        return _where_true

    def needs(self, need: Need) -> tuple[Need, ...]:
        # The mask is matched by position, so its own columns are its own affair.
        return need, Need(None, need.index, need.order)

    def _make_layout(self) -> Layout:
        return self.input.layout.filtered(self.key)  # type: ignore[attr-defined]


def _where_true(index: Index, value: Any, mask: Any) -> Any:
    del index
    # By position: both sides hold the same rows, and their labels may repeat.
    return value[mask.to_numpy()]


class SelectMethods(Collection):
    """``df[...]`` and its relatives."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        """Select a column by name, several by a list of names, or rows by a mask.

        Parameters
        ----------
        key
            A column name, a list of names, or a lazy boolean Series.

        Raises
        ------
        KeyError
            If a column is not there; the message names those that are near.

        Notes
        -----
        One pass, no exchange; columns not selected are not read from a file that allows it.
        """
        node: Any = self._node
        if isinstance(key, Collection):
            return self._filtered(key)
        if node.kind == "frame" and isinstance(key, (list, pd.Index)):
            return wrap(Project(node, tuple(key)), self)
        if node.kind == "frame" and not isinstance(key, slice):
            return wrap(Column(node, key), self)
        msg = f"cannot select by {type(key).__name__}; use a column, a list of columns or a mask"
        raise TypeError(msg)

    def _filtered(self, mask: Collection) -> Any:
        node: Any = mask._node  # noqa: SLF001
        if node.kind != "series" or not pd.api.types.is_bool_dtype(node.sample.dtype):
            found = f"{node.kind} of {getattr(node.sample, 'dtype', type(node.sample).__name__)}"
            msg = f"rows are selected by a boolean Series, not by a {found}"
            raise TypeError(msg)
        return wrap(Filter(self._node, aligned_mask(self._node, node)), self, mask)
