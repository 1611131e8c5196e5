from __future__ import annotations

import pytest

from nbscale.dataframe.read.csv_records import PIECE, Records, read_block
from nbscale.dataframe.read.csv_split import Dialect, QuotesMet, plan_blocks
from nbscale.dataframe.read.files import resolve

LINES = b"".join(b"%d,x\n" % i for i in range(200_000))


def test_pieces_are_the_records(tmp_path):
    (tmp_path / "a.csv").write_bytes(LINES)
    (file,) = resolve(tmp_path / "a.csv")
    blocks = plan_blocks(file, Dialect(), 700_000)
    read = [read_block(b, Dialect()) for b in blocks]
    assert b"".join(r.data for r in read) == LINES
    assert [r.offset for r in read[1:]] == [r.offset + r.size for r in read[:-1]]
    assert all(len(p) <= PIECE for r in read for p in r.pieces())
    assert all(r.held is None for r in read)


def test_a_remote_block_is_one_request(counting):
    counting.write("/a.csv", LINES)
    (file,) = resolve("counting:///a.csv")
    blocks = plan_blocks(file, Dialect(), 700_000)
    counting.fetched.clear()
    read = [read_block(b, Dialect()) for b in blocks]
    assert b"".join(r.data for r in read) == LINES
    assert counting.fetched["/a.csv"] <= len(LINES) + len(blocks) * 70_000


@pytest.mark.parametrize("protocol", ["file", "counting"])
def test_a_forbidden_quote_is_met_while_reading(tmp_path, counting, protocol):
    data = LINES + b'1,"x"\n'
    (tmp_path / "a.csv").write_bytes(data)
    counting.write("/a.csv", data)
    (file,) = resolve(tmp_path / "a.csv" if protocol == "file" else "counting:///a.csv")
    *good, bad = plan_blocks(file, Dialect(), 700_000)
    for block in good:
        assert read_block(block, Dialect()).data
    with pytest.raises(QuotesMet):
        list(read_block(bad, Dialect()).pieces())


def test_records_in_memory(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"")
    (file,) = resolve(tmp_path / "a.csv")
    records = Records.of(file, 7, LINES)
    assert records.data == LINES
    assert (records.offset, records.size) == (7, len(LINES))
    assert max(map(len, records.pieces())) == PIECE
