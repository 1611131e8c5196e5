"""Quantiles and medians, bit for bit those of pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nbscale.dataframe as nd
from nbscale.dataframe import narrow, quantile
from tests.dataframe.serial import compute

SEVERAL = [0, 0.001, 0.25, 1 / 3, 0.5, 0.9, 1]


@pytest.fixture
def coarse(monkeypatch):
    """So little is shown and fetched that every value takes several rounds."""
    monkeypatch.setattr(narrow, "_FETCH", 8)
    monkeypatch.setattr(quantile, "SHOWN", 4)


@pytest.mark.parametrize("how", ["linear", "lower", "higher", "nearest", "midpoint"])
@pytest.mark.parametrize("dtype", ["float64", "int64", "Int64", "Float64", "datetime64[ns]"])
def test_many_rows(coarse, dtype, how):
    values = np.random.default_rng(0).integers(-(10**6), 10**6, 500)
    series = pd.Series(values).astype(dtype)
    lazy = nd.from_pandas(series, npartitions=7)
    got = compute(lazy.quantile(SEVERAL, interpolation=how))
    want = series.quantile(SEVERAL, interpolation=how)
    pd.testing.assert_series_equal(got, want, check_exact=True)
    assert compute(lazy.median()) == series.median()


@settings(max_examples=40)
@given(
    st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9)), max_size=30),
    st.lists(st.floats(0, 1), min_size=1, max_size=4),
    st.integers(1, 4),
)
def test_any_quantile(values, q, partitions):
    series = pd.Series(values, dtype=float)
    lazy = nd.from_pandas(series, npartitions=partitions)
    pd.testing.assert_series_equal(compute(lazy.quantile(q)), series.quantile(q), check_exact=True)


def test_columns_of_a_frame_are_asked_about_together():
    frame = pd.DataFrame({"a": range(100), "b": np.linspace(0, 1, 100)})
    node = nd.from_pandas(frame, npartitions=4).quantile([0.1, 0.9])._node
    (look,) = node.asks()
    assert len(look.questions) == 2


def test_fractions_outside_are_refused():
    lazy = nd.from_pandas(pd.Series([1, 2]))
    with pytest.raises(ValueError, match=r"interval \[0, 1\]"):
        lazy.quantile([0.5, 1.1])


def test_text_has_no_median():
    with pytest.raises(TypeError):
        nd.from_pandas(pd.Series(["a"])).median()
