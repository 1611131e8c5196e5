"""Sets of coordinates against Python's own sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbscale.graph.intervals import Coords, as_array, as_coords, frozen, positions, union

numbers = st.sets(st.integers(0, 12), max_size=8)


def coords(values: set[int]) -> Coords:
    return as_coords(sorted(values), 13)


@given(numbers)
def test_a_set_without_holes_is_a_range(values: set[int]) -> None:
    found = coords(values)
    assert list(found) == sorted(values)
    whole = not values or max(values) - min(values) + 1 == len(values)
    assert isinstance(found, range) == whole
    assert as_array(found).dtype == np.int64


def test_a_range_with_steps_is_an_array_unless_it_has_one_member() -> None:
    assert isinstance(as_coords(range(0, 6, 2), 6), np.ndarray)
    assert as_coords(range(3, 4, 2), 6) == range(3, 4)
    assert as_coords(range(5, 2), 3) == range(0)


@given(st.lists(numbers, max_size=4))
def test_union(sets: list[set[int]]) -> None:
    found = union(*map(coords, sets))
    wanted = set().union(*sets)
    assert list(found) == sorted(wanted)
    assert isinstance(found, range) == isinstance(coords(wanted), range)


def test_union_of_a_million_in_ranges_makes_no_array() -> None:
    assert union(range(5, 10**12), range(5)) == range(10**12)


@given(numbers, numbers)
def test_positions(wanted: set[int], more: set[int]) -> None:
    among = sorted(wanted | more)
    assert positions(coords(wanted), coords(set(among))).tolist() == [
        among.index(v) for v in sorted(wanted)
    ]


def test_positions_of_what_is_missing() -> None:
    for among in (range(2), np.array([0, 1, 4])):
        with pytest.raises(ValueError, match="coordinate 3 is needed"):
            positions(np.array([1, 3]), among)


def test_frozen_shares_only_what_cannot_change() -> None:
    mine = np.arange(3)
    assert not np.shares_memory(frozen(mine), mine)
    mine.flags.writeable = False
    assert frozen(mine) is mine
