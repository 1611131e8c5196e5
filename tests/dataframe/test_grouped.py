"""From rows to groups: what is read, what is dropped, what is decided."""

from __future__ import annotations

import numpy as np
import pandas as pd

import nbscale.dataframe as nd
from nbscale.dataframe.grouped import GroupBy, GroupStates, GroupTable, key_labels
from nbscale.dataframe.groups import grouped
from nbscale.expr.node import walk
from nbscale.plan.rewrite import rewrite
from nbscale.plan.rules import RULES
from tests.dataframe.serial import compute, run_nodes

FRAME = pd.DataFrame({"k": list("abca") * 5, "x": range(20), "y": 1.5, "z": "unread"})


def planned(collection):
    (root,), _ = rewrite([collection._node], RULES, {})
    return list(walk((root,)))


def states_in(nodes):
    (found,) = [n for n in nodes if isinstance(n, GroupStates)]
    return found


def test_only_keys_and_aggregated_columns_are_read():
    lazy = nd.from_pandas(FRAME, npartitions=3)
    states = states_in(planned(lazy.groupby("k").x.mean()))
    assert states.subject.columns == ("k", "x")


def test_aggregates_nobody_reads_are_not_made():
    lazy = nd.from_pandas(FRAME, npartitions=3)
    one = lazy.groupby("k")[["x", "y"]].sum()["y"]
    states = states_in(planned(one))
    assert [want.column for want in states.wanted] == ["y"]
    assert states.subject.columns == ("k", "y")
    pd.testing.assert_series_equal(compute(one), FRAME.groupby("k")["y"].sum())


def test_one_partition_asks_nothing():
    lazy = nd.from_pandas(FRAME, npartitions=1)
    assert isinstance(lazy.groupby("k").x.sum()._node, GroupTable)
    lazy = nd.from_pandas(FRAME, npartitions=2)
    assert isinstance(lazy.groupby("k").x.sum()._node, GroupBy)


def test_partitions_are_grouped_once(monkeypatch):
    calls = []

    def noted(part, *args, **kwargs):
        calls.append(part)
        return grouped(part, *args, **kwargs)

    made = nd.from_pandas(FRAME, npartitions=4).groupby("k").x.sum()
    monkeypatch.setattr("nbscale.dataframe.grouped.grouped", noted)
    run_nodes(made._node)
    # The first of five is the sample's, of the narrowed node.
    assert calls[-4:] == [0, 1, 2, 3]
    assert len(calls) <= 5


def test_labels_are_those_of_pandas():
    groups = grouped(0, FRAME, [FRAME["k"].array, FRAME["x"].to_numpy() % 2], [], dropna=True)
    labels, rows = key_labels(groups, ("k", "odd"), sort=True, observed=True)
    want = FRAME.groupby(["k", FRAME.x % 2]).size().index.set_names(["k", "odd"])
    pd.testing.assert_index_equal(labels, want)
    assert sorted(rows.tolist()) == list(range(len(groups)))


def test_categories_that_are_not_there_have_no_group():
    category = pd.Categorical(["b", "a"], categories=["a", "b", "c"])
    groups = grouped(0, pd.DataFrame({"x": [1, 2]}), [category], [], dropna=True)
    labels, rows = key_labels(groups, ("c",), sort=True, observed=False)
    assert labels.tolist() == ["a", "b", "c"]
    assert rows.tolist() == [1, 0, -1]
    assert np.array_equal(groups.tags, [0, 1])
