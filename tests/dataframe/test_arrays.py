"""Arrays of columns: joining, numbers, dates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nbscale.dataframe.arrays import dates_of, joined, numbers, values_of


@pytest.mark.parametrize(
    "series",
    [
        pd.Series([1, 2, 3]),
        pd.Series(["a", None, "b"], dtype="str"),
        pd.Series([1, None, 3], dtype="Int64"),
        pd.Series(pd.Categorical(["x", "y", None])),
        pd.Series(pd.to_datetime(["2020", None, "2021"])),
        pd.Series(pd.to_datetime(["2020", None, "2021"]).tz_localize("Europe/Paris")),
        pd.Series([1, "a", None], dtype=object),
    ],
    ids=lambda s: str(s.dtype),
)
def test_joined_pieces_are_the_whole(series):
    pieces = [values_of(series[:1]), values_of(series[1:1]), values_of(series[1:])]
    found = pd.Series(joined(pieces))
    pd.testing.assert_series_equal(found, series)


def test_joined_of_two_dtypes_is_pandas_common_one():
    found = joined([np.array([1, 2]), np.array([0.5])])
    assert found.tolist() == [1.0, 2.0, 0.5]
    assert found.dtype == np.float64


def test_numbers_leaves_out_what_is_missing():
    assert numbers(pd.Series([1.0, np.nan, 3.0])).tolist() == [1.0, 3.0]
    assert numbers(pd.Series([1, None, 3], dtype="Int64")).tolist() == [1.0, 3.0]
    assert numbers(pd.Series([True, False])).tolist() == [1.0, 0.0]
    dates = pd.Series(pd.to_datetime(["1970-01-02", None]).as_unit("s"))
    assert numbers(dates).tolist() == [86400.0]


@pytest.mark.parametrize("zone", [None, "Europe/Paris"])
def test_dates_come_back_from_their_integers(zone):
    dates = pd.Series(pd.to_datetime(["2020-03-01 05:00", "2021-07-01 00:00"]))
    if zone is not None:
        dates = dates.dt.tz_localize(zone)
    whole = dates.array.view("i8")
    pd.testing.assert_series_equal(pd.Series(dates_of(whole, dates.dtype)), dates)
