from __future__ import annotations

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nbscale.dataframe.read.csv_records import read_block
from nbscale.dataframe.read.csv_split import (
    Block,
    Dialect,
    QuotesMet,
    find_record_start,
    plan_blocks,
    quote_parity,
    scan_quotes,
    start_states,
)
from nbscale.dataframe.read.files import SourceFile, resolve

PLAIN = Dialect()
QUOTED = Dialect(quoted=True)


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    folder = tmp_path_factory.mktemp("split")

    def make(data: bytes) -> SourceFile:
        (folder / "a.csv").write_bytes(data)
        return resolve(folder / "a.csv")[0]

    return make


def records_by_hand(data: bytes) -> list[bytes]:
    """One state for each byte, as pandas' tokenizer has it: the slow and plain way."""
    records, begin, state = [], 0, "start"
    for i, byte in enumerate(data):
        char = bytes([byte])
        if state == "quoted":
            state = "closed" if char == b'"' else "quoted"
        elif char == b"\n":
            records.append(data[begin : i + 1])
            begin, state = i + 1, "start"
        elif char == b'"' and state in {"start", "closed"}:
            state = "quoted"
        else:
            state = "start" if char in b",\r" else "in"
    return [*records, data[begin:]] if data[begin:] else records


def pieces(file: SourceFile, blocksize: int, dialect: Dialect) -> list[bytes]:
    blocks = plan_blocks(file, dialect, blocksize)
    if not dialect.two_pass:
        return [read_block(b, dialect).data for b in blocks]
    states = start_states(blocks, [scan_quotes(b, dialect) for b in blocks])
    return [read_block(b, dialect, s).data for b, s in zip(blocks, states, strict=True)]


TEXT = st.text(alphabet='a",\n\r', max_size=40).map(str.encode)


@given(data=TEXT, blocksize=st.integers(1, 9))
@example(data=b'a"",b\n"x""\n""y"\nq', blocksize=3)
@example(data=b'"""""\n\n",""\n', blocksize=1)
@example(data=b'a""\n"b\n', blocksize=2)
def test_two_passes_cut_where_the_tokenizer_does(write, data, blocksize):
    file = write(data)
    expected = records_by_hand(data)
    got = pieces(file, blocksize, QUOTED)
    assert b"".join(got) == data
    starts, offset = set(), 0
    for record in expected:
        starts.add(offset)
        offset += len(record)
    offset = 0
    for piece in got:
        assert not piece or offset in starts
        offset += len(piece)


@given(data=TEXT, blocksize=st.integers(1, 9))
def test_each_block_holds_the_records_that_start_in_it(write, data, blocksize):
    file = write(data)
    offset, expected = 0, {}
    blocks = plan_blocks(file, QUOTED, blocksize)
    for record in records_by_hand(data):
        (owner,) = [b for b in blocks if b.start <= offset < b.stop]
        expected[owner] = expected.get(owner, b"") + record
        offset += len(record)
    assert pieces(file, blocksize, QUOTED) == [expected.get(b, b"") for b in blocks]


@given(data=st.text(alphabet="ab,\n\r", max_size=40).map(str.encode), size=st.integers(1, 9))
def test_one_pass_without_quotes_equals_two(write, data, size):
    file = write(data)
    assert pieces(file, size, PLAIN) == pieces(file, size, QUOTED)


@given(data=TEXT.filter(lambda d: b'"' in d), size=st.integers(1, 9))
def test_one_pass_meets_every_quote(write, data, size):
    with pytest.raises(QuotesMet):
        pieces(write(data), size, PLAIN)


def test_a_record_longer_than_blocks_and_reads(write):
    data = b"h\n" + b"x" * 300_000 + b"\n" + b'"' + b"\n" * 200_000 + b'"\nlast'
    got = pieces(write(data), 50_000, QUOTED)
    assert b"".join(got) == data
    assert sorted(map(len, got))[-2:] == [200_003, 300_003]


def test_a_run_of_quotes_across_a_cut(write):
    data = b'"' + b'""' * 50 + b'"\nb\n'
    for size in range(1, len(data)):
        assert b"".join(pieces(write(data), size, QUOTED)) == data


def test_byte_order_mark_before_a_quote(write):
    data = b'\xef\xbb\xbf"a\n1","b"\n"c\n","d"\n'
    got = pieces(write(data), 8, QUOTED)
    assert [p for p in got if p] == [b'\xef\xbb\xbf"a\n1","b"\n', b'"c\n","d"\n']


def test_quotes_mean_nothing_under_quote_none(write):
    dialect = Dialect(quote=None, quoted=True)
    assert not dialect.two_pass
    got = pieces(write(b'a\n"b\nc\nd\n'), 5, dialect)
    assert [g.count(b"\n") for g in got] == [2, 2]


def test_what_cannot_be_cut_is_one_block(write):
    file = write(b"a\n1\n2\n")
    assert plan_blocks(file, Dialect(whole="it is escaped"), 1) == (Block(file, 0, None),)
    assert plan_blocks(file, PLAIN, None) == (Block(file, 0, None),)
    assert plan_blocks(SourceFile("a.csv.gz", 100), PLAIN, 1)[0].whole
    assert plan_blocks(SourceFile("http://x/a.csv", None), PLAIN, 1)[0].whole
    assert read_block(Block(file, 0, None), PLAIN).data == b"a\n1\n2\n"


def test_quotes_that_forbid_cutting_leave_all_to_the_first_block(write):
    file = write(b'a\n"1"\n2\n')
    dialect = Dialect(whole_if_quoted="comments may hold quotes")
    blocks = plan_blocks(file, dialect, 3)
    with pytest.raises(QuotesMet):
        [read_block(b, dialect).data for b in blocks]
    quoted = Dialect(whole_if_quoted="comments may hold quotes", quoted=True)
    assert not quoted.two_pass
    assert [read_block(b, quoted).data for b in blocks] == [
        b'a\n"1"\n2\n',
        *[b""] * (len(blocks) - 1),
    ]


def test_the_first_block_holds_the_header(write):
    data = b"long,header\n1,2\n3,4\n"
    file = write(data)
    blocks = plan_blocks(file, PLAIN, 5, data_start=16)
    assert [(b.start, b.stop) for b in blocks] == [(0, 16), (16, 20)]
    blocks = plan_blocks(file, PLAIN, 5)
    got = [read_block(b, PLAIN, data_start=16).data for b in blocks]
    assert got == [b"long,header\n1,2\n", b"", b"", b"3,4\n"]


def test_an_empty_file_is_one_empty_block(write):
    (block,) = plan_blocks(write(b""), PLAIN, 10)
    assert read_block(block, PLAIN).data == b""


@given(st.text(alphabet='a"', max_size=20).map(str.encode))
def test_parity(data):
    assert quote_parity(data) == data.count(b'"') % 2


def test_more_bytes_may_be_needed():
    assert find_record_start(b'"a"', 0, False, PLAIN, last=False) is None
    assert find_record_start(b'"a"', 0, False, PLAIN) == 3
    assert find_record_start(b"ab", 0, False, PLAIN, last=False) is None


@given(st.lists(st.lists(st.text(alphabet='ab",\n', max_size=5), min_size=2, max_size=2)))
def test_what_csv_writes_is_cut_between_rows(write, rows):
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    file = write(buffer.getvalue().encode())
    got = pieces(file, 7, QUOTED)
    read = [row for piece in got for row in csv.reader(io.StringIO(piece.decode(), newline=""))]
    assert read == rows
