"""The groups of some rows, with a state for each aggregate: made, merged, split, read.

A table that knows its keys, where each group was first seen, and the states of its aggregates.
Everything a group-by does between the rows and the result is done on these.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nbscale.dataframe.aggregates import Aggregate, Grouped
from nbscale.dataframe.arrays import joined
from nbscale.dataframe.coding import encode
from nbscale.dataframe.node import row_bytes
from nbscale.record import record

__all__ = ["Groups", "Wanted", "grouped", "merged", "state_bytes"]

_ROW_BITS = 40
"""Bits of a tag for the place within a partition: a tag is partition, then place."""


@record
class Wanted:
    """An aggregate of a column; ``column`` is None for the values of a series, or for rows."""

    column: Any
    aggregate: Aggregate


@record
class Groups:
    """One row for each group, in order of first sight.

    Attributes
    ----------
    keys
        An array for each key.
    tags
        Where each group was first seen: comparable over all partitions.
    states
        For each aggregate, the arrays of its state.
    dtypes
        For each aggregate, the dtype of the column it is of; None for rows.
    source
        Bytes of the largest partition these were made from.
    rows
        Rows in all the groups, where they are counted at all.
    """

    keys: tuple[Any, ...]
    tags: np.ndarray
    states: tuple[tuple[Any, ...], ...]
    dtypes: tuple[Any, ...]
    source: float = 0.0
    rows: int = 0

    def __len__(self) -> int:
        return len(self.tags)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return state_bytes((*self.keys, self.tags)) + sum(map(state_bytes, self.states))

    def arranged(self, order: np.ndarray, aggregates: Sequence[Aggregate]) -> Groups:
        """The groups in another order."""
        states = zip(aggregates, self.states, strict=True)
        return dataclasses.replace(
            self,
            keys=tuple(key.take(order) for key in self.keys),
            tags=self.tags[order],
            states=tuple(a.arranged(state, order) for a, state in states),
        )

    def split(
        self, destination: np.ndarray, n: int, aggregates: Sequence[Aggregate]
    ) -> list[Groups]:
        """The groups of each of n destinations, in the order they have here."""
        small = destination.astype(np.int16)  # which NumPy sorts by radix
        order = np.argsort(small, kind="stable")
        bounds = np.searchsorted(small[order], np.arange(n + 1))
        moved = self.arranged(order, aggregates)
        pieces = []
        for a, b in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            states = zip(aggregates, moved.states, strict=True)
            pieces.append(
                dataclasses.replace(
                    moved,
                    keys=tuple(key[a:b] for key in moved.keys),
                    tags=moved.tags[a:b],
                    states=tuple(agg.part(state, a, b) for agg, state in states),
                )
            )
        return pieces

    def in_tag_order(self, aggregates: Sequence[Aggregate]) -> Groups:
        """The groups in the order in which their first rows stood."""
        if len(self) < 2 or (np.diff(self.tags) > 0).all():
            return self
        return self.arranged(np.argsort(self.tags), aggregates)

    def first_seen_in(self) -> np.ndarray:
        """The partition in which each group was first seen."""
        return self.tags >> _ROW_BITS


def state_bytes(arrays: Sequence[Any]) -> int:
    """Bytes of some arrays in memory."""
    total = 0
    for array in arrays:
        # Behind a pointer stands an object, of which only a guess can be made.
        guess = 8 if isinstance(array, np.ndarray) and array.dtype == object else 1
        total += int(array.nbytes) * guess
    return total


def grouped(
    part: int,
    rows: Any,
    keys: Sequence[Any],
    wanted: Sequence[Wanted],
    *,
    dropna: bool,
) -> Groups:
    """Group the rows of one partition.

    ``rows`` is a frame or series, ``keys`` arrays of as many rows.
    """
    coded = encode(keys, dropna=dropna)
    columns: dict[Any, Any] = {}
    dtypes = []
    slots = []
    for want in wanted:
        column = None
        if want.aggregate.name != "size":
            column = rows[want.column] if isinstance(rows, pd.DataFrame) else rows
        slot = (want.column, want.aggregate.kind)
        if column is not None and slot not in columns:
            columns[slot] = want.aggregate.prepared(column)
        dtypes.append(None if column is None else column.dtype)
        slots.append(slot)
    names = {slot: i for i, slot in enumerate(columns)}
    table = Grouped(coded.codes, coded.groups, {names[s]: array for s, array in columns.items()})
    states = tuple(
        want.aggregate.partial(table, names.get(slot))
        for want, slot in zip(wanted, slots, strict=True)
    )
    tags = (part << _ROW_BITS) + np.arange(coded.groups, dtype=np.int64)
    counted = any(want.aggregate.name == "size" for want in wanted)
    inside = int(table.size().sum()) if counted else 0
    return Groups(coded.keys, tags, states, tuple(dtypes), row_bytes(rows), inside)


def merged(parts: Sequence[Groups], aggregates: Sequence[Aggregate]) -> Groups:
    """The groups of all parts, which come in the order of their rows."""
    if len(parts) == 1:
        return parts[0]
    keys = [joined(arrays) for arrays in zip(*(part.keys for part in parts), strict=True)]
    coded = encode(keys, dropna=False)
    tags = np.concatenate([part.tags for part in parts])
    first = np.empty(coded.groups, dtype=np.int64)
    first[coded.codes[::-1]] = tags[::-1]
    codes = np.split(coded.codes, np.cumsum([len(part) for part in parts])[:-1])
    states = tuple(
        aggregate.merge(several, codes, coded.groups)
        for aggregate, several in zip(
            aggregates, zip(*(part.states for part in parts), strict=True), strict=True
        )
    )
    biggest = max(part.source for part in parts)
    rows = sum(part.rows for part in parts)
    return Groups(coded.keys, first, states, parts[0].dtypes, biggest, rows)
