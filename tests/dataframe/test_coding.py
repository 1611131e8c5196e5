"""Numbering rows by keys, hashing and ranking them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from nbscale.dataframe.coding import compact, encode, places, ranks

KEYS = st.lists(st.tuples(st.sampled_from([None, "a", "b", "c"]), st.integers(0, 3)), max_size=30)


@given(st.lists(st.integers(0, 50)), st.sampled_from([51, 10**7]))
def test_compact_numbers_by_first_sight(values, size):
    codes, found = compact(np.array(values, dtype=np.int64), size)
    want, uniques = pd.factorize(np.array(values, dtype=np.int64))
    assert codes.tolist() == want.tolist()
    assert found.tolist() == uniques.tolist()


@given(KEYS, st.booleans())
def test_encode_is_the_grouping_of_pandas(rows, dropna):
    frame = pd.DataFrame(rows, columns=["k", "n"]).astype({"k": "str", "n": "int64"})
    coded = encode([frame["k"].array, frame["n"].to_numpy()], dropna=dropna)
    want = frame.groupby(["k", "n"], sort=False, dropna=dropna).ngroup().to_numpy()
    want = np.where(np.isnan(want.astype(float)), -1, want).astype(int)
    assert coded.codes.tolist() == want.tolist()
    for row, code in zip(rows, coded.codes.tolist(), strict=True):
        if code >= 0:
            key = coded.keys[0][code]
            assert (None if pd.isna(key) else key, coded.keys[1][code]) == row


def test_encode_many_keys_does_not_overflow():
    rng = np.random.default_rng(0)
    keys = [rng.integers(0, 1 << 40, 3000) for _ in range(8)]
    keys = [np.concatenate([k, k[:100]]) for k in keys]
    coded = encode(keys, dropna=True)
    assert coded.groups == 3000
    assert coded.codes[3000:].tolist() == list(range(100))


@given(
    st.lists(st.one_of(st.none(), st.text(max_size=4))),
    st.lists(st.text(max_size=4), max_size=5, unique=True),
)
def test_places_are_those_of_the_ranks(keys, bounds):
    column = pd.Series(keys, dtype="str").array
    limits = pd.Series(sorted(bounds), dtype="str").array
    low, own = ranks([[limits, column]])
    assert places([limits], [column]).tolist() == np.searchsorted(low, own).tolist()


def test_places_of_numbers_have_missing_ones_last():
    found = places([np.array([1.0, 2.0])], [np.array([0.5, 1.0, 1.5, 9.0, np.nan])])
    assert found.tolist() == [0, 0, 1, 2, 2]


@given(st.lists(st.integers(-5, 5)), st.sampled_from(["int64", "uint8", "int32"]))
def test_small_integers_are_numbered_alike(values, dtype):
    array = np.abs(np.array(values, dtype="int64")).astype(dtype)
    coded = encode([array], dropna=True)
    codes, found = pd.factorize(array)
    assert coded.codes.tolist() == codes.tolist()
    assert coded.keys[0].tolist() == found.tolist()
    assert coded.keys[0].dtype == dtype


@given(KEYS, st.integers(0, 30))
def test_ranks_order_tables_together_as_sort_values_does(rows, cut):
    frame = pd.DataFrame(rows, columns=["k", "n"]).astype({"k": "str", "n": "int64"})
    parts = [frame[:cut], frame[cut:]]
    found = ranks([[p["k"].array for p in parts], [p["n"].to_numpy() for p in parts]])
    order = np.argsort(np.concatenate(found), kind="stable")
    want = frame.sort_values(["k", "n"], kind="stable")
    pd.testing.assert_frame_equal(frame.iloc[order], want)


def test_ranks_of_categories_are_in_their_order():
    category = pd.Categorical(["a", "b", None, "c"], categories=["c", "b", "a"])
    (found,) = ranks([[category]])
    assert np.argsort(found).tolist() == [3, 1, 0, 2]
