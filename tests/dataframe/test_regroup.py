"""Groups too many for a tree: exchanged, they give what pandas says, in several partitions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nbscale.dataframe as nd
from nbscale.dataframe import regroup
from nbscale.dataframe.regroup import ByHash, ByTag, Measure, is_small, parts_of, tag_bounds
from nbscale.testing.oracle import assert_same
from tests.dataframe.serial import compute, run_nodes

ROWS = 1500


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "k": rng.integers(0, 500, ROWS),
            "s": pd.Series([f"s{i:04d}" for i in rng.integers(0, 700, ROWS)], dtype="str"),
            "x": rng.normal(size=ROWS),
            "d": rng.integers(0, 40, ROWS),
        }
    )
    frame.loc[::17, "s"] = None
    frame.loc[::5, "x"] = np.nan
    return frame


@pytest.fixture
def tiny(monkeypatch):
    """A partition is as good as nothing, so that groups of a thousand rows are many."""
    monkeypatch.setattr(regroup, "_LEAST", 512)
    monkeypatch.setattr(regroup, "limit", lambda stats: 2000.0)


MANY = {
    "sorted": lambda df: df.groupby("k").x.sum(),
    "text": lambda df: df.groupby("s").x.mean(),
    "as seen": lambda df: df.groupby("s", sort=False).x.last(),
    "missing key": lambda df: df.groupby("s", dropna=False).d.max(),
    "missing key as seen": lambda df: df.groupby("s", sort=False, dropna=False).d.first(),
    "two keys": lambda df: df.groupby(["s", "d"]).x.agg(["max", "count", "std"]),
    "flat": lambda df: df.groupby(["s", "d"], as_index=False).x.max(),
    "distinct": lambda df: df.groupby("s").d.nunique(),
    "float key": lambda df: df.groupby("x").d.sum(),
    "counts": lambda df: df.s.value_counts(),
    "counts up": lambda df: df.s.value_counts(ascending=True, dropna=False),
    "counts as seen": lambda df: df.s.value_counts(sort=False, normalize=True),
    "counts of rows": lambda df: df.value_counts(["s", "d"]),
    "mode": lambda df: df.x.mode(),
    "unique": lambda df: df.s.unique(),
}


@pytest.mark.parametrize("name", sorted(MANY))
@pytest.mark.parametrize("partitions", [2, 9])
def test_many_groups(data, tiny, name, partitions):
    run = MANY[name]
    made = run(nd.from_pandas(data, npartitions=partitions))
    (values,) = run_nodes(made._node)
    assert len(values) > 1
    assert_same(compute(made), run(data), "moment", None)


@pytest.mark.parametrize("name", ["nunique", "size"])
def test_many_distinct_values_of_one_series(data, tiny, name):
    lazy = nd.from_pandas(data, npartitions=6)
    assert compute(lazy.s.nunique()) == data.s.nunique()
    assert compute(lazy.x.nunique(dropna=False)) == data.x.nunique(dropna=False)


def test_few_groups_come_in_one_partition(data):
    made = nd.from_pandas(data, npartitions=9).groupby("d").x.sum()
    (values,) = run_nodes(made._node)
    assert len(values) == 1


def measure(nbytes, source):
    return Measure(1, nbytes, 0, source, 1)


def test_the_choice_reads_bytes_alone():
    assert is_small([measure(100, 1e6), measure(900_000, 1e6)])
    assert not is_small([measure(600_000, 1e6), measure(600_000, 1e6)])
    assert is_small([measure(regroup._LEAST, 10.0)])
    assert parts_of([measure(10_000_000, 1e6)]) == 20
    assert parts_of([]) == 1


def test_tag_bounds_hold_half_a_partition_each():
    way = tag_bounds([measure(400_000, 1e6), measure(100_000, 1e6), measure(300_000, 1e6)])
    assert way == ByTag((0, 2))


def test_every_group_goes_to_one_partition(data):
    lazy = nd.from_pandas(data, npartitions=4)
    states = lazy.groupby("s").x.sum()._node.states
    (parts,) = run_nodes(states)
    way = ByHash(3)
    seen = {}
    for groups in parts:
        for key, where in zip(groups.keys[0], way.destinations(groups), strict=True):
            assert seen.setdefault(key, where) == where
    assert set(seen.values()) == {0, 1, 2}
