"""Groups: made, merged and split, they stay what pandas makes of the whole."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbscale.dataframe.aggregates import NAMED
from nbscale.dataframe.groups import Wanted, grouped, merged

NAMES = ["sum", "count", "mean", "std", "min", "max", "first", "last", "nunique", "size"]
WANTED = [Wanted("x", NAMED[name]()) for name in NAMES]
AGGREGATES = [want.aggregate for want in WANTED]
ROWS = st.lists(
    st.tuples(st.sampled_from([None, "a", "b", "c"]), st.one_of(st.none(), st.integers(-5, 5))),
    min_size=1,
    max_size=25,
)


def of(frame, part):
    return grouped(part, frame, [frame["k"].array], WANTED, dropna=True)


def frame_of(rows):
    return pd.DataFrame(rows, columns=["k", "x"]).astype({"k": "str", "x": "float64"})


def table(groups):
    columns = {}
    for name, want, state, dtype in zip(NAMES, WANTED, groups.states, groups.dtypes, strict=True):
        counted = name == "nunique"
        aggregate = want.aggregate
        columns[name] = (
            aggregate.counted(state, len(groups)) if counted else aggregate.final(state, dtype)
        )
    return pd.DataFrame(columns, index=pd.Index(groups.keys[0], name="k"))


def pandas_says(frame):
    by = frame.groupby("k", sort=False)["x"]
    return pd.DataFrame({name: getattr(by, name)() for name in NAMES})


@settings(max_examples=60)
@given(ROWS, st.lists(st.integers(0, 25), max_size=3))
def test_merged_parts_are_the_whole(rows, cuts):
    frame = frame_of(rows)
    bounds = [0, *sorted(c for c in cuts if c <= len(frame)), len(frame)]
    parts = [of(frame[a:b], i) for i, (a, b) in enumerate(itertools.pairwise(bounds))]
    whole = merged([merged(parts[:2], AGGREGATES), *parts[2:]], AGGREGATES)
    pd.testing.assert_frame_equal(table(whole), pandas_says(frame), atol=1e-9)
    assert (np.diff(whole.tags) > 0).all()
    assert whole.rows == frame["k"].count()


@settings(max_examples=60)
@given(ROWS, st.integers(1, 4), st.integers(0, 10**6))
def test_pieces_merged_again_are_what_was_split(rows, n, seed):
    frame = frame_of(rows)
    groups = of(frame, 0)
    where = np.random.default_rng(seed).integers(0, n, len(groups))
    pieces = groups.split(where, n, AGGREGATES)
    assert [len(p) for p in pieces] == np.bincount(where, minlength=n).tolist()
    back = merged(pieces, AGGREGATES).in_tag_order(AGGREGATES)
    pd.testing.assert_frame_equal(table(back), table(groups))


def test_bytes_count_every_array():
    frame = frame_of([("a", 1), ("b", 2)])
    groups = of(frame, 0)
    assert groups.nbytes >= 8 * 2 * len(NAMES)


@pytest.mark.parametrize("name", ["sum", "mean", "std"])
def test_a_state_is_a_row_for_each_group(name):
    frame = frame_of([("a", 1), ("b", 2), ("a", 3)])
    state = of(frame, 0).states[NAMES.index(name)]
    assert {len(array) for array in state} == {2}
