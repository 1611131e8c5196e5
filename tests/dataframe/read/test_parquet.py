"""``read_parquet`` as a user calls it."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

import nbscale.dataframe as nd
from nbscale.expr.node import walk
from nbscale.session import current


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "x": np.arange(1000),
            "y": rng.normal(size=1000),
            "s": rng.choice(["a", "b"], 1000),
            "when": pd.date_range("2020", periods=1000, freq="h"),
            "n": pd.array(rng.integers(0, 3, 1000), dtype="Int64"),
        }
    )


@pytest.fixture
def folder(tmp_path, data):
    for i in range(4):
        part = data.iloc[i * 250 : (i + 1) * 250].reset_index(drop=True)
        part.to_parquet(tmp_path / f"part-{i}.parquet", row_group_size=100)
    return tmp_path


@pytest.mark.parametrize("engine", ["inline", "threads"])
@pytest.mark.parametrize("blocksize", ["default", None, 1])
def test_equal_to_pandas(folder, data, blocksize, engine):
    lazy = nd.read_parquet(folder, blocksize=blocksize)
    assert lazy.npartitions == (12 if blocksize == 1 else 4)
    pd.testing.assert_frame_equal(lazy.compute(engine=engine), data)
    assert len(lazy) == 1000


def test_columns_and_paths(folder, data):
    pd.testing.assert_frame_equal(
        nd.read_parquet(str(folder / "*.parquet"), columns=["s", "x"]).compute(), data[["s", "x"]]
    )
    one = nd.read_parquet(folder / "part-1.parquet").compute()
    pd.testing.assert_frame_equal(one, pd.read_parquet(folder / "part-1.parquet"))
    with pytest.raises(KeyError, match="no column 'z'"):
        nd.read_parquet(folder, columns=["z"])
    with pytest.raises(TypeError, match="nonsense"):
        nd.read_parquet(folder, nonsense=1)


def test_filters_choose_rows(folder, data):
    got = nd.read_parquet(folder, filters=[("x", ">", 700), ("s", "==", "a")]).compute()
    want = data[(data.x > 700) & (data.s == "a")].reset_index(drop=True)
    pd.testing.assert_frame_equal(got, want)


@pytest.mark.parametrize(
    "mask",
    [
        lambda d: d.x > 900,
        lambda d: (d.x > 300) & (d.x <= 320),
        lambda d: d.x.isin([3, 999]),
        lambda d: d.when >= pd.Timestamp("2020-02-10"),
        lambda d: d.y != 0,
        lambda d: d.x > 10_000,
        lambda d: d.s == "zzz",
        lambda d: (d.x > 990) | (d.x < 5),
    ],
)
def test_a_filter_gives_what_pandas_gives(folder, data, mask):
    lazy = nd.read_parquet(folder, blocksize=1)
    pd.testing.assert_frame_equal(lazy[mask(lazy)].compute(), data[mask(data)])


def test_row_groups_that_cannot_match_are_not_read(folder):
    lazy = nd.read_parquet(folder, blocksize=1)
    job, _ = current().plan([lazy[lazy.x > 900].y._request()])
    (source,) = [n for n in walk(job.roots) if hasattr(n, "pieces")]
    assert source.wanted == ("x", "y")
    assert sum(len(p.groups) for p in source._kept()) == 2


def test_only_needed_columns_are_fetched(counting):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(20_000, 10)), columns=list("abcdefghij"))
    buffer = io.BytesIO()
    frame.to_parquet(buffer, compression=None)
    counting.write("/wide.parquet", buffer.getvalue())
    lazy = nd.read_parquet("counting:///wide.parquet")
    assert sum(counting.fetched.values()) <= 1_000_000
    counting.fetched.clear()
    assert lazy.c.sum().compute() == frame.c.sum()
    column = 20_000 * 8
    assert column <= sum(counting.fetched.values()) <= 2 * column + 100_000


def test_csv_is_told(tmp_path):
    (tmp_path / "a.csv").write_text("x\n1\n")
    with pytest.raises(ValueError, match="read_csv"):
        nd.read_parquet(tmp_path / "a.csv")


def test_a_stored_index_comes_back(tmp_path, data):
    data.set_index("when").to_parquet(tmp_path / "i.parquet", row_group_size=300)
    got = nd.read_parquet(tmp_path / "i.parquet", blocksize=1)
    pd.testing.assert_frame_equal(
        got.compute(), pd.read_parquet(tmp_path / "i.parquet"), check_freq=False
    )
