from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nbscale.dataframe as nd
from nbscale import config
from nbscale.collection import wrap
from nbscale.dataframe.source import FromPandas, Snapshot, numbered


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame({"x": [1, 2, 3]}),
        pd.Series([1.5, None], name="s"),
        pd.Index(["b", "a"]),
        pd.DataFrame({"x": []}),
        pd.DataFrame(index=[1, 2]),
        pd.DataFrame({"x": [1]}, index=pd.MultiIndex.from_tuples([(1, 2)])),
    ],
    ids=repr,
)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_round_trip(data, n):
    got = nd.from_pandas(data, npartitions=n).compute()
    assert type(got) is type(data)
    assert got.equals(data)


def test_later_changes_do_not_show():
    data = pd.DataFrame({"x": [1, 2, 3]})
    lazy = nd.from_pandas(data)
    data.loc[0, "x"] = 99
    assert lazy.compute().x.tolist() == [1, 2, 3]


def test_partitions_follow_the_size_setting():
    data = pd.DataFrame({"x": np.arange(1000)})
    with config.set(partition_size=800):
        assert nd.from_pandas(data).npartitions > 5
    assert nd.from_pandas(data).npartitions == 1
    assert nd.from_pandas(data, chunksize=300).npartitions == 4
    assert nd.from_pandas(data.iloc[:2], npartitions=9).npartitions == 2


def test_sort_sorts_by_index():
    data = pd.DataFrame({"x": [1, 2, 3]}, index=[2, 0, 1])
    pd.testing.assert_frame_equal(nd.from_pandas(data, sort=True).compute(), data.sort_index())
    pd.testing.assert_frame_equal(nd.from_pandas(data).compute(), data)


@pytest.mark.parametrize(
    ("kwargs", "error", "text"),
    [
        ({"npartitions": 0}, ValueError, "at least 1"),
        ({"npartitions": 1, "chunksize": 1}, ValueError, "not both"),
    ],
)
def test_bad_arguments(kwargs, error, text):
    with pytest.raises(error, match=text):
        nd.from_pandas(pd.DataFrame({"x": [1]}), **kwargs)


def test_only_pandas_objects():
    with pytest.raises(TypeError, match="not list"):
        nd.from_pandas([1, 2])


@pytest.fixture
def parts():
    """Three parts that are labelled from 0 each, as a file without an index is read."""
    data = pd.concat([pd.DataFrame({"x": np.arange(n) + 10 * n}) for n in (3, 0, 4)])
    return numbered(FromPandas(Snapshot(data), (0, 3, 3, 7)))


def test_rows_are_numbered_over_all_partitions(parts):
    got = wrap(parts).compute()
    assert got.index.tolist() == list(range(7))


def test_numbers_survive_a_filter(parts):
    lazy = wrap(parts)
    got = lazy[lazy.x % 2 == 0].compute()
    assert got.index.tolist() == [0, 2, 3, 5]
    assert lazy.x.index.compute().tolist() == list(range(7))


def test_nobody_counts_when_nobody_looks(parts):
    plan = wrap(parts).x.sum().explain()
    assert "NumberRows" not in plan.split("after prune:")[1]
