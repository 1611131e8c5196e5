from __future__ import annotations

import datetime as dt
import os

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from nbscale.dataframe.read.files import resolve
from nbscale.dataframe.read.parquet_file import (
    looks_like_parquet,
    parquet_files,
    parquet_info,
    read_row_groups,
)
from nbscale.errors import SourceChanged

N = 10
FRAME = pd.DataFrame(
    {
        "i": np.arange(N),
        "small": np.arange(N, dtype="int8"),
        "f": np.arange(N) / 4,
        "s": [f"w{i}" for i in range(N)],
        "gap_i": pd.array([1, None, *range(N - 2)], dtype="Int64"),
        "b": [True, False] * (N // 2),
        "t": pd.date_range("2020-01-01", periods=N, freq="h"),
        "z": pd.date_range("2020-01-01", periods=N, freq="h", tz="Europe/Berlin"),
        "td": pd.to_timedelta(range(N), unit="s"),
        "c": pd.Categorical(["x", "y"] * (N // 2), categories=["y", "x", "w"]),
        "o": [b"bytes"] * N,
        "d": [dt.date(2020, 1, 1)] * N,
    }
)


def read_by_groups(path, columns=None, filters=None, **keywords):
    info = parquet_info(parquet_files(path))
    parts = [
        read_row_groups(g.file, [g.index], info.form, columns, filters, **keywords)
        for g in info.groups
    ]
    for part in parts:
        assert part.dtypes.equals(parts[0].dtypes)
    return pd.concat(parts, ignore_index=not info.form.index)


@pytest.mark.parametrize("size", [3, 100])
def test_row_groups_together_are_what_pandas_reads(tmp_path, size):
    path = tmp_path / "a.parquet"
    FRAME.to_parquet(path, row_group_size=size)
    assert_frame_equal(read_by_groups(path), pd.read_parquet(path))
    assert_frame_equal(parquet_info(parquet_files(path)).sample, pd.read_parquet(path))


@pytest.mark.parametrize("columns", [["s"], ["z", "i"], [], ["c"]])
def test_only_the_columns_wanted(tmp_path, columns):
    path = tmp_path / "a.parquet"
    FRAME.to_parquet(path, row_group_size=4)
    chosen = [c for c in FRAME.columns if c in columns]
    assert_frame_equal(read_by_groups(path, columns), pd.read_parquet(path)[chosen])


@pytest.mark.parametrize("index", ["s", "t", ["s", "i"], "gap_i"])
def test_a_stored_index_comes_back(tmp_path, index):
    path = tmp_path / "a.parquet"
    FRAME.set_index(index).to_parquet(path, row_group_size=4)
    assert_frame_equal(read_by_groups(path), pd.read_parquet(path), check_freq=False)
    assert_frame_equal(read_by_groups(path, ["f"]), pd.read_parquet(path)[["f"]], check_freq=False)


def test_a_range_index_is_numbered_from_nought(tmp_path):
    path = tmp_path / "a.parquet"
    FRAME.iloc[3:].to_parquet(path, row_group_size=4)
    info = parquet_info(parquet_files(path))
    assert info.form.index == ()
    part = read_row_groups(info.groups[1].file, [1], info.form)
    assert part.index.equals(pd.RangeIndex(3))


@given(
    ints=st.lists(st.one_of(st.none(), st.integers(-5, 2**62)), min_size=1, max_size=8),
    truths=st.lists(st.one_of(st.none(), st.booleans()), min_size=8, max_size=8),
    size=st.integers(1, 4),
    stats=st.booleans(),
)
def test_missing_values_anywhere_decide_the_dtype(tmp_path_factory, ints, truths, size, stats):
    path = tmp_path_factory.getbasetemp() / "gaps.parquet"
    table = pa.table({"i": pa.array(ints, pa.int64()), "b": pa.array(truths[: len(ints)])})
    pq.write_table(table, path, row_group_size=size, write_statistics=stats)
    assert_frame_equal(read_by_groups(path), pd.read_parquet(path))


def test_files_whose_types_differ_are_united(tmp_path):
    pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}).to_parquet(tmp_path / "0.parquet")
    pd.DataFrame({"b": ["z"], "a": [0.5], "c": [7]}).to_parquet(tmp_path / "1.parquet")
    expected = pd.concat([pd.read_parquet(p) for p in sorted(tmp_path.iterdir())])
    got = read_by_groups(tmp_path / "*.parquet")
    assert_frame_equal(got, expected.reset_index(drop=True))


def test_files_that_do_not_go_together_are_told(tmp_path):
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "0.parquet")
    pd.DataFrame({"a": ["x"]}).to_parquet(tmp_path / "1.parquet")
    with pytest.raises(ValueError, match=r"1\.parquet.*does not go together"):
        parquet_info(parquet_files(tmp_path))


def test_text_as_categories(tmp_path):
    path = tmp_path / "a.parquet"
    FRAME.to_parquet(path, row_group_size=4)
    info = parquet_info(parquet_files(path))
    parts = [
        read_row_groups(g.file, [g.index], info.form, ["s"], dictionary=["s"])["s"]
        for g in info.groups
    ]
    assert all(isinstance(p.dtype, pd.CategoricalDtype) for p in parts)
    assert pd.concat([p.astype("str") for p in parts]).tolist() == FRAME["s"].tolist()


def test_rows_and_statistics(tmp_path):
    path = tmp_path / "a.parquet"
    FRAME.to_parquet(path, row_group_size=4)
    info = parquet_info(parquet_files(path))
    assert info.rows == N
    assert [(g.rows, g.first_row) for g in info.groups] == [(4, 0), (4, 4), (2, 8)]
    told = info.groups[0].stats
    assert (told["i"].min, told["i"].max, told["i"].nulls) == (0, 3, 0)
    assert told["gap_i"].nulls == 1
    assert info.groups[0].nbytes > 0


def test_no_rows_and_no_groups(tmp_path):
    FRAME.iloc[:0].to_parquet(tmp_path / "a.parquet")
    info = parquet_info(parquet_files(tmp_path / "a.parquet"))
    assert info.rows == 0
    assert_frame_equal(info.schema, pd.read_parquet(tmp_path / "a.parquet"))


def test_what_is_no_parquet_file(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="read_csv"):
        parquet_info(resolve(tmp_path / "a.csv"))
    (tmp_path / "b.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match="damaged"):
        parquet_info(resolve(tmp_path / "b.parquet"))
    assert looks_like_parquet(b"PAR1")
    assert not looks_like_parquet(b"")


def test_a_changed_file_is_not_read(tmp_path):
    path = tmp_path / "a.parquet"
    FRAME.to_parquet(path)
    info = parquet_info(parquet_files(path))
    os.utime(path, ns=(0, 5))
    with pytest.raises(SourceChanged):
        read_row_groups(info.groups[0].file, [0], info.form)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="vanished"):
        read_row_groups(info.groups[0].file, [0], info.form)


def test_directories(tmp_path):
    for name in ("b.parquet", "a.parquet", "_meta.parquet", ".hidden.parquet"):
        FRAME.to_parquet(tmp_path / name)
    assert [f.name for f in parquet_files(tmp_path)] == ["a.parquet", "b.parquet"]
    (tmp_path / "year=2024").mkdir()
    FRAME.to_parquet(tmp_path / "year=2024" / "a.parquet")
    with pytest.raises(ValueError, match="year=2024"):
        parquet_files(tmp_path)


def test_urls():
    fs = fsspec.filesystem("memory")
    try:
        FRAME.to_parquet("memory://d/a.parquet", row_group_size=4)
        got = read_by_groups("memory://d")
        assert_frame_equal(got, pd.read_parquet("memory://d/a.parquet"))
    finally:
        fs.store.clear()
