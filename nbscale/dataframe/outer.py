"""Two sides on the union of their labels: what arithmetic between unequal indexes needs.

Both sides meet by range of their labels, and the labels are joined there, never by an operator that
sees one partition.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd

from nbscale import config
from nbscale.dataframe.cuts import Order
from nbscale.dataframe.digest import Compares, cut_like, index_keys, whole_digest
from nbscale.dataframe.exchange import HashExchange, RangeExchange
from nbscale.dataframe.keys import Keys
from nbscale.dataframe.node import FrameMap
from nbscale.dataframe.promote import dtypes_of, dtypes_with_missing, promoted
from nbscale.dataframe.sampling import meetings_for, quantile_cuts
from nbscale.dataframe.settle import resized, settled
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.expr.token import token
from nbscale.plan.layout import Layout
from nbscale.record import record

__all__ = ["IndexAlone", "Outer", "Repeats"]

_ROW = 256
"""Bytes that a row counts as, whatever it has: each side finds its partitions by itself, reading
the labels alone of the other, and must find the same."""


class Outer(Compares):
    """One of two sides on the rows that pandas' outer alignment of both gives.

    ``repeats`` says that it must also be asked whether labels repeat: missing times and categories
    come first if they do, last if not, or if a side has no row. ``merges``: equal indexes are joined,
    too, as a merge does: sorted, and every label with each of its like.
    """

    left: Node
    right: Node
    side: Literal[0, 1]
    repeats: bool = False
    merges: bool = False

    @property
    def label(self) -> str:
        return "align"

    def reference(self, *inputs: Any) -> Any:
        left, right = inputs
        if not len(right):
            left = left[:0]
        return left if self.side == 0 else resized(right, left)

    def needs(self, need: Need) -> tuple[Need, ...]:
        mine = Need(need.columns, True, True)
        labels = Need(frozenset(), True, True)
        return (mine, labels) if self.side == 0 else (labels, mine)

    def _make_layout(self) -> Layout:
        left, right = self.left.layout, self.right.layout  # type: ignore[attr-defined]
        return Layout(token("outer", left.rows, right.rows, self.merges))

    def asks(self) -> tuple[Node, ...]:
        digests = super().asks()
        if not self.repeats:
            return digests
        by = index_keys(self.left, self.right)
        n = max(self.left.grid[0], self.right.grid[0])
        sides = [HashExchange(IndexAlone(node), by, n) for node in (self.left, self.right)]
        return (*digests, *(Repeats(side) for side in sides))

    def build(self, *answers: Any) -> Node:
        left, right, *repeats = answers
        if not self.merges and whole_digest(left) == whole_digest(right):
            if self.side == 0:
                return settled(self, self.left)
            return settled(self, cut_like(self.right, right, left))
        by = index_keys(self.left, self.right)
        missing_first = False
        if any(_missing_varies(dtype) for dtype in by.dtypes):
            if not repeats and any(d.missing for d in (*left, *right)):
                return self.replace(repeats=True)
            empty = any(not sum(d.rows for d in side) for side in (left, right))
            missing_first = any(map(any, repeats)) and not empty
        order = Order((True,) * len(by.names), not missing_first)
        size = _ROW * sum(d.rows for d in (*left, *right))
        n = meetings_for(len(left), len(right), size, config.get().partition_size)
        try:
            cuts = quantile_cuts([d.sample for d in (*left, *right)], n, order)
        except TypeError as error:
            msg = f"labels that cannot be put in order cannot be aligned ({error})"
            raise TypeError(f"{msg}; convert the indexes to one dtype first") from error
        sides = [RangeExchange(node, by, cuts, order) for node in (self.left, self.right)]
        mine, other = sides[self.side], _LabelsOf(sides[1 - self.side])
        dtype, names = self._labels(left, right, by)
        pairs = _JoinLabels(mine, other, self.side, dtype, names, missing_first)
        schema = mine.schema
        made = promoted(pairs, dtypes_of(schema), dtypes_with_missing(schema))
        return settled(self, made)

    def _labels(self, left: Any, right: Any, by: Keys) -> tuple[Any, tuple[Any, ...]]:
        """Dtype and names of the joined index: one side's own, if the other has no row."""
        empty = [sum(d.rows for d in side) == 0 for side in (left, right)]
        index = (self.right if empty[0] and not empty[1] else self.left).sample.index  # type: ignore[attr-defined]
        dtype = by.dtypes[0] if len(by.names) == 1 and not any(empty) else None
        return dtype, tuple(index.names)


def _missing_varies(dtype: Any) -> bool:
    """Whether pandas puts missing labels first where labels repeat: those it keeps as codes."""
    return isinstance(dtype, pd.CategoricalDtype) or getattr(dtype, "kind", "O") in "mM"


class IndexAlone(FrameMap):
    """A frame without columns."""

    input: Node

    @property
    def label(self) -> str:
        return "index"

    def kernel(self) -> Kernel:
        return _index_alone


def _index_alone(_index: Index, value: Any) -> Any:
    return pd.DataFrame(index=value.index)


class Repeats(FrameMap):
    """Whether labels repeat within a partition."""

    input: Node

    @property
    def label(self) -> str:
        return "repeats"

    def kernel(self) -> Kernel:
        return _repeats


def _repeats(_index: Index, value: Any) -> bool:
    return not value.index.is_unique


class _LabelsOf(FrameMap):
    """The index of every partition."""

    input: Node

    @property
    def label(self) -> str:
        return "index"

    def kernel(self) -> Kernel:
        return _labels_of


def _labels_of(_index: Index, value: Any) -> Any:
    return value.index


class _JoinLabels(FrameMap):
    """One side of a range on the outer join of both sides' labels, and whether rows are missing."""

    mine: Node
    other: Node
    side: int
    dtype: Any
    names: tuple[Any, ...]
    missing_first: bool

    @property
    def label(self) -> str:
        return "join labels"

    def kernel(self) -> Kernel:
        return _JoinKernel(self.side, self.dtype, self.names, self.missing_first)


@record
class _JoinKernel:
    side: int
    dtype: Any
    names: tuple[Any, ...]
    missing_first: bool

    def __call__(self, _index: Index, mine: Any, other: Any) -> tuple[Any, bool]:
        one, two = (mine.index, other) if self.side == 0 else (other, mine.index)
        labels, left, right = self._joined(one, two)
        if self.dtype is not None and labels.dtype != self.dtype:
            labels = labels.astype(self.dtype)
        labels = labels.set_names(self.names)
        return _placed(mine, labels, left if self.side == 0 else right)

    def _joined(self, one: Any, two: Any) -> tuple[Any, Any, Any]:
        if len(one) and len(two):
            return one.join(two, how="outer", return_indexers=True)
        # Where one side is empty as a whole pandas' own sort is not stable; here only a part is.
        full = one if len(one) else two
        missing = "first" if self.missing_first else "last"
        at = pd.Series(np.arange(len(full)), full).sort_index(kind="stable", na_position=missing)
        where, nothing = at.to_numpy(), np.full(len(full), -1)
        labels = full.take(where)
        return (labels, where, nothing) if len(one) else (labels, nothing, where)


def _placed(value: Any, labels: Any, where: Any) -> tuple[Any, bool]:
    """Rows of the value at positions, missing ones where these are -1."""
    if where is None:
        return value.set_axis(labels), False
    missing = bool((where < 0).any())
    plain = value.reset_index(drop=True)
    rows = plain.reindex(where) if missing else plain.take(where)
    return rows.set_axis(labels), missing
