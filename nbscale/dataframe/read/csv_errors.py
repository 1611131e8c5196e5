"""Say where in a CSV file something is wrong: file, line, byte, and the text that is there."""

from __future__ import annotations

import re
from collections.abc import Hashable

import pandas as pd

from nbscale.dataframe.read.csv_records import Records
from nbscale.dataframe.read.csv_split import Dialect, find_record_start
from nbscale.dataframe.read.files import SourceFile, read_range
from nbscale.record import record

__all__ = ["Misfit", "explain", "locate_misfit"]

_LINE = re.compile(r"in line (\d+)")
_SHOWN = 120
_FAR = 1 << 28


@record
class Misfit:
    """A column that holds more than was planned.

    Attributes
    ----------
    column
        Its name.
    planned
        The state planned.
    found
        The state that fits the plan and the block.
    row
        The first row of the block that does not fit, or -1.
    value
        What stands there.
    offset
        The byte of the file where its record begins.
    path
        The file.
    """

    column: Hashable
    planned: str
    found: str
    row: int
    value: str
    offset: int
    path: str

    def __str__(self) -> str:
        return (
            f"column {self.column!r} was taken for {self.planned} by its sample; {self.value!r} at "
            f"byte {self.offset:,} of {self.path!r} makes it {self.found}"
        )


def locate_misfit(
    text: pd.Series, about: tuple[Hashable, str, str], records: Records, dialect: Dialect
) -> Misfit:
    """Find the first value of a column, read as text, that does not fit the plan."""
    column, planned, found = about
    missing = text.isna()
    if planned in ("null", "nat"):
        wrong = ~missing
    elif planned in ("bool", "bool?"):
        wrong = ~text.str.lower().isin(["true", "false"]) & ~(missing & (planned == "bool?"))
    elif planned.startswith("datetime64"):
        wrong = pd.to_datetime(text, errors="coerce", format="mixed").isna() & ~missing
    else:
        number = pd.to_numeric(text, errors="coerce")
        wrong = number.isna() & ~missing
        if planned != "float64":
            wrong |= missing | text.str.contains(r"[.eE]", na=False)
    rows = wrong.to_numpy().nonzero()[0]
    row = int(rows[0]) if len(rows) else -1
    value = "" if row < 0 or missing.iloc[row] else str(text.iloc[row])[:_SHOWN]
    offset = records.offset + (_offset_of(records, row, dialect) if row >= 0 else 0)
    return Misfit(column, planned, found, row, value, offset, records.file.path)


def _offset_of(records: Records, number: int, dialect: Dialect) -> int:
    """Where a record begins, counted from 0, in its block."""
    data = records.data
    position = 0
    for _ in range(number):
        found = find_record_start(data, position, False, dialect)
        if found is None or found >= len(data):
            break
        position = found
    return position


def explain(error: Exception, records: Records, dialect: Dialect, preamble: bytes) -> Exception:
    """The same error with the place in the file and what to do in its message."""
    file = records.file
    match = _LINE.search(str(error))
    if match is None:
        where = f"in {file.path!r}, bytes {records.offset:,} and on"
        return _like(error, f"{str(error).strip()} ({where})")
    line = int(match[1]) - 1
    skipped = _count_records(preamble, dialect)
    position = _offset_of(records, max(0, line - skipped), dialect)
    data = bytes(records.data[position : position + 4 * _SHOWN])
    text = data.splitlines()[0].decode("utf-8", "replace") if data.strip() else ""
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
    offset = records.offset + position
    lines = _line_number(file, offset)
    what = _LINE.sub(f"in line {lines}" if lines else "in a line", str(error).strip())
    return _like(
        error,
        f"{what}: {file.path!r}, byte {offset:,}: {shown!r}. Mend the line, or leave such lines "
        f"out with on_bad_lines='skip'",
    )


def _like(error: Exception, message: str) -> Exception:
    """An error of the same type with another message, if its type takes one."""
    try:
        return type(error)(message)
    except TypeError:
        error.add_note(message)
        return error


def _count_records(data: bytes, dialect: Dialect) -> int:
    count = position = 0
    while position < len(data):
        position = find_record_start(data, position, False, dialect) or len(data)
        count += 1
    return count


def _line_number(file: SourceFile, offset: int) -> int:
    """The line of a byte, counted from 1; 0 where counting would mean to fetch very much."""
    if file.protocol != "file" and offset > _FAR:
        return 0
    lines, step = 1, 1 << 24
    for start in range(0, offset, step):
        lines += read_range(file, start, min(offset, start + step)).count(b"\n")
    return lines
