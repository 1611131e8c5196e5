"""Which keys are meant, and what is refused."""

from __future__ import annotations

import pandas as pd
import pytest

import nbscale.dataframe as nd
from nbscale.dataframe.grouping import DataFrameGroupBy, SeriesGroupBy
from tests.dataframe.serial import compute

FRAME = pd.DataFrame(
    {"k": list("abca"), "x": [1, 2, 3, 4], "t": list("pqrs")},
    index=pd.Index([9, 8, 7, 6], name="i"),
)


@pytest.fixture
def lazy():
    return nd.from_pandas(FRAME, npartitions=2)


def test_a_column_given_as_a_series_is_the_column(lazy):
    assert compute(lazy.groupby(lazy.k).count()).columns.tolist() == ["x", "t"]
    assert compute(lazy[["x", "k"]].groupby(lazy.k).count()).columns.tolist() == ["x"]
    derived = compute(lazy.groupby(lazy.k.str.upper()).count())
    assert derived.columns.tolist() == ["k", "x", "t"]


def test_names_of_columns_come_before_the_index(lazy):
    assert compute(lazy.groupby("i").x.sum()).index.name == "i"
    assert compute(lazy.groupby(level=0).x.sum()).tolist() == [4, 3, 2, 1]
    with pytest.raises(ValueError, match="name of the index"):
        lazy.groupby(level="nix")


def test_mistakes_are_told_when_they_are_made(lazy):
    with pytest.raises(KeyError, match="did you mean"):
        lazy.groupby("kk")
    with pytest.raises(KeyError, match="no column 'y'"):
        lazy.groupby("k")["y"]
    with pytest.raises(TypeError, match="by"):
        lazy.groupby()
    with pytest.raises(ValueError, match="No group keys"):
        lazy.groupby([])
    with pytest.raises(TypeError, match="as_index"):
        lazy.x.groupby(lazy.k, as_index=False)
    with pytest.raises(TypeError, match="str"):
        lazy.groupby("k").mean()


@pytest.mark.parametrize("by", [len, {9: "a"}, pd.Grouper(level=0), FRAME.k, FRAME.k.to_numpy()])
def test_keys_that_are_not_lazy_are_refused(lazy, by):
    with pytest.raises(NotImplementedError, match="lazy series"):
        lazy.groupby(by)


def test_functions_of_ones_own_are_refused_with_what_there_is(lazy):
    for refused in (
        lambda g: g.agg(lambda s: s.iloc[0]),
        lambda g: g.apply(len),
        lambda g: g.rank(),
    ):
        with pytest.raises(NotImplementedError, match="nunique"):
            refused(lazy.groupby("k"))
    with pytest.raises(NotImplementedError, match="get_group"):
        list(lazy.groupby("k"))
    with pytest.raises(AttributeError, match="no attribute"):
        lazy.groupby("k").nix  # noqa: B018


def test_columns_are_attributes(lazy):
    by = lazy.groupby("k")
    assert isinstance(by, DataFrameGroupBy)
    assert isinstance(by.x, SeriesGroupBy)
    assert isinstance(by[["x"]], DataFrameGroupBy)
    assert "x" in dir(by)
    assert "not computed" in repr(by)


def test_functions_that_have_a_name_mean_it(lazy):
    assert compute(lazy.groupby("k").x.agg(max)).tolist() == [4, 2, 3]


def test_get_group(lazy):
    pd.testing.assert_frame_equal(
        compute(lazy.groupby("k").get_group("a")), FRAME.groupby("k").get_group("a")
    )
    assert compute(lazy.groupby(["k", "x"]).get_group(("a", 4))).t.tolist() == ["s"]
    with pytest.raises(ValueError, match="each of 2 keys"):
        lazy.groupby(["k", "x"]).get_group("a")
