"""The beginning of a CSV file: its first whole records, and how many of them are the header."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pandas as pd

from nbscale.dataframe.read.csv_split import Dialect, find_record_start
from nbscale.dataframe.read.files import SourceFile, read_range
from nbscale.record import record

__all__ = ["Preamble", "find_preamble", "read_head"]


def read_head(file: SourceFile, dialect: Dialect, budget: int) -> bytes:
    """The first records of a file, whole ones only, of at most so many bytes."""
    size = file.size or 0
    head = read_range(file, 0, min(budget, size))
    if len(head) >= size:
        return head
    if dialect.quote is None or dialect.quote not in head:
        return head[: head.rfind(b"\n") + 1]
    end = 0
    while (found := find_record_start(head, end, False, dialect, last=False)) is not None:
        end = found
    return head[:end]


@record
class Preamble:
    """The beginning of a file.

    Attributes
    ----------
    data
        Header and first record, as bytes.
    header_size
        Bytes of the header alone.
    rows
        Rows that pandas makes of it: one, or more if lines end in several ways; 0 without a record.
    """

    data: bytes
    header_size: int
    rows: int


def find_preamble(head: bytes, keywords: Sequence[tuple[str, Any]], dialect: Dialect) -> Preamble:
    r"""Find where the header ends, and where the first record after it ends: by asking pandas.

    Examples
    --------
    >>> find_preamble(b"a,b\n1,2\n3,4\n", (), Dialect())
    Preamble(data=b'a,b\n1,2\n', header_size=4, rows=1)
    """
    ends = [0]
    while ends[-1] < len(head):
        end = find_record_start(head, ends[-1], False, dialect)
        ends.append(len(head) if end is None else end)
    asked = {k: v for k, v in keywords if k in _STRUCTURE}

    def rows(count: int) -> int:
        try:
            return len(pd.read_csv(io.BytesIO(head[: ends[count]]), dtype=str, **asked))
        except (ValueError, pd.errors.ParserError):
            return 0

    high = 1
    while high < len(ends) and not rows(high):
        high *= 2
    low, high = high // 2, min(high, len(ends) - 1)
    if not rows(high):
        return Preamble(head, len(head), 0)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if rows(middle) else (middle, high)
    data = head[: ends[high]]
    ended = data if data.endswith(b"\n") else data + b"\n"
    return Preamble(ended, ends[high - 1], rows(high))


_STRUCTURE = frozenset(
    "sep header names index_col skiprows skip_blank_lines comment quotechar quoting doublequote "
    "skipinitialspace encoding encoding_errors on_bad_lines engine lineterminator".split()
)
