"""Layout: which rows a frame has, in which order, and how they are split into partitions.

Partitioned pandas goes wrong without a notion of rows. Every frame node has a layout; operations
state what they need of it and what they deliver.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, TypeAlias

from nbscale.record import record

__all__ = ["ByHash", "ByPosition", "ByRange", "Layout", "Split"]


@record
class ByPosition:
    """Partitions are consecutive pieces of the whole."""


@record
class ByHash:
    """Rows with equal keys are in one partition, chosen by hash. Order is lost."""

    keys: tuple[Any, ...]
    n: int


@record
class ByRange:
    """Rows with equal keys are in one partition, and partitions are in the order of the keys."""

    keys: tuple[Any, ...]


Split: TypeAlias = ByPosition | ByHash | ByRange


@record
class Layout:
    """How a frame's rows lie.

    Attributes
    ----------
    rows
        Token of the row set and its order: two frames with equal tokens and splits have the same
        rows in the same partitions, so they can be zipped.
    order
        ``"exact"``: partitions one after the other are the rows in pandas' order; ``"lost"``.
    split
        How rows were assigned to partitions.
    sorted_by
        Columns the rows ascend by, or ().
    lengths
        Rows of each partition, where known.
    divisions
        Labels of the index that bound the partitions, as Dask has them: partition i holds labels
        from ``divisions[i]`` up to ``divisions[i+1]``, the last one included. None if not known.
    """

    rows: str
    order: Literal["exact", "lost"] = "exact"
    split: Split = ByPosition()
    sorted_by: tuple[Any, ...] = ()
    lengths: tuple[int, ...] | None = None
    divisions: tuple[Any, ...] | None = None

    def zips_with(self, other: Layout) -> bool:
        """Whether equal partitions of the two hold the same rows in the same order."""
        return self.rows == other.rows and self.split == other.split

    def filtered(self, rows: str) -> Layout:
        """The layout after rows were dropped: same order and split, lengths unknown."""
        return dataclasses.replace(self, rows=rows, lengths=None)
