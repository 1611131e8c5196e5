from __future__ import annotations

import os

import pandas as pd
import pytest

from nbscale.dataframe.read.csv_parse import read_csv_block
from nbscale.dataframe.read.csv_records import read_block
from nbscale.dataframe.read.csv_schema import sample_csv
from nbscale.dataframe.read.csv_split import QuotesMet, plan_blocks
from nbscale.dataframe.read.files import resolve
from nbscale.errors import SourceChanged
from tests.dataframe.read.whole_csv import read_in_blocks

ROWS = 40_000
GOOD = "number,word\n" + "".join(f"{i},w{i % 7}\n" for i in range(ROWS))


@pytest.fixture
def write(tmp_path):
    def make(text, name="a.csv"):
        (tmp_path / name).write_bytes(text.encode())
        return resolve(tmp_path / name)

    return make


def spoilt(line, text):
    """The good rows with one replaced, far from what a sample sees."""
    lines = GOOD.splitlines(keepends=True)
    lines[line - 1] = text
    return "".join(lines)


def read_blocks(files, columns=None, blocksize=50_000, **keywords):
    form = sample_csv(files, keywords).form
    blocks = plan_blocks(files[0], form.dialect, blocksize, form.header_size)
    assert len(blocks) > 3
    return [read_csv_block(b, form, columns) for b in blocks]


@pytest.fixture
def blind(monkeypatch):
    """Samples see beginnings only."""
    monkeypatch.setattr("nbscale.dataframe.read.csv_schema._HEAD", 1 << 10)
    monkeypatch.setattr("nbscale.dataframe.read.csv_schema._PIECE", 1 << 30)


@pytest.mark.usefixtures("blind")
@pytest.mark.parametrize("columns", [None, ["number"]])
def test_a_record_too_long_is_told_with_its_place(write, columns):
    text = spoilt(30_001, "29999,w,too,many\n")
    offset = text.index("29999,w,too")
    with pytest.raises(pd.errors.ParserError) as error:
        read_blocks(write(text), columns)
    message = str(error.value)
    for part in ("Expected 2 fields in line 30001, saw 4", "a.csv", f"byte {offset:,}"):
        assert part in message
    assert "29999,w,too,many" in message
    assert "on_bad_lines='skip'" in message


@pytest.mark.usefixtures("blind")
def test_a_record_too_long_in_the_first_block(write):
    with pytest.raises(pd.errors.ParserError, match=r"in line 700, saw 3.*byte .*'9,9,9'"):
        read_blocks(write(spoilt(700, "9,9,9\n")))


@pytest.mark.usefixtures("blind")
@pytest.mark.parametrize(
    ("value", "found"), [("x1", "str"), ("", "float64"), ("2.5", "float64"), ("5.0", "float64")]
)
def test_a_value_that_does_not_fit_is_told_with_its_place(write, value, found):
    text = spoilt(30_001, f"{value},w\n")
    files = write(text)
    misfits = [m for _, found in read_blocks(files) for m in found]
    (misfit,) = misfits
    assert (misfit.column, misfit.planned, misfit.found) == ("number", "int64", found)
    assert misfit.value == value
    assert text[misfit.offset :].startswith(f"{value},w\n")
    assert "number" in str(misfit)
    assert "a.csv" in str(misfit)
    log = []
    got = read_in_blocks(str(files[0].path), 50_000, log=log)
    pd.testing.assert_frame_equal(got, pd.read_csv(files[0].path, low_memory=False))
    assert len(log) == 1


@pytest.mark.usefixtures("blind")
def test_a_text_among_dates(write):
    text = "t,x\n" + "".join(f"20{i % 90 + 10}-01-02,{i}\n" for i in range(30_000))
    text = text.replace(",20000\n", ",20000\nsoon,1\n")
    files = write(text)
    keywords = {"parse_dates": ["t"], "index_col": "x"}
    (misfit,) = [m for _, found in read_blocks(files, **keywords) for m in found]
    assert (misfit.planned, misfit.found, misfit.value) == ("datetime64[us]", "str", "soon")
    assert text[misfit.offset :].startswith("soon")
    got = read_in_blocks(str(files[0].path), 50_000, **keywords)
    assert got["t"].dtype == "str"
    assert got["t"].tolist() == [line.split(",")[0] for line in text.splitlines()[1:]]


@pytest.mark.usefixtures("blind")
def test_columns_not_wanted_have_no_misfits(write):
    read = read_blocks(write(spoilt(30_001, "x,w\n")), ["word"])
    assert all(not misfits for _, misfits in read)


@pytest.mark.usefixtures("blind")
@pytest.mark.parametrize("columns", [None, ["number"]])
def test_a_quote_no_sample_saw_is_met(write, columns):
    text = spoilt(30_001, '29999,"w\nw"\n')
    files = write(text)
    with pytest.raises(QuotesMet):
        read_blocks(files, columns)
    log = []
    got = read_in_blocks(str(files[0].path), 50_000, log=log)
    pd.testing.assert_frame_equal(got, pd.read_csv(files[0].path, low_memory=False))
    assert log == ["quotes"]


@pytest.mark.usefixtures("blind")
def test_mixed_chunks_of_a_block_are_text(write):
    # pandas' own default looks at a quarter of a megabyte at a time, and mixes numbers and text.
    text = "word\nx\n" + "1\n" * 400_000 + "y\n"
    files = write(text)
    form = sample_csv(files).form
    (block,) = plan_blocks(files[0], form.dialect, 10**9)
    part, misfits = read_csv_block(block, form)
    assert not misfits
    assert part["word"].dtype == "str"
    assert part["word"].iloc[1] == "1"


@pytest.mark.usefixtures("blind")
def test_text_that_cannot_be_decoded_is_told_with_its_file(write, tmp_path):
    data = bytearray(GOOD.encode())
    data[data.index(b"30000,w") + 6] = 0xFF
    (tmp_path / "a.csv").write_bytes(bytes(data))
    with pytest.raises(UnicodeDecodeError) as error:
        read_blocks(resolve(tmp_path / "a.csv"))
    assert "a.csv" in "".join(error.value.__notes__)


def test_values_that_do_not_fit_the_dtype_asked_for(write):
    with pytest.raises(ValueError, match=r"a\.csv"):
        sample_csv(write("a\n1\nx\n"), {"dtype": {"a": "int64"}})


def test_a_file_with_columns_of_its_own_is_told(write):
    files = [*write("a\n1\n", "0.csv"), *write("a,z\n1,2\n", "1.csv"), *write("a\n1\n", "2.csv")]
    form = sample_csv(files, max_files=2).form
    (block,) = plan_blocks(files[1], form.dialect, 100)
    with pytest.raises(ValueError, match=r"1\.csv.*\['z'\].*usecols"):
        read_csv_block(block, form)
    assert read_csv_block(block, form, [])[0].shape == (1, 0)


def test_a_file_that_changes_after_planning_is_not_read(write):
    files = write(GOOD)
    form = sample_csv(files).form
    block = plan_blocks(files[0], form.dialect, 50_000, form.header_size)[2]
    records = read_block(block, form.dialect, None, form.header_size)
    os.utime(files[0].path, ns=(0, 5))
    with pytest.raises(SourceChanged):
        read_csv_block(block, form)
    with pytest.raises(SourceChanged):
        list(records.pieces())
    os.unlink(files[0].path)  # noqa: PTH108
    with pytest.raises(FileNotFoundError, match="vanished"):
        read_csv_block(block, form)
