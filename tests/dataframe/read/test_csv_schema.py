from __future__ import annotations

import pickle

import pandas as pd
import pytest

from nbscale.dataframe.read.csv_schema import sample_csv
from nbscale.dataframe.read.csv_split import plan_blocks
from nbscale.dataframe.read.files import resolve


@pytest.fixture
def write(tmp_path):
    def make(*texts):
        for i, text in enumerate(texts):
            data = text if isinstance(text, bytes) else text.encode()
            (tmp_path / f"{i:03}.csv").write_bytes(data)
        return resolve(tmp_path / "*.csv")

    return make


LONG = "a,b\n" + "".join(f"{i},{i % 10}\n" for i in range(200_000))


def test_at_most_a_megabyte_of_each_of_few_files_is_read(counting):
    for i in range(20):
        counting.write(f"/{i:02}.csv", LONG)
    counting.fetched.clear()
    files = resolve("counting:///*.csv")
    assert len(files) == 20
    sample_csv(files)
    assert 0 < max(counting.fetched.values()) <= 1_000_000
    assert len(counting.fetched) <= 8
    assert {"/00.csv", "/19.csv"} <= set(counting.fetched)


def test_nothing_is_read_to_plan_blocks(counting):
    counting.write("/a.csv", LONG)
    files = resolve("counting:///a.csv")
    dialect = sample_csv(files).form.dialect
    counting.fetched.clear()
    assert len(plan_blocks(files[0], dialect, 100_000)) > 10
    assert not counting.fetched


def test_dtypes_come_from_several_files_and_offsets(write):
    later = LONG.replace("\n150000,0\n", "\n150000,0.5\n")
    middle = LONG[: LONG.index("\n99999,")] + "\nx,1" + LONG[LONG.index("\n100000,") :]
    assert sample_csv(write(LONG)).dtypes == {"a": "int64", "b": "int64"}
    assert sample_csv(write("a,b\n1,2\n", "a,b\n,0.5\n")).dtypes == {"a": "float64", "b": "float64"}
    size = len(LONG) // 2
    half = LONG[: LONG.index("\n", size) + 1] + "x,y\n" * 40_000
    assert sample_csv(write(half, half)).dtypes == {"a": "str", "b": "str"}
    assert len(later) == len(LONG) + 2
    assert middle != LONG


def test_pieces_from_within_are_left_out_once_quotes_are_seen(write):
    # Misread from its middle, the quoted text would look like rows of words.
    text = "a,b\n1,2\n" + '3,"' + "x,y\n" * 200_000 + '"\n'
    schema = sample_csv(write(text), quoted=True)
    assert schema.has_quotes
    assert schema.dtypes["a"] == "int64"


def test_the_sample_has_the_dtypes_of_the_whole(write):
    schema = sample_csv(write("a,b,c\n1,x,007\n", "a,b,c\n0.5,,w\n"))
    expected = pd.DataFrame({"a": [1.0], "b": ["x"], "c": ["007"]})
    pd.testing.assert_frame_equal(schema.sample, expected)
    assert len(sample_csv(write(LONG)).sample) == 100


def test_sizes(write):
    files = write(LONG)
    schema = sample_csv(files)
    assert schema.bytes_per_row == pytest.approx(len(LONG) / 200_000, rel=0.2)
    assert schema.memory_per_byte == pytest.approx(16 / schema.bytes_per_row, rel=0.1)


def test_a_widened_schema(write):
    schema = sample_csv(write("k,a,b\nx,1,2\n"), {"index_col": "k"})
    misfit = type("M", (), {"column": "a", "found": "str"})
    wide = schema.widened([misfit])
    assert wide.dtypes == {"a": "str", "b": "int64"}
    assert wide.sample.index.equals(pd.Index(["x"], name="k"))
    assert schema.dtypes["a"] == "int64"


def test_the_form_is_small_and_travels(write):
    form = sample_csv(write(LONG)).form
    assert len(pickle.dumps(form)) < 5_000
    assert pickle.loads(pickle.dumps(form)) == form
    assert hash(form) == hash(sample_csv(write(LONG)).form)


def test_categories_without_names_are_left_to_the_reader(write):
    schema = sample_csv(write("a,b\nx,1\n"), {"dtype": {"a": "category"}})
    assert schema.categories == ("a",)
    assert schema.dtypes == {"a": "str", "b": "int64"}
    named = {"a": pd.CategoricalDtype(["x", "y"])}
    assert sample_csv(write("a,b\nx,1\n"), {"dtype": named}).categories == ()


def test_why_a_file_stays_whole(write):
    assert "end in their own way" in sample_csv(write("a,b\r1,2\r3,4\r")).form.dialect.whole
    assert "more fields" in sample_csv(write("a,b\n1,2,3\n")).form.dialect.whole
    assert sample_csv(write("a\n1\n"), {"nrows": 1}).form.dialect.whole
    assert not sample_csv(write("a\n1\n")).form.dialect.whole


def test_parquet_and_empty_files_are_told(write):
    with pytest.raises(ValueError, match=r"000\.csv.*read_parquet"):
        sample_csv(write(b"PAR1\x00\n\x01\n"))
    with pytest.raises(pd.errors.EmptyDataError, match=r"000\.csv"):
        sample_csv(write(""))
