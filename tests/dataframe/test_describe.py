"""Descriptions, labelled and typed as pandas does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nbscale.dataframe as nd
from tests.dataframe.serial import compute

ROWS = 50
FRAME = pd.DataFrame(
    {
        "x": np.arange(ROWS),
        "t": list("abcab") * 10,
        "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(ROWS) * 4, "D"),
        "gap": pd.to_timedelta(np.arange(ROWS) * 4, "s"),
    }
)


@pytest.mark.parametrize("column", list(FRAME))
def test_each_kind_of_column(column):
    got = compute(nd.from_pandas(FRAME[column], npartitions=4).describe())
    want = FRAME[column].describe()
    assert got.index.tolist() == want.index.tolist()
    assert got.dtype == want.dtype
    pd.testing.assert_series_equal(got, want, rtol=1e-12)


@pytest.mark.parametrize("include", [None, "all", ["number"], [object, "str"]])
def test_columns_are_chosen_as_pandas_does(include):
    frame = FRAME[["x", "t"]]
    got = compute(nd.from_pandas(frame, npartitions=4).describe(include=include))
    pd.testing.assert_frame_equal(got, frame.describe(include=include), rtol=1e-12)


def test_percentiles_are_checked_as_pandas_does():
    with pytest.raises(ValueError, match="percentiles"):
        nd.from_pandas(FRAME, npartitions=2).describe(percentiles=[50])
