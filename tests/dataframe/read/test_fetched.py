"""What is fetched of files, on a file system that counts: no more than an answer needs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nbscale.dataframe as nd

FILES = 4
ROWS = 16_000
SAMPLE = 1_000_000
"""Bytes of a file that making an expression may read."""


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "k": rng.choice(["a", "b", "c"], FILES * ROWS),
            "x": rng.normal(size=FILES * ROWS),
            "y": rng.normal(size=FILES * ROWS),
            "wide": [f"w{i:039d}" for i in rng.integers(0, 1 << 60, FILES * ROWS)],
        }
    )


@pytest.fixture
def csv(counting, data):
    """A lazy frame of CSV files of some 3 MB; what is fetched is counted from here on."""
    for i in range(FILES):
        part = data[i * ROWS : (i + 1) * ROWS]
        counting.write(f"/{i}.csv", part.to_csv(index=False))
    lazy = nd.read_csv("counting:///*.csv")
    assert lazy.npartitions == FILES
    assert 0 < max(counting.fetched.values()) <= SAMPLE
    counting.fetched.clear()
    return lazy


@pytest.fixture
def parquet(counting, data):
    """A lazy frame of one parquet file with a row group for each partition."""
    data.to_parquet("counting:///a.parquet", row_group_size=ROWS, compression=None)
    counting.fetched.clear()
    lazy = nd.read_parquet("counting:///a.parquet", blocksize="1 MB")
    assert lazy.npartitions == FILES
    assert sum(counting.fetched.values()) <= SAMPLE
    counting.fetched.clear()
    return lazy


def fetched(counting):
    return sum(counting.fetched.values())


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_expressions_of_all_kinds_fetch_nothing(request, counting, kind):
    df = request.getfixturevalue(kind)
    made = [
        df[df.x > 0],
        df.groupby("k").x.mean(),
        df.sort_values("x"),
        df.merge(df[["k"]], on="k"),
        df.x + df.y[df.k == "a"],
        df.set_index("k").x.cumsum(),
        df.x.describe(),
        df.assign(z=df.x * 2).drop(columns="wide"),
    ]
    for lazy in made:
        assert repr(lazy)
        assert lazy.explain()
        _ = lazy._repr_html_()
    assert not counting.fetched


def test_head_of_csv_reads_the_first_file_alone(csv, counting, data):
    pd.testing.assert_frame_equal(csv.head(3), data.head(3))
    assert set(counting.fetched) <= {"/0.csv"}
    counting.fetched.clear()
    found = csv[csv.x > 0][["k", "x"]].head(7)
    pd.testing.assert_frame_equal(found, data[data.x > 0][["k", "x"]].head(7))
    assert set(counting.fetched) == {"/0.csv"}


def test_head_looks_further_only_where_it_must(csv, counting, data):
    late = data.x.iloc[ROWS:].max()
    assert late > data.x.iloc[:ROWS].max() or late in set(data.x)
    rare = csv[csv.x.isin([data.x.iloc[ROWS + 5]])]
    assert rare.head(1).index.tolist() == [ROWS + 5]
    assert "/3.csv" not in counting.fetched


def test_tail_of_csv_reads_the_last_file_and_counts_no_other_rows(csv, counting, data):
    found = csv.reset_index(drop=True).tail(3)
    np.testing.assert_array_equal(found.x, data.x.tail(3))
    parsed = {name for name, size in counting.fetched.items() if size}
    assert "/3.csv" in parsed


def test_a_partition_of_csv_reads_its_file_alone(csv, counting, data):
    part = csv.x.partitions[2]
    assert float(part.sum().compute()) == pytest.approx(data.x[2 * ROWS : 3 * ROWS].sum())
    assert {n for n, size in counting.fetched.items() if size} == {"/2.csv"}


def test_csv_is_read_once_for_several_answers(csv, counting, data):
    size = len(data.to_csv(index=False))
    stats = csv.x.agg(["mean", "max", "count"]).compute()
    assert stats["count"] == len(data)
    assert fetched(counting) <= 1.1 * size + 4 * 100_000


def test_rows_of_parquet_are_counted_without_fetching_any(parquet, counting, data):
    assert len(parquet) == len(data)
    assert fetched(counting) <= 100_000


def test_columns_of_parquet_not_needed_are_never_fetched(parquet, counting, data):
    column = ROWS * 8 * FILES
    for expression, columns in (
        (parquet.x.sum(), 1),
        (parquet.x + parquet.y, 2),
        (parquet[parquet.y > 0].x.mean(), 2),
        (parquet.assign(z=parquet.x * 2).z.max(), 1),
        (parquet.drop(columns="wide").rename(columns={"x": "X"})["X"].min(), 1),
        (parquet[["x", "wide"]].dropna(subset=["x"])[["x"]], 1),
        (parquet.sort_values("x")[["x"]], 2),  # and a look at samples
        (parquet.x.cumsum(), 1),
        (parquet.set_index("x").y.sum(), 2),
        (parquet.groupby("k").x.mean(), 1),
        (parquet.fillna({"x": 0.0, "wide": ""}).x.sum(), 1),
        (parquet.astype({"x": "float32", "wide": "object"}).x.sum(), 1),
    ):
        counting.fetched.clear()
        expression.compute()
        # Keys are a dictionary of three; files hold more than the values, and are read ahead.
        assert fetched(counting) <= 1.4 * columns * column + 200_000, expression.explain()


def test_head_of_parquet_reads_one_row_group(parquet, counting, data):
    pd.testing.assert_frame_equal(parquet[["x"]].head(), data[["x"]].head())
    assert fetched(counting) <= ROWS * 8 + 150_000


def test_a_filter_of_parquet_leaves_out_row_groups(counting, data):
    ordered = data.sort_values("x", ignore_index=True)
    ordered.to_parquet("counting:///b.parquet", row_group_size=ROWS, compression=None)
    df = nd.read_parquet("counting:///b.parquet", blocksize="1 MB", columns=["x", "y"])
    counting.fetched.clear()
    high = ordered.x.iloc[-10]
    got = df[df.x >= high].compute()
    assert got.x.tolist() == ordered.x.tail(10).tolist()
    assert fetched(counting) <= 3 * ROWS * 8 + 200_000
