"""Hashes of keys: equal keys alike, others apart, whatever the arrays are made of."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from nbscale.dataframe.hashing import hashes

TEXTS = st.lists(st.one_of(st.none(), st.text(max_size=30)), min_size=1, max_size=20)


@given(TEXTS, st.integers(0, 19))
def test_text_is_hashed_wherever_it_lies_in_a_buffer(values, cut):
    whole = pd.Series(values, dtype="str")
    pieces = [whole[:cut], whole[cut:]]
    joined = np.concatenate([hashes([piece.array]) for piece in pieces])
    assert joined.tolist() == hashes([whole.array]).tolist()
    chunked = pd.concat(pieces).array
    assert hashes([chunked]).tolist() == joined.tolist()
    by_value = {}
    for value, found in zip(whole.fillna("missing!"), joined.tolist(), strict=True):
        assert by_value.setdefault(value, found) == found
    assert len(set(by_value.values())) == len(by_value)


def test_length_counts():
    texts = pd.Series(["", "\0", "\0\0", "a", "a\0", "a" * 8, "a" * 9, "a" * 16], dtype="str").array
    assert len(set(hashes([texts]).tolist())) == len(texts)


def test_equal_keys_have_equal_hashes():
    floats = np.array([0.0, -0.0, np.nan, np.float64("nan"), 1.0])
    found = hashes([floats])
    assert found[0] == found[1]
    assert found[2] == found[3]
    assert len(set(found.tolist())) == 3
    assert hashes([floats.astype(np.float32)])[4] == found[4]
    category = pd.Categorical(["b", "a", None])
    other = pd.Categorical(["a", "b", None])
    assert hashes([category]).tolist() == hashes([other])[[1, 0, 2]].tolist()


def test_long_texts_differ_by_their_ends():
    long = "x" * 5000
    texts = pd.Series([long + "a", long + "b", "b" + long, long, long + "a"], dtype="str").array
    found = hashes([texts]).tolist()
    assert found[0] == found[4]
    assert len(set(found)) == 4


def test_order_of_keys_counts():
    one, other = np.array([1, 2]), np.array([2, 1])
    assert hashes([one, other])[0] != hashes([other, one])[0]


def test_hashes_spread_over_few_parts():
    numbers = hashes([np.arange(10_000)]) % np.uint64(7)
    assert np.bincount(numbers.astype(int)).min() > 1200
    texts = pd.Series([f"user{i:07d}" for i in range(10_000)], dtype="str").array
    assert np.bincount((hashes([texts]) % np.uint64(7)).astype(int)).min() > 1200
