"""The beginning of a CSV file: its first whole records, and how many of them are the header."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pandas as pd

from nbscale.dataframe.read.csv_split import Dialect, find_record_start
from nbscale.dataframe.read.files import SourceFile, read_range

__all__ = ["find_preamble", "read_head"]


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


def find_preamble(
    head: bytes, keywords: Sequence[tuple[str, Any]], dialect: Dialect
) -> tuple[int, int]:
    r"""Find where the header ends, and where the first record after it ends: by asking pandas.

    Returns
    -------
    tuple of int
        Both equal to the length of ``head`` if there is no record in it.

    Examples
    --------
    >>> find_preamble(b"a,b\n1,2\n3,4\n", (), Dialect())
    (4, 8)
    """
    ends = [0]
    while ends[-1] < len(head):
        end = find_record_start(head, ends[-1], False, dialect)
        ends.append(len(head) if end is None else end)
    asked = {k: v for k, v in keywords if k in _STRUCTURE}

    def has_rows(count: int) -> bool:
        try:
            return bool(len(pd.read_csv(io.BytesIO(head[: ends[count]]), dtype=str, **asked)))
        except (ValueError, pd.errors.ParserError):
            return False

    high = 1
    while high < len(ends) and not has_rows(high):
        high *= 2
    low, high = high // 2, min(high, len(ends) - 1)
    if not has_rows(high):
        return len(head), len(head)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if has_rows(middle) else (middle, high)
    return ends[high - 1], ends[high]


_STRUCTURE = frozenset(
    "sep header names index_col skiprows skip_blank_lines comment quotechar quoting doublequote "
    "skipinitialspace encoding encoding_errors on_bad_lines engine lineterminator".split()
)
