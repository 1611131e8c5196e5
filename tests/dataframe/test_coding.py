"""Numbering rows by keys, hashing and ranking them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from nbscale.dataframe.coding import compact, encode, hashes, ranks

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


def test_equal_keys_have_equal_hashes():
    floats = np.array([0.0, -0.0, np.nan, np.float64("nan"), 1.0])
    found = hashes([floats])
    assert found[0] == found[1]
    assert found[2] == found[3]
    assert len(set(found.tolist())) == 3
    category = pd.Categorical(["b", "a", None])
    other = pd.Categorical(["a", "b", None])
    assert hashes([category]).tolist() == hashes([other])[[1, 0, 2]].tolist()


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
