from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nbscale.dataframe as nd
from tests.counting import SEEN, look


@pytest.fixture
def data():
    return pd.DataFrame({"x": np.arange(40), "y": np.arange(40) % 7}, index=np.arange(40) * 2)


@pytest.fixture
def counted(data):
    """The frame in ten parts, and the first values of the parts that were looked at."""
    lazy = nd.from_pandas(data, npartitions=10).map_partitions(look)
    _ = lazy.columns  # the schema is asked for once, on the sample
    SEEN.clear()
    return lazy, SEEN


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 39, 40, 100])
def test_head_and_tail_equal_pandas(data, n):
    lazy = nd.from_pandas(data, npartitions=10)
    pd.testing.assert_frame_equal(lazy.head(n), data.head(n))
    pd.testing.assert_frame_equal(lazy.tail(n), data.tail(n))


def test_head_after_a_filter_looks_until_it_has_enough(data):
    lazy = nd.from_pandas(data, npartitions=10)
    pd.testing.assert_frame_equal(lazy[lazy.y == 3].head(4), data[data.y == 3].head(4))
    pd.testing.assert_frame_equal(lazy[lazy.y == 99].head(4), data[data.y == 99].head(4))
    pd.testing.assert_frame_equal(lazy[lazy.y == 3].tail(4), data[data.y == 3].tail(4))


def test_head_looks_at_one_partition_when_that_is_enough(counted):
    lazy, seen = counted
    lazy.head(3)
    assert seen == [0]


def test_head_looks_at_no_partition_twice(counted):
    lazy, seen = counted
    lazy.head(10)
    assert seen == [0, 4, 8]


def test_tail_looks_from_the_end(counted):
    lazy, seen = counted
    lazy.tail(3)
    assert seen == [36]


def test_head_can_be_limited_and_lazy(data):
    lazy = nd.from_pandas(data, npartitions=10)
    assert len(lazy.head(10, npartitions=1)) == 4
    head = lazy.head(3, compute=False)
    assert isinstance(head, nd.DataFrame)
    assert int(head.x.sum().compute()) == 3
    with pytest.raises(ValueError, match="must not be negative"):
        lazy.head(-1)


def test_len_counts_rows(data):
    lazy = nd.from_pandas(data, npartitions=10)
    assert len(lazy) == 40
    assert len(lazy[lazy.x > 9]) == 30
    assert len(lazy.x[lazy.x > 9]) == 30
    assert len(lazy.index) == 40


def test_partitions_are_chosen_by_position(data):
    lazy = nd.from_pandas(data, npartitions=10)
    pd.testing.assert_frame_equal(lazy.partitions[1:3].compute(), data.iloc[4:12])
    pd.testing.assert_frame_equal(lazy.partitions[-1].compute(), data.iloc[36:])
    pd.testing.assert_frame_equal(
        lazy.partitions[[3, 0]].compute(), pd.concat([data.iloc[12:16], data.iloc[:4]])
    )
    assert lazy.get_partition(2).npartitions == 1
    assert len(lazy.partitions) == 10
    with pytest.raises(IndexError):
        lazy.partitions[10]


def test_divisions_are_known_for_a_sorted_index(data):
    lazy = nd.from_pandas(data, npartitions=4)
    assert lazy.divisions == (0, 20, 40, 60, 78)
    assert lazy.known_divisions
    assert lazy.partitions[1:3].divisions == (20, 40, 60)
    mixed = nd.from_pandas(data.sample(frac=1, random_state=0), npartitions=4)
    assert mixed.divisions == (None,) * 5
    assert not mixed.known_divisions


def test_rows_with_equal_labels_of_a_sorted_index_stay_together():
    data = pd.DataFrame({"x": range(12)}, index=[0] * 5 + [1] * 5 + [2] * 2)
    lazy = nd.from_pandas(data, npartitions=4)
    assert lazy.divisions == (0, 1, 2)
    pd.testing.assert_frame_equal(lazy.compute(), data)
