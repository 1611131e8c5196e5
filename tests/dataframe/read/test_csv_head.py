from __future__ import annotations

import pytest

from nbscale.dataframe.read.csv_head import find_preamble, read_head
from nbscale.dataframe.read.csv_split import Dialect
from nbscale.dataframe.read.files import resolve


@pytest.mark.parametrize(
    ("head", "keywords", "header", "first"),
    [
        (b"a,b\n1,2\n3,4\n", {}, b"a,b\n", b"1,2\n"),
        (b"a,b\n1,2", {}, b"a,b\n", b"1,2\n"),
        (b"a,b\n1,2\n", {"header": None}, b"", b"a,b\n"),
        (b"1,2\n3,4\n", {"names": ["x", "y"]}, b"", b"1,2\n"),
        (b"x\ny\na,b\n1,2\n", {"skiprows": 2}, b"x\ny\na,b\n", b"1,2\n"),
        (b"x\ny\na,b\n1,2\n", {"header": 2}, b"x\ny\na,b\n", b"1,2\n"),
        (b"\n# no\na,b\n\n1,2\n", {"comment": "#"}, b"\n# no\na,b\n\n", b"1,2\n"),
        (b'"a\n",b\n"1\n",2\n3,4\n', {}, b'"a\n",b\n', b'"1\n",2\n'),
        (b"p,q\na,b\n1,2\n3,4\n", {"header": [0, 1]}, b"p,q\na,b\n", b"1,2\n"),
        (b"junk\n" * 100 + b"a\n1\n2\n", {"skiprows": 100}, b"junk\n" * 100 + b"a\n", b"1\n"),
    ],
)
def test_header_and_first_record(head, keywords, header, first):
    found = find_preamble(head, tuple(keywords.items()), Dialect(quoted=True))
    assert found.data[: found.header_size] == header
    assert found.data[found.header_size :] == first
    assert found.rows == 1


def test_no_record():
    found = find_preamble(b"a,b\n", (), Dialect())
    assert (found.header_size, found.rows) == (4, 0)
    assert find_preamble(b"", (), Dialect()).rows == 0


def test_lines_that_end_in_two_ways_may_be_two_rows():
    assert find_preamble(b"a\n1\r2\n3\n", (), Dialect()).rows == 2


@pytest.mark.parametrize(
    ("data", "budget", "head"),
    [
        (b"a\nbb\nccc\n", 6, b"a\nbb\n"),
        (b"a\nbb", 10, b"a\nbb"),
        (b'a\n"b\nb"\nc\n', 6, b"a\n"),
        (b'a\n"b\nb"\nc\n', 8, b'a\n"b\nb"\n'),
        (b"aaaaaa\n", 3, b""),
    ],
)
def test_whole_records_within_a_budget(tmp_path, data, budget, head):
    (tmp_path / "a.csv").write_bytes(data)
    (file,) = resolve(tmp_path / "a.csv")
    assert read_head(file, Dialect(), budget) == head
