from __future__ import annotations

import pandas as pd
import pytest

import nbscale.dataframe as nd


@pytest.fixture
def data():
    return pd.DataFrame({"x": range(10), "s": list("abcdefghij"), "f": [0.5, None] * 5})


def test_one_file_for_each_partition(tmp_path, data):
    where = tmp_path / "out"
    nd.from_pandas(data, npartitions=3).to_parquet(where)
    names = sorted(p.name for p in where.iterdir())
    assert names == ["part.00000.parquet", "part.00001.parquet", "part.00002.parquet"]
    pd.testing.assert_frame_equal(pd.concat(pd.read_parquet(where / n) for n in names), data)


def test_files_there_are_not_overwritten_unless_asked(tmp_path, data):
    lazy = nd.from_pandas(data, npartitions=3)
    lazy.to_parquet(tmp_path / "out")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        lazy.to_parquet(tmp_path / "out")
    lazy.partitions[:1].to_parquet(tmp_path / "out", overwrite=True)
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_a_failed_run_leaves_what_was_there(tmp_path, data):
    lazy = nd.from_pandas(data, npartitions=3)
    lazy.to_parquet(tmp_path / "out")

    def broken(part):
        if part.x.max() > 5:
            raise RuntimeError("no")
        return part

    with pytest.raises(RuntimeError, match="no"):
        lazy.map_partitions(broken).to_parquet(tmp_path / "out", overwrite=True)
    visible = [p for p in (tmp_path / "out").iterdir() if not p.name.startswith(".")]
    assert sum(len(pd.read_parquet(p)) for p in visible) == 10


def test_writing_can_wait(tmp_path, data):
    write = nd.from_pandas(data, npartitions=2).to_parquet(tmp_path / "out", compute=False)
    assert not list((tmp_path / "out").glob("*.parquet"))
    write.compute()
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 2


def test_two_writes_are_two_writes(data):
    lazy = nd.from_pandas(data)
    first = lazy.to_parquet("memory://a", compute=False)
    second = lazy.to_parquet("memory://a", compute=False)
    assert first._node is not second._node
