"""Operands on different rows: matched by label as pandas does, however they are cut."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nbscale.dataframe as nd
from nbscale import config
from nbscale.testing.oracle import assert_same
from tests.dataframe.pieces import CUTS, pieces
from tests.dataframe.serial import compute


def both(run, *data, cuts=((1, 4), (0, 2, 2)), size=10**8):
    """Compare with pandas; ``size`` says from how many bytes on data is cut finer."""
    with config.set(partition_size=size):
        got = compute(run(*(pieces(d, c) for d, c in zip(data, cuts, strict=True))))
    assert_same(got, run(*data))


A = pd.Series([1, 2, 3, 4, 5, 6], index=[5, 3, 1, 0, 2, 9], name="a")
B = pd.Series([10.0, 20.0, 30.0, 40.0], index=[2, 5, 7, 3], name="b")


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("size", [100, 10**8])
def test_labels_meet_whatever_the_partitions(cut, size):
    both(lambda a, b: a + b, A, B, cuts=(cut, (1, 3)), size=size)
    both(lambda a, b: b + a, A, B, cuts=((2,), cut), size=size)


@pytest.mark.parametrize("cut", CUTS)
def test_equal_indexes_keep_their_order_and_their_repeats(cut):
    twice = A.set_axis([1, 1, 0, 0, 1, 5])
    both(lambda a, b: a + b, twice, twice * 2, cuts=(cut, (1, 3)))


@pytest.mark.parametrize("size", [100, 10**8])
def test_repeated_labels_meet_each_of_their_like(size):
    left = A.set_axis([1, 1, 0, 0, 1, 5])
    right = B.set_axis([1, 1, 7, 0])
    both(lambda a, b: a + b, left, right, size=size)


@pytest.mark.parametrize(
    "labels",
    [
        pd.Index(["x", None, "y", "x", "z", None], dtype="str"),
        pd.to_datetime(["2020-01-02", None, "2020-01-01", "2020-01-05", None, "2020-01-03"]),
        pd.DatetimeIndex([f"2020-03-{d}" for d in (31, 28, 29, 25, 30, 20)], tz="Europe/Berlin"),
        pd.Index([0.5, np.nan, -0.0, 2.0, 0.5, np.nan]),
        pd.CategoricalIndex(["x", "y", "z", "x", "y", "z"], ["z", "y", "x", "w"]),
        pd.MultiIndex.from_arrays([[1, 1, 2, 2, 1, 0], list("abacba")], names=["p", "q"]),
    ],
    ids=["text", "times", "zone", "floats", "categories", "levels"],
)
@pytest.mark.parametrize("size", [100, 10**8])
def test_labels_of_every_kind(labels, size):
    left = pd.Series(range(6), index=labels)
    both(lambda a, b: a + b, left, left.iloc[[4, 1, 3, 0]], size=size)
    both(lambda a, b: a + b, left, left[:0], cuts=((1, 4), ()), size=size)


@pytest.mark.parametrize("size", [400, 2000, 10_000, 10**8])
def test_frames_of_unlike_width_are_cut_alike(size):
    """Each side finds where both meet by itself, reading only the labels of the other."""
    rng = np.random.default_rng(0)
    wide = pd.DataFrame(rng.normal(size=(40, 9)), index=rng.permutation(50)[:40]).rename(
        columns=str
    )
    flags = pd.DataFrame({"0": rng.random(30) < 0.5}, index=rng.permutation(50)[:30])
    cuts = ((9, 10, 25), (8, 8, 20))
    both(lambda a, b: a + b, wide, flags, cuts=cuts, size=size)
    both(lambda a, b: b + a, wide, flags, cuts=cuts, size=size)
    both(lambda a, b: a.join(b, how="outer", suffixes=("", "r")), wide, flags, cuts=cuts, size=size)
    both(
        lambda a, b: a["0"].where(a["1"] > 0) + b["0"].astype("int8"),
        wide,
        flags,
        cuts=cuts,
        size=size,
    )


def test_a_side_without_rows():
    both(lambda a, b: a + b, A, B[:0], cuts=((1, 4), ()))
    both(lambda a, b: a + b, A[:0], B[:0], cuts=((), ()))


FRAME = pd.DataFrame({"x": range(6), "y": list("abcdef")}, index=A.index)
OTHER = pd.DataFrame(
    {
        "i": [1, 2],
        "f": [1.5, 2.5],
        "b": [True, False],
        "s": ["p", "q"],
        "t": pd.to_datetime(["2020-01-01", "2020-01-02"]),
        "c": pd.Categorical(["k", "l"]),
        "n": pd.array([1, None], dtype="Int64"),
    },
    index=[3, 9],
)


@pytest.mark.parametrize("name", list(OTHER))
@pytest.mark.parametrize("rows", [2, 0])
def test_assign_what_other_rows_have_if_any(name, rows):
    both(lambda a, b: a.assign(z=b[name]), FRAME, OTHER[:rows], cuts=((1, 4), (1,) if rows else ()))


@pytest.mark.parametrize("least", [3, 99])
def test_assign_what_a_filter_left_far_behind_the_sample(least):
    frame = pd.DataFrame({"x": np.arange(400) // 100, "y": np.arange(400)})
    both(lambda a: a.assign(z=a[a.x >= least].y), frame, cuts=((100, 250),))
    both(lambda a: a.y.where(a.x < 1, a[a.x >= least].y), frame, cuts=((100, 250),))


@pytest.mark.filterwarnings("ignore:Boolean Series key will be reindexed")
def test_fillna_and_mask_on_rows_in_another_order():
    holes = A.where(A > 3)
    both(lambda a, b: a.fillna(b), holes, A[::-1])
    both(lambda a, b: a[b > 2], FRAME, A[::-1])


def test_a_mask_that_lacks_labels_is_refused():
    lazy, mask = pieces(FRAME, (2,)), pieces(A[:3] > 1, (1,))
    with pytest.raises(pd.errors.IndexingError, match="lacks the label 0"):
        compute(lazy[mask])


def test_comparing_other_rows_is_refused():
    with pytest.raises(ValueError, match="Can only compare identically-labeled Series"):
        compute(pieces(A, (2,)) < pieces(B, (1,)))


def test_repeated_labels_cannot_be_looked_up():
    twice = B.set_axis([3, 3, 1, 0])
    with pytest.raises(ValueError, match="duplicate labels"):
        compute(pieces(FRAME, (2,)).assign(z=pieces(twice, (1,))))


@pytest.mark.parametrize("cut", CUTS)
def test_columns_side_by_side_in_the_order_of_their_labels(cut):
    def beside(a, b):
        return (pd if isinstance(a, pd.Series) else nd).concat([a, b], axis=1)

    both(beside, A, B, cuts=(cut, (1, 1, 3)))
    both(beside, B, A, cuts=((2,), cut))
    both(beside, A, A[::-1].rename("z"), cuts=(cut, (1,)))
