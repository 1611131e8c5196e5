from __future__ import annotations

import csv
import io
import random

import pandas as pd
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from tests.dataframe.read.whole_csv import read_by_pandas, read_in_blocks


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parse")

    def make(*texts, name="part"):
        paths = [folder / f"{name}{i}.csv" for i in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return [str(p) for p in paths]

    return make


def check(paths, blocksize, columns=None, **keywords):
    expected = read_by_pandas(paths, **keywords)
    got = read_in_blocks(paths, blocksize, columns, **keywords)
    assert_frame_equal(got, expected if columns is None else expected[columns], check_exact=True)


# Where integers of more than 63 bits meet anything but integers, pandas' answer hangs on the order
# of the values (and may leave "NA" as text); we do not follow it there.
LARGE = {str(2**63), str(2**64)}
INTEGERS = {"1", "-2", "007", "99", str(2**62), "9007199254740993"}
NUMBERS = ["1", "-2", "3.5", "5.0", "1e5", "007", "99", " 4", "9007199254740993", "inf", "-0.0"]
VALUES = st.sampled_from(
    [*NUMBERS, str(2**62), *sorted(LARGE), "NA", "", "True", "false", "x", "a b"]
)
COLUMN = st.one_of(
    st.lists(VALUES, min_size=1, max_size=12),
    st.lists(st.sampled_from(["1", "22", "-3"]), min_size=1, max_size=12),
    st.lists(st.sampled_from(["1", "2.5", "NA"]), min_size=1, max_size=12),
    st.lists(st.sampled_from(["True", "False", ""]), min_size=1, max_size=12),
)


@given(column=COLUMN, blocksize=st.integers(2, 30), seed=st.integers(0, 3))
def test_any_cut_of_any_column_gives_pandas_dtype(write, column, blocksize, seed):
    assume(not LARGE & set(column) or set(column) <= LARGE | INTEGERS)
    order = random.Random(seed).sample(column, len(column))
    text = "a,b\n" + "".join(f"{v},{w}\n" for v, w in zip(column, order, strict=True))
    check(write(text), blocksize)


ROWS = st.lists(
    st.tuples(st.text('ab",\n\r ', max_size=4), st.integers(-5, 5), st.text("xy", max_size=2)),
    min_size=1,
    max_size=10,
)


@given(rows=ROWS, blocksize=st.integers(3, 40), crlf=st.booleans(), bom=st.booleans())
@example(rows=[("a\nb", 1, "x"), ('"', 2, ""), (",", 3, "y")], blocksize=5, crlf=True, bom=True)
def test_quotes_line_breaks_and_marks(write, rows, blocksize, crlf, bom):
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n" if crlf else "\n")
    writer.writerows([("t", "n", "u"), *rows])
    text = ("\ufeff" if bom else "") + buffer.getvalue()
    check(write(text), blocksize)
    check(write(text), blocksize, ["n"])


ABC = "a,b,c\n1,x,1.5\n2,y,2.5\n3,z,3.5\n4,x,4.5\n5,y,5.5\n"


@pytest.mark.parametrize("blocksize", [1, 7, 11, 1000])
@pytest.mark.parametrize(
    ("text", "keywords"),
    [
        (ABC, {}),
        (ABC.rstrip("\n"), {}),
        (ABC.replace("\n", "\r\n"), {}),
        (ABC.replace("\n", "\r"), {}),
        (ABC.replace("\n", "\n\n"), {}),
        (ABC.replace("\n", "\n\n"), {"skip_blank_lines": False, "dtype": "str"}),
        (ABC.replace(",", ";"), {"sep": ";"}),
        (ABC.replace(",", ";"), {"delimiter": ";"}),
        (ABC.replace(",", "\t"), {"sep": "\t"}),
        (ABC.replace(",", "   "), {"sep": r"\s+"}),
        (ABC.replace(",", " , "), {"skipinitialspace": True}),
        (ABC.replace(",", " , "), {"sep": r"\s*,\s*", "engine": "python"}),
        (ABC, {"engine": "python"}),
        (ABC, {"header": None}),
        (ABC[6:], {"header": None}),
        (ABC[6:], {"header": None, "names": ["p", "q", "r"]}),
        (ABC[6:], {"names": ["p", "q", "r"]}),
        (ABC, {"header": 0, "names": ["p", "q", "r"]}),
        (ABC, {"names": ["p", "q", "r"], "skiprows": 1}),
        ("junk\nmore\n\n" + ABC, {"skiprows": 2}),
        ("junk\nmore\n" + ABC, {"header": 2}),
        ("# it's\n" + ABC.replace("\n2", "\n# no\n2"), {"comment": "#"}),
        ('# a "quote\n' + ABC.replace("\n2", '\n# n"o\n2'), {"comment": "#"}),
        (ABC, {"usecols": ["c", "a"]}),
        (ABC, {"usecols": [0, 2]}),
        (ABC, {"usecols": lambda name: name != "b"}),
        (ABC, {"index_col": "b"}),
        (ABC, {"index_col": 1}),
        (ABC, {"index_col": ["b", "a"]}),
        (ABC, {"index_col": False}),
        (ABC, {"usecols": ["b", "c"], "index_col": "b"}),
        (",b,c\n1,x,1\n2,y,2\n3,z,4\n", {"index_col": 0}),
        ("b,c\n1,x,1\n2,y,2\n3,z,4\n", {}),
        ("a,a,b\n1,2,3\n4,5,6\n7,8,9.5\n", {}),
        ("a,a,b\n1,2,3\n4,5,6\n7,8,9.5\n", {"dtype": {"a": "float64"}}),
        (ABC, {"dtype": {"a": "float32"}}),
        (ABC, {"dtype": "str"}),
        (ABC, {"dtype": {"b": "category"}}),
        (ABC, {"dtype": {"b": pd.CategoricalDtype(["y", "x", "z"])}}),
        (ABC, {"converters": {"a": lambda v: int(v) * 2}}),
        (ABC, {"na_values": ["x", "3"]}),
        (ABC, {"na_values": {"b": ["y"]}}),
        (ABC.replace("x", "NA"), {"keep_default_na": False}),
        (ABC.replace("x", "NA"), {"na_filter": False}),
        ("a;b\n1,5;1.000\n2,5;2.000\n3,5;7\n", {"sep": ";", "decimal": ",", "thousands": "."}),
        ("a,b\nyes,1\nno,2\nyes,3\n", {"true_values": ["yes"], "false_values": ["no"]}),
        ("t,b\n2020-01-01,1\n2020-01-02,2\n2021-02-03,3\n", {"parse_dates": ["t"]}),
        ("t,b\n2020-01-01,1\n,2\n2021-02-03,3\n", {"parse_dates": [0]}),
        ("t,b\n2020-01-01,1\nsoon,2\n2021-02-03,3\n", {"parse_dates": ["t"]}),
        ("t,b\n,1\n,2\n,3\n", {"parse_dates": ["t"]}),
        ("t,b\n2020-01-01,1\n2021-02-03,3\n", {"index_col": "t", "parse_dates": True}),
        ("t,b\n01/02/2020,1\n13/02/2020,2\n", {"parse_dates": ["t"], "dayfirst": True}),
        ("t,b\n01.02.2020,1\n13.02.2020,2\n", {"parse_dates": ["t"], "date_format": "%d.%m.%Y"}),
        ("a,b\n1\n2,3\n4\n", {}),
        ("a,b\n1,2\n3,4,5\n6,7\n", {"on_bad_lines": "skip"}),
        (ABC, {"skiprows": [2, 4]}),
        (ABC, {"skiprows": lambda i: i == 3}),
        (ABC, {"nrows": 2}),
        (ABC, {"skipfooter": 1, "engine": "python"}),
        ("a,b\n1,'x\ny'\n2,z\n", {"quotechar": "'"}),
        ('a,b\n1,"x\n2,y"\n3,z\n', {"quoting": csv.QUOTE_NONE}),
        ('a,b\n1,"x\ny"\n2,z\n', {"quoting": csv.QUOTE_ALL}),
        ('a,b\n1,"x!"\ny"\n2,z\n', {"escapechar": "!"}),
        ('a,b\n1,5" pipe\n2,"a\nb"\n3,""" "\n', {}),
        ('"a\nb",c\n1,2\n3,4\n', {}),
        ("a,b\n", {}),
        ("a,b\n1,2", {}),
    ],
)
def test_keywords_mean_what_they_mean_to_pandas(write, text, keywords, blocksize):
    check(write(text), blocksize, **keywords)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-8-sig", "cp1252", "utf-16-le"])
def test_encodings(write, encoding):
    text = "größe,b\n1,ä\n2,ö\n3,ü\n"
    for blocksize in (4, 100):
        check(write(text.encode(encoding)), blocksize, encoding=encoding)


@pytest.mark.parametrize("how", ["gzip", "bz2", "xz", "zstd"])
def test_compressed_files_are_read_whole(tmp_path, how):
    if how == "zstd":
        pytest.importorskip("zstandard")
    end = {"gzip": "gz", "bz2": "bz2", "xz": "xz", "zstd": "zst"}[how]
    pd.read_csv(io.StringIO(ABC)).to_csv(tmp_path / f"a.csv.{end}", index=False)
    check(str(tmp_path / f"a.csv.{end}"), 5)
    (tmp_path / f"a.csv.{end}").rename(tmp_path / "a.csv")
    check(str(tmp_path / "a.csv"), 5, compression=how)


def test_compressed_and_plain_files_together(tmp_path, write):
    (plain,) = write(ABC)
    packed = str(tmp_path / "a.csv.gz")
    pd.read_csv(plain).assign(a=0.5).to_csv(packed, index=False)
    check([plain, packed], 8)
    check([packed, plain], 8)
    check([packed, plain], 8, ["a"])


def test_several_files(write):
    check(write(ABC, ABC[:6] + "9,w,0.5\n", "c,a,b\n1,2,x\n3,4,y\n"), 8)


def test_a_file_without_rows_says_nothing_of_dtypes(write):
    for texts in [(ABC, "a,b,c\n"), ("a,b,c\n", ABC)]:
        got = read_in_blocks(write(*texts), 8)
        assert_frame_equal(got, read_by_pandas(write(ABC)))


def test_files_of_unlike_columns(write):
    paths = write("a,b\n1,x\n2,y\n3,z\n", "b,c\nq,1.5\nr,2.5\n")
    check(paths, 6)
    check(paths, 6, ["c"])
    check(paths, 6, ["a", "b"])


@pytest.mark.parametrize("columns", [["a"], ["c", "b"], ["b"], []])
def test_only_the_columns_wanted(write, columns):
    expected = [c for c in ["a", "b", "c"] if c in columns]
    check(write(ABC), 9, expected)
    got = read_in_blocks(write(ABC), 9, columns, index_col="b")
    kept = [c for c in expected if c != "b"]
    assert_frame_equal(got, read_by_pandas(write(ABC), index_col="b")[kept])
