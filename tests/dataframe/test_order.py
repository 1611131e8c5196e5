"""The order of rows and their index: ``sort_values``, ``sort_index``, ``set_index``, largest rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nbscale import config
from nbscale.testing.oracle import assert_same
from tests.dataframe.pieces import CUTS, pieces
from tests.dataframe.serial import compute

DATA = pd.DataFrame(
    {
        "n": [3, 1, 2, 3, 1, 2],
        "f": [0.5, np.nan, -1.0, 0.5, np.inf, np.nan],
        "s": pd.Series(["b", None, "a", "b", "c", None], dtype="str"),
        "t": pd.to_datetime(["2020-01-02", None, "2020-01-01", "2020-01-02", None, "2020-01-03"]),
        "z": pd.date_range("2020-10-25", periods=3, freq="h", tz="Europe/Berlin").repeat(2),
        "c": pd.Categorical(["x", "y", None, "x", "z", "y"], ["z", "y", "x", "w"]),
        "i": pd.array([3, None, 1, 3, 2, None], dtype="Int64"),
        "b": [True, False, True, False, True, False],
        "o": pd.Series(["q", None, "p", "q", "r", "p"], dtype=object),
    },
    index=[7, 3, 3, 0, 9, 3],
)


def both(run, data=DATA, cut=(0, 1, 4), size=10**8):
    """Compare with pandas; a small ``size`` has rows exchanged."""
    with config.set(partition_size=size):
        got = compute(run(pieces(data, cut)))
    assert_same(got, run(data))


@pytest.mark.parametrize("name", list(DATA))
@pytest.mark.parametrize("size", [100, 10**8])
@pytest.mark.parametrize("missing", ["first", "last"])
def test_sorted_by_columns_of_every_kind(name, size, missing):
    """Ties keep their order, in both directions."""
    for up in (True, False):
        options = {"ascending": up, "na_position": missing, "kind": "stable"}
        both(lambda df, o=options: df.sort_values(name, **o), size=size)
        if name != "o" and size == 100:  # pandas makes text of sorted objects that are all text
            both(lambda df, o=options: df[name].sort_values(**o), size=size)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("size", [100, 10**8])
def test_sorted_by_several_however_it_is_cut(cut, size):
    both(lambda df: df.sort_values(["n", "f"], ascending=[False, True]), cut=cut, size=size)
    both(lambda df: df.sort_values(["s", "c"], na_position="first"), cut=cut, size=size)
    both(lambda df: df.sort_values(["b", "n"], ignore_index=True), cut=cut, size=size)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("size", [20, 10**8])
def test_all_keys_equal(cut, size):
    both(lambda df: df.sort_values("n", kind="stable"), DATA.assign(n=1), cut, size)
    both(lambda df: df.sort_values("f", kind="stable"), DATA.assign(f=np.nan), cut, size)


@pytest.mark.parametrize("size", [20, 10**8])
def test_nothing_to_sort(size):
    both(lambda df: df.sort_values("n"), DATA[:0], (), size)
    both(lambda df: df.sort_values("n", ascending=False), DATA[:1], (0, 1), size)
    both(lambda df: df[df.n > 5].sort_values(["n", "s"]), size=size)


@pytest.mark.parametrize("size", [100, 10**8])
def test_sorted_by_labels(size):
    for up in (True, False):
        both(lambda df, u=up: df.sort_index(ascending=u, kind="stable"), size=size)
        both(lambda df, u=up: df.n.sort_index(ascending=u, kind="stable"), size=size)
    deep = DATA.set_index(["n", "s"])
    both(lambda df: df.sort_index(kind="stable"), deep, size=size)
    both(lambda df: df.sort_index(level="s", na_position="first"), deep, size=size)
    both(lambda df: df.sort_index(ascending=[False, True]), deep, size=size)


def test_a_level_is_sorted_by_like_a_column():
    both(lambda df: df.sort_values(["s", "n"]), DATA.set_index("n"))


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", ["n", "f", "s", "t", "z", "c", "i", "b"])
def test_a_column_as_index(cut, name):
    both(lambda df: df.set_index(name), cut=cut)
    both(lambda df: df.set_index(name, drop=False), cut=cut)


def test_several_columns_and_values_as_index():
    both(lambda df: df.set_index(["s", "n"]))
    both(lambda df: df.set_index("n", append=True))
    both(lambda df: df.set_index(df.n * 2))
    both(lambda df: df.set_index(["b", df.n * 2]))
    both(lambda df: df.set_index("s").reset_index())
    both(lambda df: df.set_index(["s", "n"]).reset_index())


def test_values_on_other_rows_are_taken_by_position():
    both(lambda df: df.set_index(df.sort_values("n", kind="stable").n))
    with pytest.raises(ValueError, match="Length of values"):
        compute(pieces(DATA, (2,)).set_index(pieces(DATA[:4].n, (1,))))


@pytest.mark.parametrize("keep", ["first", "last", "all"])
@pytest.mark.parametrize("cut", CUTS)
def test_the_largest_and_smallest(keep, cut):
    for k in (2, 50):
        both(lambda df, k=k: df.nlargest(k, "n", keep=keep), cut=cut)
        both(lambda df, k=k: df.nsmallest(k, ["n", "i"], keep=keep), cut=cut)
        both(lambda df, k=k: df.f.nlargest(k, keep=keep), cut=cut)
        both(lambda df, k=k: df.n.nsmallest(k, keep=keep), cut=cut)


@pytest.mark.parametrize(
    ("run", "error"),
    [
        (lambda df: df.sort_values("none"), KeyError),
        (lambda df: df.nlargest(2, "none"), KeyError),
        (lambda df: df.nlargest(2, "n", keep="any"), ValueError),
        (lambda df: df.sort_values("n", na_position="middle"), ValueError),
        (lambda df: df.sort_values(["n", "f"], ascending=[True]), ValueError),
        (lambda df: df.sort_values("n", key=abs), NotImplementedError),
        (lambda df: df.sort_values("n", inplace=True), NotImplementedError),
        (lambda df: df.repartition(), ValueError),
    ],
)
def test_refused_at_once(run, error):
    with pytest.raises(error):
        run(pieces(DATA, (2,)))
