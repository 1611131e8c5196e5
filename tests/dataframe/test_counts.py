"""Value counts: ties, missing values, categories."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nbscale.dataframe as nd
from tests.dataframe.serial import compute


@settings(max_examples=40)
@given(
    st.lists(st.sampled_from(["a", "b", "c", "d", None]), max_size=25),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["str", "object", "category"]),
)
def test_ties_come_in_order_of_first_sight(values, partitions, ascending, dropna, dtype):
    if dtype == "object":
        dropna = True  # a missing key of objects comes back as NaN, as it does in a group-by
    series = pd.Series(values, dtype=dtype if dtype != "category" else None)
    if dtype == "category":
        series = series.astype(pd.CategoricalDtype(["d", "c", "b", "a"]))
    lazy = nd.from_pandas(series, npartitions=partitions)
    got = compute(lazy.value_counts(ascending=ascending, dropna=dropna))
    want = series.value_counts(ascending=ascending, dropna=dropna)
    pd.testing.assert_series_equal(got, want)


def test_bins_are_refused():
    with pytest.raises(NotImplementedError, match="bins"):
        nd.from_pandas(pd.Series([1.0])).value_counts(bins=3)


def test_rows_of_a_frame_need_a_column():
    frame = nd.from_pandas(pd.DataFrame({"x": [1]}))
    with pytest.raises(ValueError, match="at least one column"):
        frame.value_counts([])
    with pytest.raises(KeyError, match="no column 'y'"):
        frame.value_counts("y")
