"""Rows of one frame looked up by the labels of another: there by hash, and back in order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nbscale.dataframe.exchange import TAG, HashExchange, Restore
from nbscale.dataframe.keys import Keys
from nbscale.dataframe.node import FrameMap
from nbscale.dataframe.promote import dtypes_of, dtypes_with_missing, promoted
from nbscale.expr.node import Index, Kernel, Node
from nbscale.record import record

__all__ = ["looked_up"]


class TagLabels(FrameMap):
    """The labels of a value and where each is: a frame with the hidden column alone."""

    input: Node

    @property
    def label(self) -> str:
        return "tag labels"

    def kernel(self) -> Kernel:
        return _tag_labels


def _tag_labels(index: Index, value: Any) -> pd.DataFrame:
    bare = pd.DataFrame(index=value.index)
    return bare.assign(**{TAG: (index[0] << 40) + pd.RangeIndex(len(value)).to_numpy()})


class Fetch(FrameMap):
    """For every tagged label the row of the other value with that label, if there is one."""

    tagged: Node
    other: Node
    by: Keys
    strict: bool

    @property
    def label(self) -> str:
        return "look up labels"

    def kernel(self) -> Kernel:
        return _Fetch(self.by, self.strict)

    def reference(self, *inputs: Any) -> Any:
        tagged, other = inputs
        rows = other[:0].reindex(tagged.index[:0])
        return _with_tag(rows, tagged[TAG].iloc[:0]), False


@record
class _Fetch:
    by: Keys
    strict: bool

    def __call__(self, _index: Index, tagged: Any, other: Any) -> tuple[Any, bool]:
        theirs, mine = (_compared(self.by.arrays(side)) for side in (other, tagged))
        repeats = not theirs.is_unique and len(mine) > 0
        if repeats and not self.strict:
            msg = f"cannot reindex on an axis with duplicate labels, such as {_twice(theirs)!r}"
            raise ValueError(msg)
        known = theirs.unique()
        where = known.get_indexer(mine) if len(known) else np.full(len(mine), -1)
        lacks = where < 0
        if self.strict and lacks.any():
            msg = (
                "Unalignable boolean Series provided as indexer (index of the boolean Series and "
                f"of the indexed object do not match); it lacks the label {mine[lacks].tolist()[0]!r}"
            )
            raise pd.errors.IndexingError(msg)
        if repeats:
            msg = (
                f"a boolean Series with other labels than the rows must not repeat any, but "
                f"{_twice(theirs)!r} repeats"
            )
            raise IndexError(msg)
        plain = other.reset_index(drop=True)
        rows = plain.reindex(where) if lacks.any() else plain.take(where)
        return _with_tag(rows.set_axis(tagged.index), tagged[TAG]), bool(lacks.any())


def _twice(labels: pd.Index) -> Any:
    return labels[labels.duplicated()].tolist()[0]


def _compared(arrays: list[Any]) -> pd.Index:
    if len(arrays) == 1:
        return pd.Index(arrays[0])
    return pd.MultiIndex.from_arrays(arrays)


def _with_tag(rows: Any, tags: pd.Series) -> pd.DataFrame:
    frame = rows.to_frame() if isinstance(rows, pd.Series) else rows
    # By position: labels may repeat on the side that asks.
    return frame.assign(**{TAG: tags.to_numpy()})


class Untagged(FrameMap):
    """A frame of one column as the series it was made from."""

    input: Node
    name: Any

    @property
    def label(self) -> str:
        return "series"

    def kernel(self) -> Kernel:
        return _FirstColumn(self.name)


@record
class _FirstColumn:
    name: Any

    def __call__(self, _index: Index, frame: Any) -> Any:
        return frame.iloc[:, 0].rename(self.name)


def looked_up(frame: Any, other: Any, by: Keys, n: int, *, strict: bool) -> Node:
    """The rows of ``other`` on the labels, order and partitions of ``frame``.

    Two exchanges: labels and rows meet in ``n`` partitions by hash, and go back to where the tags
    of the labels say.
    """
    asked = HashExchange(TagLabels(frame), by, n)
    there = HashExchange(other, by, n)
    pairs = Fetch(asked, there, by, strict)
    tag = np.dtype(np.int64)
    before = (*dtypes_of(other.schema), tag)
    after = (*dtypes_with_missing(other.schema), tag)
    back = Restore(promoted(pairs, before, after), frame.grid[0])
    return Untagged(back, other.sample.name) if other.kind == "series" else back
