"""Cut a CSV file in ranges of bytes that hold whole records, quoted line breaks and all.

Where to cut is arithmetic: nothing is read for it. Which records belong to a range is found when it
is read: those that *start* in it. A record starts after a line break outside quotes, so whoever reads
a range must know whether it begins inside quotes. Two plans give the answer:

*One pass*, while no quote has been seen: ranges begin outside quotes, and a range that meets a quote
raises ``QuotesMet``. *Two passes*, once quotes are known: ``scan_quotes`` says for each range how it
ends if it begins outside and if it begins inside quotes; ``start_states`` folds that along each file;
then each range is read knowing its beginning. Both are exact: a quote opens a field only at the
field's start, as in pandas' C parser, so a stray quote (``5" pipe``) is text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbscale.dataframe.read.files import SourceFile, compression_of, read_range
from nbscale.record import record

__all__ = [
    "MAX_READ",
    "READ_BEYOND",
    "Block",
    "Dialect",
    "QuotesMet",
    "after_run",
    "can_cut",
    "end_state",
    "find_record_start",
    "mark_size",
    "plan_blocks",
    "positions_of",
    "quote_parity",
    "scan_quotes",
    "start_states",
]

READ_BEYOND = 1 << 16
MAX_READ = 1 << 26


class QuotesMet(Exception):
    """A range holds quotes that the one-pass plan did not expect. A signal, no error of the user's."""


@record
class Dialect:
    """What cutting needs to know of how the file is written.

    Attributes
    ----------
    separator
        The byte between fields.
    quote
        The byte around fields, or None if quotes mean nothing.
    quoted
        Whether quotes have been seen: then two passes are needed.
    whole
        Why files cannot be cut at all, or an empty text.
    whole_if_quoted
        Why files with quotes cannot be cut, or an empty text.
    compression
        As given to ``read_csv``.
    """

    separator: bytes = b","
    quote: bytes | None = b'"'
    quoted: bool = False
    whole: str = ""
    whole_if_quoted: str = ""
    compression: Any = "infer"

    @property
    def two_pass(self) -> bool:
        """Whether ranges must be scanned for quotes before they are read."""
        return self.quoted and self.quote is not None and not self.stays_whole

    @property
    def stays_whole(self) -> str:
        """Why a file is read in one piece, or an empty text."""
        return self.whole or (self.whole_if_quoted if self.quoted else "")


@record
class Block:
    """The records of a file that start in bytes ``start .. stop-1``.

    ``stop`` is None for a whole file. ``first`` blocks hold the header.
    """

    file: SourceFile
    start: int
    stop: int | None

    @property
    def first(self) -> bool:
        """Whether the block begins the file."""
        return self.start == 0

    @property
    def whole(self) -> bool:
        """Whether the block is the file."""
        return self.stop is None


def plan_blocks(
    file: SourceFile, dialect: Dialect, blocksize: int | None, data_start: int = 0
) -> tuple[Block, ...]:
    """Cut a file in blocks of about ``blocksize`` bytes, without reading it.

    Parameters
    ----------
    file
        The file.
    dialect
        How it is written. What cannot be cut (compressed, escaped, ...) gives one block.
    blocksize
        Bytes, or None for one block a file.
    data_start
        Bytes up to the first record, which the first block must hold.

    Examples
    --------
    >>> [(b.start, b.stop) for b in plan_blocks(SourceFile("a.csv", 100), Dialect(), 30)]
    [(0, 33), (33, 66), (66, 100)]
    """
    size = file.size
    if size is None or blocksize is None or not can_cut(file, dialect):
        return (Block(file, 0, None),)
    n = max(1, round(size / blocksize))
    cuts = sorted({max(i * size // n, data_start if i else 0) for i in range(n)})
    cuts = [c for c in cuts if c < size] or [0]
    return tuple(Block(file, a, b) for a, b in zip(cuts, [*cuts[1:], size], strict=True))


def can_cut(file: SourceFile, dialect: Dialect) -> bool:
    """Whether a file may be read in several pieces: as it is written, and not compressed."""
    compressed = compression_of(file, dialect.compression) is not None
    return not (dialect.whole or compressed or file.size is None)


def quote_parity(data: bytes, quote: bytes = b'"') -> int:
    """Count quotes, modulo two.

    Examples
    --------
    >>> quote_parity(b'a,"b""c",d'), quote_parity(b'"a')
    (0, 1)
    """
    return len(positions_of(np.frombuffer(data, np.uint8), quote)) % 2


def positions_of(view: np.ndarray, byte: bytes) -> np.ndarray:
    """Where a byte occurs; in slices that stay in the processor's cache."""
    step = 1 << 18
    found = [np.flatnonzero(view[i : i + step] == byte[0]) + i for i in range(0, len(view), step)]
    return np.concatenate(found) if found else np.empty(0, np.intp)


def end_state(view: np.ndarray, quotes: np.ndarray, dialect: Dialect, *, inside: bool) -> bool:
    """Whether a range ends inside quotes, given how it begins and where its quotes are.

    Quotes alternate between opening and closing (a doubled quote closes and opens) unless one that
    should open stands within a field, where it is text. Only then they are walked one by one.
    """
    fits = _opens(view, quotes[1 if inside else 0 :: 2], dialect, doubled=True)
    if fits.all():
        return bool((len(quotes) + inside) % 2)
    can_open = _opens(view, quotes, dialect, doubled=False).tolist()
    closed_at = -2
    for position, opens in zip(quotes.tolist(), can_open, strict=True):
        if inside:
            inside, closed_at = False, position
        elif opens or closed_at == position - 1:
            inside = True
    return inside


def _opens(
    view: np.ndarray, positions: np.ndarray, dialect: Dialect, *, doubled: bool
) -> np.ndarray:
    """Which quotes stand at the start of a field, or right after the quote that closed it."""
    before = view[np.maximum(positions - 1, 0)]
    starts = (before == dialect.separator[0]) | (before == 10) | (before == 13)
    starts |= positions == 0
    if doubled and dialect.quote is not None:
        starts |= before == dialect.quote[0]
    return starts


def scan_quotes(block: Block, dialect: Dialect) -> tuple[bool, bool]:
    """Say how a block ends: inside quotes, if it begins outside; and if it begins inside.

    Reads the block in pieces of 64 MB at most; about a gigabyte a second.
    """
    if block.stop is None or dialect.quote is None:
        return (False, False)
    outside, inside = False, True
    size = block.file.size or 0
    for start in range(block.start, block.stop, MAX_READ):
        stop = min(block.stop, start + MAX_READ)
        base = max(start - 1, 0)
        data = read_range(block.file, base, min(stop + READ_BEYOND, size))
        begin = after_run(data, start - base, dialect.quote) if start else mark_size(data)
        end = after_run(data, stop - base, dialect.quote)
        view = np.frombuffer(data, np.uint8)
        quotes = positions_of(view[begin:end], dialect.quote) + begin
        if not start:
            view, quotes = view[begin:], quotes - begin
        outside = end_state(view, quotes, dialect, inside=outside)
        inside = end_state(view, quotes, dialect, inside=inside)
    return outside, inside


def after_run(data: bytes, position: int, quote: bytes) -> int:
    """Where the run of quotes ends that a cut goes through: all of it belongs to the left.

    So a doubled quote is never cut in two, and each side can tell what its quotes mean.
    """
    if data[position - 1 : position] == quote:
        while data[position : position + 1] == quote:
            position += 1
    return position


def mark_size(data: bytes) -> int:
    """Bytes of the mark of UTF-8 at the beginning of a file, if there is one."""
    return 3 if data.startswith(b"\xef\xbb\xbf") else 0


def start_states(blocks: Sequence[Block], ends: Sequence[tuple[bool, bool]]) -> tuple[bool, ...]:
    """Fold what ``scan_quotes`` found: which blocks begin inside quotes.

    Examples
    --------
    >>> file = SourceFile("a.csv", 90)
    >>> blocks = plan_blocks(file, Dialect(), 30) + plan_blocks(file, Dialect(), 90)
    >>> start_states(blocks, [(True, False), (True, False), (False, True), (False, True)])
    (False, True, False, False)
    """
    states: list[bool] = []
    inside = False
    for block, (if_outside, if_inside) in zip(blocks, ends, strict=True):
        inside = False if block.first else inside
        states.append(inside)
        inside = if_inside if inside else if_outside
    return tuple(states)


def find_record_start(
    data: bytes, position: int, inside: bool, dialect: Dialect, *, last: bool = True
) -> int | None:
    r"""Find where the next record starts: after the next line break outside quotes.

    Parameters
    ----------
    data
        Bytes of the file.
    position
        Where to begin to look.
    inside
        Whether ``position`` is inside quotes.
    dialect
        How the file is written.
    last
        Whether the file ends with ``data``: then the end is found if there is no line break.

    Returns
    -------
    int or None
        Index into ``data``; None if more bytes are needed to tell.

    Examples
    --------
    >>> data = b'a,"b\nc"\nd,e\n'
    >>> find_record_start(data, 0, False, Dialect()), find_record_start(data, 4, True, Dialect())
    (8, 8)
    """
    end = len(data) if last else None
    quote = dialect.quote
    while True:
        if inside and quote is not None:
            position = data.find(quote, position)
            if position < 0 or (position + 1 == len(data) and not last):
                return end
            doubled = data[position + 1 : position + 2] == quote
            inside, position = doubled, position + 1 + doubled
            continue
        newline = data.find(b"\n", position)
        stop = len(data) if newline < 0 else newline
        opener = -1 if quote is None else _find_opener(data, position, stop, quote, dialect)
        if opener < 0:
            return newline + 1 if newline >= 0 else end
        inside, position = True, opener + 1


def _find_opener(data: bytes, start: int, stop: int, quote: bytes, dialect: Dialect) -> int:
    position = data.find(quote, start, stop)
    starts = dialect.separator + b"\n\r"
    while position > 0 and data[position - 1] not in starts:
        position = data.find(quote, position + 1, stop)
    return position
