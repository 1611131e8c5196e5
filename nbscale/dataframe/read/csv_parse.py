"""Parse one block of a CSV file by pandas' own parser, as if it stood in its place in the file.

A block that does not begin its file is parsed behind the *preamble*: the header as it stands in the
file, and the first record, which is dropped again. So pandas itself decides what it decided for the
whole file: names, how many fields a record has, which format the dates have.

Dtypes are what pandas finds in the block, never forced: forced to integers it would take ``5.0`` or
``True`` for one. What is narrower than planned is made wider, by the text where that matters; what is
wider is a ``Misfit`` that the planner answers.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nbscale.dataframe.read.csv_dtype import coerce, join, state_of
from nbscale.dataframe.read.csv_errors import Misfit, explain, locate_misfit
from nbscale.dataframe.read.csv_form import CsvForm, narrowed
from nbscale.dataframe.read.csv_head import find_preamble, read_head
from nbscale.dataframe.read.csv_records import PIECE, Records, read_block
from nbscale.dataframe.read.csv_split import (
    Block,
    can_cut,
)
from nbscale.dataframe.read.files import SourceFile, compression_for, read_range

__all__ = ["CsvForm", "parse_block", "read_csv_block"]

# pandas warns of columns that look different in parts of a block; here they are parsed once more.
warnings.filterwarnings("ignore", category=pd.errors.DtypeWarning, module=__name__)


class _Stream:
    """A file for pandas' parser: the preamble, then the records, piece by piece.

    It is no ``io`` class, so pandas hands its bytes to the parser as they are. Counts separators on
    the way, if asked to, while a piece is in the processor's cache.
    """

    def __init__(self, preamble: bytes, records: Records, separator: bytes = b"") -> None:
        self._pieces = records.pieces()
        self._left = memoryview(preamble)
        self._separator = separator
        self.separators = 0

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes; none at the end."""
        if not self._left:
            piece = next(self._pieces, b"")
            if self._separator:
                view = np.frombuffer(piece, np.uint8)
                self.separators += int(np.count_nonzero(view == self._separator[0]))
            if size < 0 or len(piece) <= size:
                return piece
            self._left = memoryview(piece)
        taken = bytes(self._left[:size] if size >= 0 else self._left)
        self._left = self._left[len(taken) :]
        return taken

    def __iter__(self) -> _Stream:
        return self

    def __next__(self) -> bytes:
        data = self.read(PIECE)
        if not data:
            raise StopIteration
        return data


def read_csv_block(
    block: Block,
    form: CsvForm,
    columns: Sequence[Hashable] | None = None,
    inside: bool | None = None,
) -> tuple[pd.DataFrame, tuple[Misfit, ...]]:
    """Read and parse one block.

    Parameters
    ----------
    block
        Which.
    form
        How to.
    columns
        Names of the columns wanted, or None for all.
    inside
        Whether the block begins inside quotes; None under the one-pass plan.

    Returns
    -------
    DataFrame
        The records that start in the block, numbered from 0 if there is no index column.
    tuple of Misfit
        Columns that hold more than planned. They come as found; the form must be widened.

    Raises
    ------
    QuotesMet
        Under the one-pass plan, if the block holds a quote.
    pandas.errors.ParserError
        For a record with too many fields: says where.
    ValueError
        If the file has other columns than planned.

    Notes
    -----
    One read of the block's bytes, one pass of pandas' parser over them. Memory: the block's bytes
    and the columns wanted.
    """
    form = _form_of_file(block, form)
    records = read_block(block, form.dialect, inside, form.header_size)
    with_preamble = not (block.first or block.whole)
    return parse_block(records, form, columns, behind_preamble=with_preamble)


def _form_of_file(block: Block, form: CsvForm) -> CsvForm:
    """The form with the header that this file has."""
    if block.whole or form.dialect.stays_whole or (block.first and not form.header_size):
        return form
    size = form.header_size
    if not size or read_range(block.file, 0, size) == form.preamble[:size]:
        return form
    head = read_head(block.file, form.dialect, 1 << 20)
    return form.behind(find_preamble(head, form.keywords, form.dialect))


def parse_block(
    records: Records,
    form: CsvForm,
    columns: Sequence[Hashable] | None = None,
    *,
    behind_preamble: bool = False,
    low_memory: bool = True,
) -> tuple[pd.DataFrame, tuple[Misfit, ...]]:
    """Parse records; see ``read_csv_block``."""
    source = _Source(records, form, behind_preamble, all_wanted=columns is None)
    wanted = [c for c in form.columns if columns is None or c in columns or c in form.index]
    names = wanted or list(form.columns[:1])
    parsed = source.parse(names, low_memory=low_memory)
    if not len(parsed) and form.preamble and not behind_preamble:
        # A header alone tells nothing of dtypes; the first record does.
        nothing = Records.of(records.file, records.offset, b"")
        source = _Source(nothing, form, behind_preamble=True, all_wanted=columns is None)
        parsed = source.parse(names)
    parts: dict[Hashable, pd.Series] = {}
    misfits: list[Misfit] = []
    unclear: list[Hashable] = []
    for name in wanted:
        state = form.state(name)
        if state == "given" or str(parsed[name].dtype) == state != "object":
            continue
        found = state_of(parsed[name])
        part = coerce(parsed[name], found, state) if join(found, state) == state else None
        if part is None:
            unclear.append(name)
        else:
            parts[name] = part
    if unclear:
        misfits = _look_closer(source, unclear, parts)
    if parts:
        parsed = pd.DataFrame({c: parts.get(c, parsed[c]) for c in wanted}, index=parsed.index)
    if form.index:
        parsed = parsed.set_index(list(form.index))
        parsed.index.names = list(form.index_names)
    chosen = [c for c in form.columns if (columns is None or c in columns) and c not in form.index]
    if list(parsed.columns) != chosen:
        parsed = parsed[chosen]
    return parsed, tuple(misfits)


def _look_closer(
    source: _Source, names: list[Hashable], parts: dict[Hashable, pd.Series]
) -> list[Misfit]:
    """Parse columns again, in one go; where they fit as text or number, put them into parts.

    In one go, because pandas' parser looks at a quarter of a megabyte at a time otherwise, and may
    find a number where the block as a whole is text.
    """
    form = source.form
    again = source.parse(names, low_memory=False)
    misfits: list[Misfit] = []
    told: dict[Hashable, str] = {}
    for name in names:
        state = form.state(name)
        found = state_of(again[name])
        whole = join(found, state)
        if whole == state == "uint64" and found == "int64" and (again[name] < 0).any():
            whole = "str"
        if whole != state:
            misfits.append(
                locate_misfit(source.text(name), (name, state, whole), source.records, form.dialect)
            )
            parts[name] = again[name]
            continue
        part = coerce(again[name], found, state)
        if part is None:
            told[name] = state
        else:
            parts[name] = part
    if told:
        parts.update(dict(source.parse(list(told), told=told).items()))
    return misfits


class _Source:
    """Records that can be parsed more than once."""

    def __init__(
        self, records: Records, form: CsvForm, behind_preamble: bool, all_wanted: bool
    ) -> None:
        self.form = form
        self.all_wanted = all_wanted
        self.file = records.file
        self.records = records
        self.preamble = form.preamble if behind_preamble else b""
        self.dropped = form.preamble_rows if behind_preamble else 0

    def text(self, name: Hashable) -> pd.Series:
        """A column as text, missing values as such."""
        return self.parse([name], told={name: "str"})[name]

    def parse(
        self,
        names: list[Hashable],
        *,
        low_memory: bool = True,
        told: dict[Hashable, str] | None = None,
    ) -> pd.DataFrame:
        """Parse some columns, all rows; ``told`` gives dtypes instead of letting pandas look."""
        keywords = dict(self.form.keywords)
        if keywords.get("engine") in (None, "c"):
            keywords["low_memory"] = low_memory
        told = {**self._dates_given_up(keywords), **(told or {})}
        if told:
            _tell(keywords, told)
        pushed = self.form.pushable and len(names) < len(self.form.columns)
        if pushed:
            keywords = narrowed(keywords, names)
        frame = self._read(keywords, checked=pushed)
        if self.dropped:
            frame = frame.iloc[self.dropped :]
            if isinstance(frame.index, pd.RangeIndex):
                frame.index = pd.RangeIndex(len(frame))
        extra = [c for c in frame.columns if c not in self.form.columns]
        if extra and self.all_wanted:
            raise ValueError(_other_columns(self.file, extra))
        if not all(n in frame.columns for n in names):
            return frame.reindex(columns=names)
        return frame if list(frame.columns) == names else frame[names]

    def _dates_given_up(self, keywords: dict[str, Any]) -> dict[Hashable, str]:
        """Columns that were to be dates and are known to be text: nobody need try again."""
        dates = keywords.get("parse_dates")
        if not isinstance(dates, (list, tuple)):
            return {}
        states = dict(zip(self.form.columns, self.form.states, strict=True))
        return {name: "str" for name in dates if states.get(name) == "str"}

    def _read(self, keywords: dict[str, Any], *, checked: bool = False) -> pd.DataFrame:
        stream = self._open(keywords, counted=checked)
        try:
            frame = pd.read_csv(stream, **keywords)
        except pd.errors.DtypeWarning:  # where the user turns warnings into errors
            return self._read({**keywords, "low_memory": False}, checked=checked)
        except ValueError as error:
            if checked and "Usecols do not match columns" in str(error):
                # This file lacks a column that others have: all of it is missing here.
                return self._read({k: v for k, v in keywords.items() if k != "usecols"})
            raise explain(error, self.records, self.form.dialect, self.preamble) from error
        if checked and isinstance(stream, _Stream):
            self._check_fields(stream.separators, len(frame))
        return frame

    def _open(self, keywords: dict[str, Any], *, counted: bool) -> Any:
        keywords["compression"] = None
        dialect = self.form.dialect
        if can_cut(self.file, dialect) and _is_utf8(keywords):
            count = counted and self.form.fields and not dialect.quoted
            return _Stream(self.preamble, self.records, dialect.separator if count else b"")
        if not can_cut(self.file, dialect):
            keywords["compression"] = compression_for(self.file, dialect.compression)
        return io.BytesIO(self.preamble + self.records.data)

    def _check_fields(self, separators: int, rows: int) -> None:
        """Find records with too many fields, which pandas lets pass when it parses some columns."""
        form = self.form
        if not self.preamble:
            separators -= form.preamble[: form.header_size].count(form.dialect.separator)
        if separators > max(0, rows - self.dropped) * (form.fields - 1):
            self._read(dict(form.keywords))


def _tell(keywords: dict[str, Any], told: dict[Hashable, str]) -> None:
    """Give pandas the dtypes of columns, and keep it from looking for dates in them."""
    given = keywords.get("dtype")
    keywords["dtype"] = {**given, **told} if isinstance(given, dict) else told
    dates = keywords.get("parse_dates")
    if isinstance(dates, (list, tuple)):
        keywords["parse_dates"] = [d for d in dates if d not in told]


def _is_utf8(keywords: dict[str, Any]) -> bool:
    encoding = keywords.get("encoding") or "utf-8"
    plain = str(encoding).lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig")
    return plain and keywords.get("encoding_errors", "strict") == "strict"


def _other_columns(file: SourceFile, extra: Sequence[Hashable]) -> str:
    return (
        f"{file.path!r} has columns {extra!r}, which the files looked at first do not have; "
        f"read such files apart and use concat, or choose columns by usecols="
    )
