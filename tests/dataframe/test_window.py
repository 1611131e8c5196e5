"""Running operations: what a partition needs of those before it, or behind it, is there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nbscale.dataframe import shifted
from nbscale.testing.oracle import assert_same
from tests.dataframe.pieces import CUTS, pieces
from tests.dataframe.serial import compute

DATA = pd.DataFrame(
    {
        "n": [3, -1, 2, 0, 1, 2],
        "f": [0.5, np.nan, -1.0, 0.25, np.nan, 2.0],
        "small": np.array([100, 100, 100, 1, 2, 3], dtype="int8"),
        "b": [True, False, True, True, False, True],
        "i": pd.array([3, None, 1, 3, 2, None], dtype="Int64"),
        "nb": pd.array([None, True, None, True, False, True], dtype="boolean"),
        "d": pd.to_timedelta([1, None, 3, 4, None, 6], "h"),
    },
    index=[7, 3, 3, 0, 9, 3],
)
MORE = DATA.assign(
    s=pd.Series(["b", None, "a", None, None, "c"], dtype="str").array,
    t=pd.to_datetime(["2020-01-02", None, "2020-01-01", None, None, "2020-01-03"]),
    z=pd.date_range("2020-10-25", periods=6, freq="h", tz="Europe/Berlin"),
    c=pd.Categorical(["x", None, None, "x", "z", None], ["z", "y", "x"]),
    o=pd.Series([1, "a", None, (2,), None, 3], dtype=object).array,
)


def both(run, data=MORE, cut=(0, 1, 4), rule="exact"):
    """Compare with pandas."""
    assert_same(compute(run(pieces(data, cut))), run(data), rule, 10.0)


@pytest.mark.parametrize("skipna", [True, False])
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", list(DATA))
def test_running_totals_of_every_kind(name, cut, skipna):
    methods = ["cumsum", "cummax", "cummin"] + ["cumprod"] * (name != "d")
    for method in methods:
        both(lambda df, m=method: getattr(df[name], m)(skipna=skipna), DATA, cut, "sum")


def test_running_totals_of_frames():
    both(lambda df: df.cumsum(), DATA, rule="sum")
    both(lambda df: df[["n", "f"]].cummax(axis=1), DATA)
    both(lambda df: df[["s", "t", "c"]].assign(c=1).cummin())


def test_nothing_but_missing_values_before():
    holes = pd.DataFrame({"f": [np.nan] * 4 + [1.0, 2.0], "i": pd.array([None] * 5 + [1], "Int64")})
    for method in ("cumsum", "cumprod", "cummax", "cummin", "ffill", "bfill"):
        both(lambda df, m=method: getattr(df, m)(), holes, (1, 3, 5))


def test_running_sums_wrap_around_as_they_do_in_one_piece():
    both(lambda df: df.cumsum(), DATA[["small"]] * 1, (1, 2, 3))
    both(lambda df: df.u.cumsum(), pd.DataFrame({"u": np.array([2**64 - 1, 1, 5], "uint64")}), (1,))


@pytest.mark.parametrize("method", ["cumsum", "cumprod"])
def test_text_is_not_added_up(method):
    with pytest.raises(TypeError, match="cannot add up"):
        getattr(pieces(MORE[["s"]], (2,)), method)()


@pytest.mark.parametrize("periods", [1, -3, 6, -50])
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("far", [False, True])
def test_shifted_near_and_far(periods, cut, far, monkeypatch):
    if far:
        monkeypatch.setattr(shifted, "_MOST_NEAR", 0)
    both(lambda df: df.shift(periods), cut=cut)
    both(lambda df: df.n.shift(periods, fill_value=9), cut=cut)
    both(lambda df: df[["n", "f", "b", "i", "d"]].diff(periods), cut=cut)


def test_shifted_labels_and_columns():
    both(lambda df: df.set_index("z").n.shift(2, freq="h"))
    both(lambda df: df[["n", "f"]].shift(axis=1))
    both(lambda df: df[["n", "f"]].diff(axis=1))
    both(lambda df: df.f.pct_change())
    both(lambda df: df.shift(2).s)
    both(lambda df: df.s.shift(2, fill_value="?"))
    both(lambda df: df.shift(0))


@pytest.mark.parametrize("limit", [None, 1, 3])
@pytest.mark.parametrize("cut", CUTS)
def test_filled_from_before_and_behind(limit, cut):
    both(lambda df: df.ffill(limit=limit), cut=cut)
    both(lambda df: df.bfill(limit=limit), cut=cut)
    both(lambda df: df.t.ffill(limit=limit), cut=cut)


def test_without_rows():
    for method in ("cumsum", "cummax", "shift", "diff"):
        both(lambda df, m=method: getattr(df, m)(), DATA[:0], ())
        both(lambda df, m=method: getattr(df[df.n > 9], m)(), DATA)
    both(lambda df: df.ffill(), MORE[:0], ())


def test_refused_at_once():
    lazy = pieces(MORE, (2,))
    for wrong in (1.5, "1", True):
        with pytest.raises(TypeError, match="whole number of rows"):
            lazy.shift(wrong)
    with pytest.raises(ValueError, match="Limit must be"):
        lazy.ffill(limit=0)
