"""Distinct counts of few groups with many values: pairs of group and value are exchanged apart.

The groups themselves fit one partition, their sets of values do not. So each pair goes to the
partition its hash says, is counted there, and only counts are brought together.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from nbscale.dataframe.aggregates import Size
from nbscale.dataframe.arrays import joined
from nbscale.dataframe.coding import encode
from nbscale.dataframe.groups import Groups, Wanted, merged
from nbscale.dataframe.hashing import hashes
from nbscale.dataframe.node import FrameExchange, FrameMap
from nbscale.dataframe.regroup import MergeAll, paired
from nbscale.expr.node import Index, Kernel, Node
from nbscale.record import record

__all__ = ["pairs_apart"]


def pairs_apart(states: Node, parts: int) -> Node:
    """All groups in one partition, with distinct values already counted."""
    places = paired(states)
    main = MergeAll(WithoutPairs(states, places))
    counts = [MergeAll(CountPairs(MovePairs(states, place, parts))) for place in places]
    return WithCounts(main, tuple(counts), places)


class WithoutPairs(FrameMap):
    """Groups without the values of their distinct counts."""

    input: Node
    places: tuple[int, ...]

    @property
    def held(self) -> tuple[Wanted, ...]:
        """As in the input."""
        return self.input.held  # type: ignore[attr-defined]

    def kernel(self) -> Kernel:
        return _Without(self.places)


@record
class _Without:
    places: tuple[int, ...]

    def __call__(self, index: Index, groups: Groups) -> Groups:
        del index
        states = list(groups.states)
        for place in self.places:
            states[place] = tuple(array[:0] for array in states[place])
        return dataclasses.replace(groups, states=tuple(states))


class MovePairs(FrameExchange):
    """The pairs of one distinct count, each once: keys of the group, then the value."""

    input: Node
    place: int
    parts: int

    @property
    def grid(self) -> tuple[int, ...]:
        return (self.parts,)

    @property
    def label(self) -> str:
        return "exchange pairs"

    def split(self) -> Kernel:
        return _SplitPairs(self.place, self.parts)

    def merge(self) -> Kernel:
        return _merge_pairs

    def reference(self, *inputs: Any) -> Any:
        return _pairs(inputs[0], self.place)


def _pairs(groups: Groups, place: int) -> Groups:
    rows, values = groups.states[place]
    keys = (*(key.take(rows) for key in groups.keys), values)
    return Groups(keys, groups.tags[rows], (), (), groups.source)


@record
class _SplitPairs:
    place: int
    parts: int

    def __call__(self, index: Index, groups: Groups) -> list[Groups]:
        del index
        pairs = _pairs(groups, self.place)
        where = (hashes(pairs.keys) % np.uint64(self.parts)).astype(np.int64)
        return pairs.split(where, self.parts, ())


def _merge_pairs(index: Index, pieces: list[Groups]) -> Groups:
    del index
    return merged(pieces, ())


class CountPairs(FrameMap):
    """How many pairs each group has here."""

    input: Node

    @property
    def held(self) -> tuple[Wanted, ...]:
        """The one aggregate: counts, which are added up."""
        return (Wanted(None, Size()),)

    def kernel(self) -> Kernel:
        return _count_pairs


def _count_pairs(index: Index, pairs: Groups) -> Groups:
    del index
    coded = encode(pairs.keys[:-1], dropna=False)
    first = np.empty(coded.groups, dtype=np.int64)
    first[coded.codes[::-1]] = pairs.tags[::-1]
    counts = np.bincount(coded.codes, minlength=coded.groups).astype(np.int64)
    return Groups(coded.keys, first, ((counts,),), (None,), pairs.source)


class WithCounts(FrameMap):
    """Groups whose distinct values were counted elsewhere."""

    main: Node
    counts: tuple[Node, ...]
    places: tuple[int, ...]

    @property
    def grid(self) -> tuple[int, ...]:
        return (1,)

    @property
    def held(self) -> tuple[Wanted, ...]:
        """As in the groups."""
        return self.main.held  # type: ignore[attr-defined]

    def kernel(self) -> Kernel:
        return _Join(self.places)


@record
class _Join:
    places: tuple[int, ...]

    def __call__(self, index: Index, groups: Groups, *counts: Groups) -> Groups:
        del index
        states = list(groups.states)
        for place, counted in zip(self.places, counts, strict=True):
            keys = [joined([a, b]) for a, b in zip(groups.keys, counted.keys, strict=True)]
            codes = encode(keys, dropna=False).codes[len(groups) :]
            found = np.zeros(len(groups), dtype=np.int64)
            # Every group counted is one of these, so its number is its row here.
            found[codes] = counted.states[0][0]
            states[place] = (found,)
        return dataclasses.replace(groups, states=tuple(states))
