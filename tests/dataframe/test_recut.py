"""``repartition``: other cuts, the same rows in the same order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nbscale.dataframe as nd


@pytest.fixture
def data():
    return pd.DataFrame({"x": np.arange(100), "s": list("abcde") * 20}, index=np.arange(100) * 3)


@pytest.mark.parametrize("engine", ["inline", "threads"])
@pytest.mark.parametrize("n", [1, 3, 7, 20])
def test_by_number(data, n, engine):
    lazy = nd.from_pandas(data, npartitions=7)
    cut = lazy.repartition(npartitions=n)
    assert cut.npartitions == n
    pd.testing.assert_frame_equal(cut.compute(engine=engine), data)
    some = lazy[lazy.x % 3 == 0].repartition(npartitions=n)
    pd.testing.assert_frame_equal(some.compute(engine=engine), data[data.x % 3 == 0])


def test_by_divisions(data):
    cut = nd.from_pandas(data, npartitions=7).repartition(divisions=[0, 30, 33, 297])
    assert cut.divisions == (0, 30, 33, 297)
    lengths = cut.map_partitions(lambda part: pd.Series([len(part)])).compute().tolist()
    assert lengths == [10, 1, 89]
    pd.testing.assert_frame_equal(cut.compute(), data)


def test_by_size(data):
    cut = nd.from_pandas(data, npartitions=2).repartition(partition_size=800)
    assert len(cut.persist().partitions) > 1
    pd.testing.assert_frame_equal(cut.compute(), data)


def test_one_way_at_a_time(data):
    with pytest.raises((TypeError, ValueError)):
        nd.from_pandas(data).repartition(npartitions=2, divisions=[0, 297])
