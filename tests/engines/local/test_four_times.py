"""Work on four times as much data as the memory limit: right answers, nobody killed, inside the limit."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest

import nbscale.dataframe as nd
from nbscale import config
from nbscale.session import current
from nbscale.testing.memory import peak_of, usage
from tests.engines.local.pooled import Pooled

# Imported before there is a pool, which would be renewed for it.
linear = pytest.importorskip("sklearn.linear_model")

# A minute on a quiet machine.
pytestmark = pytest.mark.timeout(900)

LIMIT = 256_000_000
FILES = 64
ROWS = 62_500
WIDE = 30
"""Columns of numbers beside two keys: a file is 16 MB in memory."""

MOST = 1.15


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A billion bytes in files."""
    folder = tmp_path_factory.mktemp("four")
    for i in range(FILES):
        chance = np.random.default_rng(i)
        columns = {"key": chance.permutation(ROWS) * FILES + i}
        columns["group"] = chance.integers(0, FILES * ROWS // 2, ROWS)
        for k in range(WIDE):
            columns[f"x{k}"] = chance.integers(0, 1000, ROWS).astype(float)
        frame = pd.DataFrame(columns)
        frame.to_parquet(folder / f"{i:03}.parquet", index=False, compression=None)
    return folder


@pytest.fixture
def frame(folder, default_settings):
    with config.set(memory_limit=LIMIT, partition_size="16 MB", n_workers=2, engine="local"):
        yield nd.read_parquet(str(folder / "*.parquet"))


@pytest.fixture
def inside(monkeypatch):
    """A pool of its own; in the end: what was the most memory it took."""
    engine = Pooled()
    monkeypatch.setattr(current(), "engine", lambda name: engine)
    engine.wait_ready()
    pids = engine.workers
    base = usage(engine.pool.pids())
    with peak_of(lambda: usage(engine.pool.pids(), [os.getpid()])) as most:
        yield
    assert engine.workers == pids  # nobody was killed
    grown = most[0].total - base.total
    assert grown <= MOST * LIMIT, f"{grown / LIMIT:.2f} of the limit: {most[0]}, before {base}"
    engine.close()


def columns(frame):
    return frame[[f"x{k}" for k in range(WIDE)]]


def ends(part):
    """What is needed of a sorted partition to see that the whole is."""
    key = part.key
    return pd.DataFrame(
        {
            "rows": [len(part)],
            "first": [key.min()],
            "last": [key.max()],
            "sorted": [key.is_monotonic_increasing],
            "total": [part.x0.sum() + part[f"x{WIDE - 1}"].sum()],
        }
    )


def total(folder, *names):
    return sum(
        pd.read_parquet(path, columns=[*names]).sum().sum() for path in folder.glob("*.parquet")
    )


def test_sort(inside, frame, folder):
    found = frame.sort_values("key").map_partitions(ends).compute()
    assert found["sorted"].all()
    assert (found["first"].values[1:] > found["last"].values[:-1]).all()
    assert found["rows"].sum() == FILES * ROWS
    assert (found["first"].min(), found["last"].max()) == (0, FILES * ROWS - 1)
    assert found["total"].sum() == total(folder, "x0", f"x{WIDE - 1}")


def test_group_by_keys_of_which_there_are_many(inside, frame, folder):
    sums = frame.groupby("group").sum()
    found = sums.agg(["sum"]).compute().loc["sum"]
    keys = pd.concat(pd.read_parquet(path, columns=["group"]) for path in folder.glob("*.parquet"))
    assert len(sums) == keys.group.nunique()
    assert found.x7 == total(folder, "x7")


def test_join_of_two_large_sides(inside, frame, folder):
    half = WIDE // 2
    left = frame[["key", *(f"x{k}" for k in range(half))]]
    right = frame[["key", *(f"x{k}" for k in range(half, WIDE))]]
    found = left.merge(right, on="key").agg(["sum", "count"]).compute()
    assert (found.loc["count"] == FILES * ROWS).all()
    assert found.loc["sum"].x0 == total(folder, "x0")
    assert found.loc["sum"][f"x{half}"] == total(folder, f"x{half}")


def test_a_model_that_learns_part_by_part(inside, frame):
    model = linear.SGDRegressor(random_state=0)
    rows = 0
    for i in range(FILES):
        part = frame.partitions[i].compute()
        model.partial_fit(part[["x0", "x1"]] / 1000, part["x0"] / 1000)
        rows += len(part)
    assert rows == FILES * ROWS
    assert abs(model.coef_ - [1, 0]).max() < 0.05
