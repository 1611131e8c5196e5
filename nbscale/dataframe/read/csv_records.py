"""The records of a block, as bytes: where they begin and end in the file, read when asked for.

Of a local file without quotes only the surroundings of both ends are read to find them; the records
themselves go to the parser in pieces that stay in the processor's cache, and never lie in memory as a
whole. What comes over a network, or must be searched for quotes, is fetched in one request.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from nbscale.dataframe.read.csv_split import (
    MAX_READ,
    READ_BEYOND,
    Block,
    Dialect,
    QuotesMet,
    after_run,
    end_state,
    find_record_start,
    mark_size,
    positions_of,
)
from nbscale.dataframe.read.files import SourceFile, open_file, read_range
from nbscale.record import record

__all__ = ["PIECE", "Records", "read_block"]

PIECE = 1 << 18


@record
class Records:
    """Whole records of a file.

    Attributes
    ----------
    file
        The file.
    offset
        Where in the file they begin.
    size
        Bytes.
    held
        The bytes, or None if they are read when asked for.
    forbidden
        A quote that must not occur in what is read later, or no byte.
    """

    file: SourceFile
    offset: int
    size: int
    held: memoryview | None = None
    forbidden: bytes = b""

    @classmethod
    def of(cls, file: SourceFile, offset: int, data: bytes | memoryview) -> Records:
        """Records that are in memory."""
        return cls(file, offset, len(data), memoryview(data))

    @property
    def data(self) -> bytes:
        """All bytes."""
        return b"".join(self.pieces())

    def pieces(self) -> Iterator[bytes]:
        """The bytes, piece by piece.

        Raises
        ------
        QuotesMet
            If a piece holds the quote that was not expected.
        """
        if self.held is not None:
            for start in range(0, self.size, PIECE):
                yield bytes(self.held[start : start + PIECE])
            return
        with open_file(self.file) as handle:
            handle.seek(self.offset)
            left = self.size
            while left > 0:
                piece = handle.read(min(left, PIECE))
                if not piece:
                    raise OSError(f"{self.file.path!r} ended while it was read")
                if self.forbidden and self.forbidden in piece:
                    raise QuotesMet(self.file.path)
                left -= len(piece)
                yield piece


def read_block(
    block: Block,
    dialect: Dialect,
    inside: bool | None = None,
    data_start: int = 0,
) -> Records:
    """Read exactly the records that start in a block, beyond its end if the last one goes on.

    Parameters
    ----------
    block
        Which.
    dialect
        How the file is written.
    inside
        Whether the block begins inside quotes, by ``start_states``; None under the one-pass plan.
    data_start
        Bytes of header and first record: they belong to the first block.

    Raises
    ------
    QuotesMet
        Under the one-pass plan, if the block holds a quote.
    FileNotFoundError, SourceChanged
        If the file is no longer what was listed.

    Notes
    -----
    Without quotes a local file is read around both ends of the block only; else the block is read,
    and 64 kB more. Memory: nothing, or the block.
    """
    file = block.file
    if block.stop is None or (dialect.stays_whole and block.first):
        return Records.of(file, 0, read_range(file))
    start = block.start if block.first else max(block.start, data_start)
    stop = max(block.stop, data_start) if block.first else block.stop
    if start >= stop or dialect.stays_whole:
        return Records.of(file, start, b"")
    if inside is not None and dialect.quote is not None:
        return _cut_quoted(file, (start, stop), inside, dialect)
    forbidden = dialect.quote or b""
    if file.protocol == "file":
        first, end = _line_start(file, start), _line_start(file, stop)
        return Records(file, first, max(0, end - first), forbidden=forbidden)
    records = _cut_quoted(file, (start, stop), False, dataclasses.replace(dialect, quote=None))
    if forbidden and forbidden in records.data:
        raise QuotesMet(file.path)
    return records


def _line_start(file: SourceFile, position: int) -> int:
    """Where the first line at or after a position starts, or the file ends."""
    if position == 0:
        return 0
    position -= 1
    step = 1 << 12
    while data := read_range(file, position, position + step):
        found = data.find(b"\n")
        if found >= 0:
            return position + found + 1
        position += len(data)
        step = min(step * 4, MAX_READ)
    return position


def _cut_quoted(file: SourceFile, span: tuple[int, int], inside: bool, dialect: Dialect) -> Records:
    """Read the records that start in a span of a file; on, while the last of them goes on."""
    size = file.size or 0
    base = max(span[0] - 1, 0)
    stop = span[1] - base
    data = read_range(file, base, min(span[1] + READ_BEYOND, size))
    first = _first_start(data, span[0] - base, inside, dialect, last=True)
    if first is None or first >= stop:
        # The record that covers the beginning started earlier, and covers all of this.
        return Records.of(file, span[1], b"")
    at_stop = _state_at(data, first, stop, dialect)
    step = READ_BEYOND
    while True:
        end = _first_start(data, stop, at_stop, dialect, last=base + len(data) >= size)
        if end is not None:
            return Records.of(file, base + first, memoryview(data)[first:end])
        more = base + len(data)
        data += read_range(file, more, min(more + step, size))
        step = min(step * 2, MAX_READ)


def _first_start(
    data: bytes, position: int, inside: bool, dialect: Dialect, *, last: bool
) -> int | None:
    """Where the first record at or after a position starts."""
    if position == 0 or (not inside and data[position - 1 : position] == b"\n"):
        return position
    if dialect.quote is not None:
        position = after_run(data, position, dialect.quote)
    return find_record_start(data, position, inside, dialect, last=last)


def _state_at(data: bytes, first: int, stop: int, dialect: Dialect) -> bool:
    """Whether position ``stop`` is inside quotes, seen from where a record starts."""
    quote = dialect.quote
    if quote is None or data.find(quote, first, stop) < 0:
        return False
    if first == 0:
        first = mark_size(data)
    view = np.frombuffer(data, np.uint8)[first : after_run(data, stop, quote)]
    return end_state(view, positions_of(view, quote), dialect, inside=False)
