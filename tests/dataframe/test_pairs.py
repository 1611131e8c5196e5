"""Distinct counts of few groups with many values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nbscale.dataframe as nd
from nbscale.dataframe import regroup
from nbscale.dataframe.pairs import MovePairs, WithCounts
from nbscale.expr.node import walk
from tests.dataframe.serial import compute

ROWS = 4000


@pytest.fixture
def frames(monkeypatch):
    monkeypatch.setattr(regroup, "_LEAST", 3000)
    monkeypatch.setattr("nbscale.dataframe.grouped.limit", lambda stats: 3000.0)
    monkeypatch.setattr("nbscale.dataframe.regroup.limit", lambda stats: 3000.0)
    rng = np.random.default_rng(0)
    data = pd.DataFrame(
        {
            "k": rng.choice(["a", "b", "c"], ROWS),
            "u": pd.Series([f"u{i}" for i in rng.integers(0, 3000, ROWS)], dtype="str"),
            "v": rng.integers(0, 2000, ROWS),
        }
    )
    data.loc[::13, "u"] = None
    return data, nd.from_pandas(data, npartitions=6)


RUNS = [
    lambda df: df.groupby("k").u.nunique(),
    lambda df: df.groupby("k").u.nunique(dropna=False),
    lambda df: df.groupby("k", sort=False).agg(
        {"u": ["nunique", "count"], "v": ["nunique", "max"]}
    ),
]


@pytest.mark.parametrize("run", RUNS)
def test_equal_to_pandas(frames, run):
    data, lazy = frames
    got, want = compute(run(lazy)), run(data)
    (pd.testing.assert_frame_equal if want.ndim == 2 else pd.testing.assert_series_equal)(got, want)


def test_pairs_are_exchanged_and_groups_are_not(frames):
    _, lazy = frames
    node = lazy.groupby("k").u.nunique()._node
    stats = [regroup.Measure(3, 90_000, 89_900, 1000.0, 4000)] * 6
    built = node.build((stats,))
    kinds = [type(n) for n in walk((built,))]
    assert kinds.count(MovePairs) == 1
    assert kinds.count(WithCounts) == 1
