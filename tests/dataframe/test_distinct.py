"""Distinct values as lazy arrays."""

from __future__ import annotations

import numpy as np
import pandas as pd

import nbscale.dataframe as nd
from nbscale.dataframe.distinct import Values
from tests.dataframe.serial import compute

SERIES = pd.Series([3, 1, 3, 2, 1], name="n")


def test_unique_acts_as_an_array():
    found = nd.from_pandas(SERIES, npartitions=3).unique()
    assert isinstance(found, Values)
    assert found.dtype == np.int64
    assert "not computed" in repr(found)
    assert len(found) == 3
    assert list(found) == [3, 1, 2]
    assert 2 in found
    assert np.asarray(found).tolist() == [3, 1, 2]
    assert found.tolist() == [3, 1, 2]


def test_unique_of_text_is_the_array_of_pandas():
    series = pd.Series(["b", None, "a", "b"], dtype="str")
    got = compute(nd.from_pandas(series, npartitions=2).unique())
    assert type(got) is type(series.unique())
    assert got.equals(series.unique())


def test_persisted_values_stay_values():
    kept = nd.from_pandas(SERIES, npartitions=3).unique().persist()
    assert isinstance(kept, Values)
    assert kept.compute().tolist() == [3, 1, 2]


def test_modes_are_sorted_and_numbered():
    got = compute(nd.from_pandas(SERIES, npartitions=3).mode())
    pd.testing.assert_series_equal(got, SERIES.mode())
