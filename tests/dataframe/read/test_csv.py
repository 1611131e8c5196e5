"""``read_csv`` as a user calls it: equal to pandas, lazy, and clear when a file is bad."""

from __future__ import annotations

import gzip
import warnings

import numpy as np
import pandas as pd
import pytest

import nbscale.dataframe as nd
from nbscale import config
from nbscale.errors import PlanNotice, SourceChanged

ROWS = 3000


@pytest.fixture
def folder(tmp_path):
    """Three files of one schema."""
    rng = np.random.default_rng(0)
    for i in range(3):
        frame = pd.DataFrame(
            {
                "name": rng.choice(["ann", "bob", "eve"], ROWS),
                "id": rng.integers(0, 10_000, ROWS),
                "value": rng.normal(size=ROWS),
                "flag": rng.random(ROWS) < 0.5,
            }
        )
        frame.to_csv(tmp_path / f"part-{i}.csv", index=False)
    return tmp_path


def by_pandas(folder, pattern="*.csv", **kwargs):
    return pd.concat(
        [pd.read_csv(f, **kwargs) for f in sorted(folder.glob(pattern))], ignore_index=True
    )


@pytest.mark.parametrize("engine", ["inline", "threads"])
@pytest.mark.parametrize("blocksize", ["default", None, 7_000, "20 kB"])
def test_equal_to_pandas(folder, blocksize, engine):
    lazy = nd.read_csv(folder / "part-*.csv", blocksize=blocksize)
    want = by_pandas(folder)
    got = lazy.compute(engine=engine)
    pd.testing.assert_frame_equal(got, want)
    assert isinstance(got.index, pd.RangeIndex)
    pd.testing.assert_frame_equal(lazy[lazy.value > 1].compute(), want[want.value > 1])
    assert len(lazy) == 3 * ROWS


def test_files_are_taken_in_order(folder):
    files = [folder / "part-2.csv", folder / "part-0.csv"]
    want = pd.concat(map(pd.read_csv, files), ignore_index=True)
    pd.testing.assert_frame_equal(nd.read_csv(files).compute(), want)


def test_compressed_files_are_one_partition_each(folder):
    for file in sorted(folder.glob("*.csv")):
        with gzip.open(f"{file}.gz", "wb") as out:
            out.write(file.read_bytes())
    lazy = nd.read_csv(folder / "*.csv.gz", blocksize=1000)
    assert lazy.npartitions == 3
    pd.testing.assert_frame_equal(lazy.compute(), by_pandas(folder))


def test_index_col_becomes_the_index(folder):
    got = nd.read_csv(folder / "*.csv", blocksize=9_000, index_col="id").compute()
    want = pd.concat([pd.read_csv(f, index_col="id") for f in sorted(folder.glob("*.csv"))])
    pd.testing.assert_frame_equal(got, want)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("end", ["", "x"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_quoted_line_breaks(tmp_path, newline, end, bom):
    rows = [f'{i},"a{newline}b ""{i}"", c",{i / 2}' for i in range(300)]
    text = newline.join(["n,text,half", *rows]) + (newline if not end else "")
    path = tmp_path / "quoted.csv"
    path.write_bytes(bom + text.encode())
    want = pd.read_csv(path)
    for size in (50, 333, 1_000_000):
        pd.testing.assert_frame_equal(nd.read_csv(path, blocksize=size).compute(), want)


def test_quotes_behind_the_sample_are_found(tmp_path):
    plain = [f"{i},abc,{i}" for i in range(200_000)]
    plain[150_000] = '150000,"x\ny",7'
    path = tmp_path / "late.csv"
    path.write_text("n,text,k\n" + "\n".join(plain) + "\n")
    lazy = nd.read_csv(path, blocksize="300 kB")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pd.testing.assert_frame_equal(lazy.compute(), pd.read_csv(path))


def test_a_later_misfit_widens_the_column_and_says_so_once(tmp_path):
    for i in range(40):
        values = [str(k) for k in range(200)]
        if i == 7:  # not among the files that are sampled
            values[150] = "1.5"
        (tmp_path / f"f-{i:02d}.csv").write_text("x,y\n" + "".join(f"{v},1\n" for v in values))
    lazy = nd.read_csv(tmp_path / "f-*.csv")
    if lazy.x.dtype != np.int64:
        pytest.fail("the misfit was seen by the sample, so this tests nothing")
    with pytest.warns(PlanNotice, match=r"column 'x'.*'1.5'.*f-07.csv"):
        got = lazy.compute()
    want = by_pandas(tmp_path)
    assert want.x.dtype == np.float64
    pd.testing.assert_frame_equal(got, want)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lazy.x.sum().compute() == want.x.sum()
        assert int(lazy.y.sum().compute()) == 8_000


def test_making_the_frame_reads_at_most_a_megabyte_a_file(tmp_path, counting):
    lines = "".join(f"{i},{i * 2},{'x' * 40}\n" for i in range(100_000))
    for i in range(3):
        counting.write(f"/big-{i}.csv", "a,b,c\n" + lines)
    lazy = nd.read_csv("counting://big-*.csv", blocksize="1 MB")
    assert max(counting.fetched.values()) <= 1_000_000
    counting.fetched.clear()
    lazy.head(3)
    assert list(counting.fetched) == ["/big-0.csv"]
    assert counting.fetched["/big-0.csv"] <= 1_300_000


def test_nothing_matches(tmp_path):
    (tmp_path / "flights.csv").write_text("a\n1\n")
    with pytest.raises(FileNotFoundError, match=r"flighs.*flights\.csv"):
        nd.read_csv(tmp_path / "flighs.csv")


def test_parquet_is_told(folder):
    by_pandas(folder).to_parquet(folder / "x.parq")
    with pytest.raises(ValueError, match="read_parquet"):
        nd.read_csv(folder / "x.parq")


def test_a_file_that_changed_or_vanished_is_told(folder):
    lazy = nd.read_csv(folder / "*.csv")
    path = folder / "part-1.csv"
    path.write_text("name,id,value,flag\n")
    with pytest.raises(SourceChanged, match=r"part-1\.csv"):
        lazy.compute()
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"part-1\.csv"):
        lazy.compute()


def test_a_malformed_row_is_told_with_its_place(folder):
    path = folder / "part-2.csv"
    path.write_text(path.read_text() + "bob,1,2.5,True,too,many\n")
    lazy = nd.read_csv(folder / "*.csv", blocksize=20_000)
    with pytest.raises(pd.errors.ParserError, match=r"part-2\.csv") as caught:
        lazy.value.sum().compute()
    text = str(caught.value)
    assert "bob,1,2.5" in text
    assert "on_bad_lines" in text
    assert len(text.splitlines()) + len(caught.value.__notes__) <= 12


def test_unknown_keywords_and_those_without_sense(folder):
    with pytest.raises(TypeError, match="nonsense"):
        nd.read_csv(folder / "*.csv", nonsense=1)
    with pytest.raises(ValueError, match="chunksize"):
        nd.read_csv(folder / "*.csv", chunksize=10)


def test_partitions_follow_the_size_setting(folder):
    with config.set(partition_size="50 kB"):
        assert nd.read_csv(folder / "*.csv").npartitions > 3
    assert nd.read_csv(folder / "*.csv").npartitions == 3


def test_columns_not_used_are_not_parsed(folder):
    lazy = nd.read_csv(folder / "*.csv")
    text = lazy.groupby("name").value.mean().explain()
    assert "wanted=('name', 'value')" in text
