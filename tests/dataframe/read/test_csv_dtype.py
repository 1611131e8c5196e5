from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbscale.dataframe.read.csv_dtype import coerce, dtype_of, join, state_of

STATES = ["empty", "null", "nat", "bool", "bool?", "int64", "uint64", "int+", "float64", "str"]
STATES += ["datetime64[us]", "given"]


@given(st.sampled_from(STATES), st.sampled_from(STATES))
def test_join_is_symmetric_and_widens(a, b):
    both = join(a, b)
    assert both == join(b, a)
    assert join(both, a) == both
    assert join(a, a) == a
    assert join(a, "empty") == a


def column(*texts):
    return pd.read_csv(
        io.StringIO("".join(f"{t}\n" for t in ("x", *texts))), skip_blank_lines=False
    )["x"]


@pytest.mark.parametrize(
    ("texts", "state"),
    [
        (["1", "2"], "int64"),
        (["1", ""], "float64"),
        (["", ""], "null"),
        (["True", "False"], "bool"),
        (["True", ""], "bool?"),
        (["x", ""], "str"),
        ([str(2**63)], "uint64"),
        ([str(2**64)], "int+"),
        ([], "empty"),
    ],
)
def test_state_is_what_pandas_found(texts, state):
    found = column(*texts)
    assert state_of(found) == state
    assert str(found.dtype) == dtype_of(state)


@pytest.mark.parametrize(
    ("texts", "state", "values"),
    [
        (["1", "2"], "float64", [1.0, 2.0]),
        (["", ""], "float64", [np.nan, np.nan]),
        (["", ""], "str", [np.nan, np.nan]),
        (["", ""], "bool?", [np.nan, np.nan]),
        (["True", "False"], "bool?", [True, False]),
        (["1", "2"], "int+", [1, 2]),
        (["1", "2"], "uint64", [1, 2]),
    ],
)
def test_a_narrower_piece_is_made_wider_by_its_values(texts, state, values):
    found = column(*texts)
    made = coerce(found, state_of(found), state)
    expected = pd.Series(values, dtype=dtype_of(state), name="x")
    pd.testing.assert_series_equal(made, expected)


@pytest.mark.parametrize(
    ("texts", "state"),
    [
        (["1", "2"], "str"),
        (["True"], "str"),
        ([str(2**53 + 1)], "float64"),
        (["-1"], "uint64"),
    ],
)
def test_where_the_text_matters_values_do_not_do(texts, state):
    found = column(*texts)
    assert coerce(found, state_of(found), state) is None


def test_missing_times_take_the_unit_and_zone_of_the_whole():
    missing = pd.Series(pd.to_datetime([None, None]), name="x")
    assert state_of(missing) == "nat"
    made = coerce(missing, "nat", "datetime64[us, UTC]")
    assert str(made.dtype) == "datetime64[us, UTC]"
    assert made.isna().all()
