from __future__ import annotations

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal

from nbscale.dataframe.read.parquet_write import write_parquet_part

FRAME = pd.DataFrame({"x": [1, 2], "y": ["a", None]}, index=[5, 6])


def test_writing_is_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.parquet"
    size = write_parquet_part(FRAME, path, compression="zstd", index=False)
    assert path.stat().st_size == size
    assert_frame_equal(pd.read_parquet(path), FRAME.reset_index(drop=True))
    before = path.read_bytes()
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError)):
        write_parquet_part(pd.DataFrame({"x": [1, "a"]}), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


def test_parts_share_a_schema(tmp_path):
    path = tmp_path / "a.parquet"
    schema = pa.schema({"x": pa.float64()})
    write_parquet_part(pd.DataFrame({"x": [1, 2]}), path, schema=schema, index=False)
    assert pq.read_schema(path).field("x").type == pa.float64()


def test_urls():
    fs = fsspec.filesystem("memory")
    try:
        size = write_parquet_part(FRAME, "memory://d/a.parquet")
        assert fs.size("/d/a.parquet") == size
        assert_frame_equal(pd.read_parquet("memory://d/a.parquet"), FRAME)
    finally:
        fs.store.clear()
