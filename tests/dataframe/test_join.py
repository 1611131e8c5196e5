"""``merge`` and ``join``: rows, order, dtypes and index of pandas', small sides and large."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nbscale.dataframe as nd
from nbscale import config
from nbscale.testing.oracle import assert_same
from tests.dataframe.pieces import CUTS, pieces
from tests.dataframe.serial import compute

HOWS = ("inner", "left", "right", "outer")

LEFT = pd.DataFrame(
    {"k": [2, 1, 2, 5, 1, 7], "a": np.arange(6, dtype="uint8"), "s": list("abcdef")},
    index=[4, 4, 0, 1, 9, 2],
)
RIGHT = pd.DataFrame({"k": [1, 2, 2, 3], "b": [1000, 2000, 3000, 4000], "s": list("wxyz")})


def both(left, right, cuts=((1, 4), (0, 2, 2)), size=10**8, **options):
    """Compare with pandas, with the small side sent to the other or, if told so, exchanged."""
    broadcast = options.pop("broadcast", None)
    lazy = [pieces(d, c) for d, c in zip((left, right), cuts, strict=True)]
    with config.set(partition_size=size):
        got = compute(lazy[0].merge(lazy[1], broadcast=broadcast, **options))
    assert_same(got, left.merge(right, **options))


def with_keys(keys, dtype=None):
    """A left and a right frame that have some of the keys in common, some twice."""
    keys = pd.Series(keys, dtype=dtype)
    left = pd.DataFrame({"k": keys.take([0, 1, 2, 0, 3, 1]).array, "a": range(6)})
    right = pd.DataFrame({"k": keys.take([1, 4, 1, 0]).array, "b": range(4)})
    return left, right


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("broadcast", [None, False])
@pytest.mark.parametrize("cut", CUTS[1:])
def test_on_a_column_however_it_is_cut(how, broadcast, cut):
    both(LEFT, RIGHT, (cut, (0, 2, 2)), on="k", how=how, broadcast=broadcast)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("broadcast", [None, False])
@pytest.mark.parametrize(
    "keys",
    [
        ["x", None, "y", "z", "w"],
        [0.5, np.nan, -0.0, 2.0, np.inf],
        pd.to_datetime(["2020-01-02", None, "2020-01-01", "2020-01-05", "2020-01-03"]),
        pd.date_range("2020-10-25", periods=5, freq="h", tz="Europe/Berlin"),
        pd.Categorical(["x", None, "y", "z", "w"], ["z", "w", "y", "x"]),
        pd.array([1, None, 3, 4, 5], dtype="Int64"),
    ],
    ids=["text", "floats", "times", "zone", "categories", "nullable"],
)
def test_keys_of_every_kind_and_missing_ones(how, broadcast, keys):
    both(*with_keys(keys), on="k", how=how, broadcast=broadcast)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("broadcast", [None, False])
def test_all_keys_equal_and_none_in_common(how, broadcast):
    left, right = LEFT.assign(k=1), RIGHT.assign(k=1)
    both(left, right, on="k", how=how, broadcast=broadcast, size=200)
    both(left, right.assign(k=2), on="k", how=how, broadcast=broadcast, size=200)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("broadcast", [None, False])
def test_a_side_without_rows(how, broadcast):
    both(LEFT, RIGHT[:0], ((1, 4), ()), on="k", how=how, broadcast=broadcast)
    both(LEFT[:0], RIGHT, ((), (2,)), on="k", how=how, broadcast=broadcast)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("size", [100, 10**8])
def test_on_indexes_with_repeats(how, size):
    both(LEFT, RIGHT, how=how, left_index=True, right_index=True, size=size)


@pytest.mark.parametrize("size", [100, 10**8])
@pytest.mark.parametrize("labels", [[1, 1, 0, 2], [3, 1, 2, 0], ["b", "a", "a", None]], ids=str)
def test_outer_on_equal_indexes_is_sorted_and_meets_every_repeat(labels, size):
    """Adding two such frames would match them row by row; merging them does not."""
    left, right = RIGHT[["k"]].set_axis(labels), RIGHT[["b"]].set_axis(labels)
    both(left, right, ((1,), (2,)), how="outer", left_index=True, right_index=True, size=size)
    got = compute(pieces(left, (2,)).join(pieces(right, (1, 2)), how="outer"))
    assert_same(got, left.join(right, how="outer"))


@pytest.mark.parametrize("broadcast", [None, False])
def test_a_key_that_met_an_index_is_a_column_of_its_own_if_both_sides_have_one(broadcast):
    other = RIGHT.set_axis([2, 1, 7, 8])
    for how in ("inner", "left"):
        both(LEFT, other, how=how, left_on="k", right_index=True, broadcast=broadcast)
        marks = {"suffixes": ("", "_r"), "broadcast": broadcast}
        both(LEFT, other, how=how, left_on="k", right_index=True, **marks)
    for how in ("inner", "right"):
        both(other, LEFT, ((2,), (1, 4)), how=how, left_index=True, right_on="k")
    deep = RIGHT.set_axis(pd.MultiIndex.from_arrays([[2, 1, 7, 8], [0, 1, 5, 9]], names=["p", "q"]))
    both(LEFT, deep, left_on=["k", "a"], right_index=True, broadcast=broadcast)


@pytest.mark.parametrize(
    "labels",
    [
        pd.date_range("2020-01-01", periods=6),
        pd.MultiIndex.from_arrays([range(6), list("abcdef")], names=["p", "q"]),
    ],
    ids=["times", "levels"],
)
def test_an_empty_partition_keeps_the_kind_of_the_index(labels):
    left = LEFT.set_axis(labels).assign(k=pd.to_timedelta(LEFT.k, "D").array)
    right = RIGHT.assign(k=pd.to_timedelta(RIGHT.k, "D")).set_index("k")[["b"]]
    for how in ("inner", "left"):
        got = compute(pieces(left, (0, 3, 3)).join(pieces(right, (2,)), on="k", how=how))
        assert_same(got, left.join(right, on="k", how=how))


def test_integers_and_floats_meet_in_a_column_of_either_name():
    right = RIGHT.rename(columns={"k": "f"}).astype({"f": "float64"})
    for how in HOWS:
        both(LEFT, right, left_on="k", right_on="f", how=how, broadcast=False)
    both(LEFT, right.rename(columns={"f": "k"}), on="k", how="outer")


@pytest.mark.parametrize("broadcast", [None, False])
def test_dtypes_change_only_if_a_row_anywhere_lacks_its_side(broadcast):
    whole = RIGHT.assign(k=[1, 2, 5, 7])
    both(LEFT, whole, how="left", on="k", broadcast=broadcast)
    both(LEFT, whole[:3], ((1, 4), (2,)), how="left", on="k", broadcast=broadcast)
    both(LEFT, whole, how="left", on="k", indicator=True, broadcast=broadcast)


def test_every_row_with_every_row():
    both(LEFT, RIGHT, how="cross")
    both(LEFT, RIGHT, how="cross", broadcast=False)


def test_some_columns_of_a_merge():
    lazy = pieces(LEFT, (2,)).merge(pieces(RIGHT, (1,)), on="k")
    assert_same(compute(lazy[["s_y", "k"]]), LEFT.merge(RIGHT, on="k")[["s_y", "k"]])
    assert_same(compute(lazy.b), LEFT.merge(RIGHT, on="k").b)


def test_pandas_objects_and_named_series_take_part():
    assert_same(compute(nd.merge(LEFT, RIGHT.b, left_on="a", right_index=True)),
                LEFT.merge(RIGHT.b, left_on="a", right_index=True))  # fmt: skip
    with pytest.raises(ValueError, match="Series without a name"):
        nd.merge(LEFT, RIGHT.b.rename(None), left_on="a", right_index=True)
    with pytest.raises(TypeError, match="right side of a merge"):
        nd.merge(LEFT, 5, on="k")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"on": "none"}, KeyError),
        ({"on": "k", "left_on": "a"}, pd.errors.MergeError),
        ({"on": "k", "how": "sideways"}, ValueError),
        ({"left_on": "s", "right_on": "b"}, ValueError),
        ({"on": "k", "suffixes": (None, None)}, ValueError),
        ({"on": "k", "sort": True}, NotImplementedError),
        ({"left_on": "k", "right_index": True, "how": "outer"}, NotImplementedError),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused_at_once(options, error):
    with pytest.raises(error):
        pieces(LEFT, (2,)).merge(pieces(RIGHT, (1,)), **options)
