"""Arrays with a row for each group."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nbscale.dataframe.arrays import values_of
from nbscale.dataframe.folding import added, as_means, folded

CODES = np.array([0, 1, 0, 2, 1, 0])
COLUMNS = [
    pd.Series([1, 2, 3, 4, 5, 6]),
    pd.Series([1, 2, 3, 4, 5, 6], dtype="int8"),
    pd.Series([1.5, np.nan, 3, np.nan, -5, 6]),
    pd.Series([1, None, 3, None, 5, 6], dtype="Int64"),
    pd.Series(["b", None, "a", "c", "x", "d"], dtype="str"),
    pd.Series(pd.to_datetime(["2020", None, "2019", "2021", "2022", "2023"])),
    pd.Series([True, False, False, True, True, True]),
]


@pytest.mark.parametrize("name", ["sum", "min", "max", "prod", "any", "all"])
@pytest.mark.parametrize("column", COLUMNS, ids=lambda s: str(s.dtype))
def test_folding_is_what_pandas_groups(name, column):
    if name in {"sum", "prod"} and column.dtype == float:
        column = column.fillna(2)  # sums of partitions are never missing
    try:
        want = getattr(column.groupby(CODES), name)()
    except TypeError:
        pytest.skip("pandas does not do this")
    if name in {"any", "all"} and column.dtype != bool:
        pytest.skip("states of these are booleans")
    got = pd.Series(folded(name, values_of(column), CODES, 3))
    pd.testing.assert_series_equal(got, want, check_names=False, check_index_type=False)


def test_adding_nothing_keeps_the_dtype():
    none = np.array([], dtype=np.int64)
    assert added(np.array([], dtype=np.float64), none, 0).dtype == np.float64


def test_means_come_in_the_dtype_of_pandas():
    values = np.array([1.0, np.nan])
    assert as_means(values, np.dtype("int64")).dtype == np.float64
    assert as_means(values, np.dtype("float32")).dtype == np.float32
    nullable = as_means(values, pd.Int64Dtype())
    assert nullable.dtype == "Float64"
    assert nullable[1] is pd.NA
    dates = as_means(values, np.dtype("M8[s]"))
    assert np.isnat(dates[1])
