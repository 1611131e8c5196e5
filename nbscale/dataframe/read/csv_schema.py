"""Learn from a few samples how CSV files are written and what their columns hold.

Samples are real rows: the beginnings of several files, and pieces from within them while no quote has
been seen (a piece that began inside quotes would be misread). Everything is asked of pandas: it reads
the samples with the user's own keywords, and what it says is joined over all of them. All files are
one whole: a column that is text in one of them is text in all, where a concat of frames read apart
would mix numbers with texts.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from nbscale.dataframe.read.csv_dtype import coerce, dtype_of, state_of
from nbscale.dataframe.read.csv_errors import Misfit, explain
from nbscale.dataframe.read.csv_form import Ask, CsvForm, form_of
from nbscale.dataframe.read.csv_head import find_preamble, read_head
from nbscale.dataframe.read.csv_keywords import check_keywords, dialect_of
from nbscale.dataframe.read.csv_parse import parse_block
from nbscale.dataframe.read.csv_records import Records
from nbscale.dataframe.read.csv_split import Dialect, can_cut
from nbscale.dataframe.read.files import SourceFile, compression_for, open_file, read_range
from nbscale.dataframe.read.parquet_file import looks_like_parquet
from nbscale.record import record

__all__ = ["CsvSchema", "sample_csv"]

_HEAD = 1 << 18
_LONG_HEAD = 1 << 20
_PIECE = 1 << 16
_PIECES = 6
_SAMPLE_ROWS = 100
_WHOLE_ROWS = 2_000


@record(eq=False)
class CsvSchema:
    """What the samples say.

    Attributes
    ----------
    form
        What a task needs to read a block: small, picklable.
    sample
        The first rows of the first file, with the dtypes of the whole; at most 100.
    categories
        Columns that the user wants as categories without naming these: read as text, to be made
        categories once all values are known.
    bytes_per_row
        Bytes of a record in the file.
    memory_per_byte
        Bytes in memory for each byte in the file, with all columns.
    """

    form: CsvForm
    sample: pd.DataFrame
    categories: tuple[Hashable, ...]
    bytes_per_row: float
    memory_per_byte: float

    @property
    def has_quotes(self) -> bool:
        """Whether the samples hold quotes."""
        return self.form.dialect.quoted

    @property
    def columns(self) -> tuple[Hashable, ...]:
        """Names of the columns, without the index."""
        return tuple(self.sample.columns)

    @property
    def dtypes(self) -> dict[Hashable, str]:
        """Dtypes of the columns, without the index."""
        return {name: str(dtype) for name, dtype in self.sample.dtypes.items()}

    def widened(self, misfits: Sequence[Misfit]) -> CsvSchema:
        """The schema with columns as wide as was found; the sample with them."""
        form = self.form.widened(misfits)
        sample = self.sample
        if self.form.index:
            names = list(self.form.index)
            sample = sample.reset_index(names=names)[list(self.form.columns)]
        return dataclasses.replace(self, form=form, sample=_conformed(sample, form))


def sample_csv(
    files: Sequence[SourceFile],
    keywords: Mapping[str, Any] | None = None,
    *,
    max_files: int = 8,
    quoted: bool = False,
) -> CsvSchema:
    r"""Look at the beginnings of some files, and into them, and say how to read them all.

    Parameters
    ----------
    files
        From ``resolve``.
    keywords
        As given to ``read_csv``, without the path.
    max_files
        How many files to look into: the first, the last and some between.
    quoted
        The data are known to hold quotes (``QuotesMet``), though the samples may not show them.

    Raises
    ------
    TypeError, ValueError
        For keywords that do not exist, or make no sense here.
    pandas.errors.EmptyDataError
        If a file looked into is empty.
    pandas.errors.ParserError
        If the samples cannot be parsed: says where.

    Notes
    -----
    Reads less than 1 MB a file, of at most ``max_files`` files.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from nbscale.dataframe.read.files import resolve
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.csv"
    >>> _ = path.write_text("name,value\nAda,1\nBob,2.5\n")
    >>> sample_csv(resolve(path)).dtypes
    {'name': 'str', 'value': 'float64'}
    """
    kept = check_keywords(keywords or {})
    dialect = dialect_of(kept)
    kept.pop("compression", None)
    chosen = _spread(files, max_files)
    first = chosen[0]
    if not can_cut(first, dialect):
        reason = dialect.whole or "it is compressed, or its size is unknown"
        return _of_whole_files(chosen, kept, dataclasses.replace(dialect, whole=reason))
    head = read_head(first, dialect, _HEAD) or read_head(first, dialect, _LONG_HEAD)
    if looks_like_parquet(head):
        raise ValueError(f"{first.path!r} is a parquet file: read it by read_parquet")
    others = {f: read_head(f, dialect, _PIECE) for f in chosen[1:] if can_cut(f, dialect)}
    quote = dialect.quote
    seen = quote is not None and any(quote in data for data in (head, *others.values()))
    dialect = dataclasses.replace(dialect, quoted=quoted or seen, whole=_why_whole(head, first))
    form, categories = (
        (None, ()) if dialect.whole else form_of(_asker(head, first, dialect), kept, dialect)
    )
    if form is None:
        reason = dialect.whole or "records have more fields than the header"
        return _of_whole_files(chosen, kept, dataclasses.replace(dialect, whole=reason))
    form = form.behind(find_preamble(head, tuple(kept.items()), dialect))
    form = _with_heads(form, {first: head, **others})
    form = _with_rows(form, [f for f in chosen if not can_cut(f, dialect)])
    form = form if form.dialect.quoted else _with_pieces(form, chosen)
    frame, _ = parse_block(Records.of(first, 0, head), form)
    return _schema(form, frame, len(head), categories)


def _schema(
    form: CsvForm, frame: pd.DataFrame, nbytes: int, categories: tuple[Hashable, ...]
) -> CsvSchema:
    return CsvSchema(
        form=form,
        sample=frame.iloc[:_SAMPLE_ROWS],
        categories=categories,
        bytes_per_row=nbytes / max(1, len(frame)),
        memory_per_byte=float(frame.memory_usage(deep=True).sum()) / max(1, nbytes),
    )


def _spread(files: Sequence[SourceFile], count: int) -> list[SourceFile]:
    """So many of the files, the first and the last among them."""
    if len(files) <= count:
        return list(dict.fromkeys(files))
    steps = max(1, count - 1)
    return list(dict.fromkeys(files[i * (len(files) - 1) // steps] for i in range(steps + 1)))


def _why_whole(head: bytes, file: SourceFile) -> str:
    """Why a file cannot be cut, seen from its beginning."""
    if not head and file.size:
        return "no record ends in the first megabyte"
    if b"\r" in head and b"\n" not in head:
        return "lines end in their own way"
    return ""


def _asker(data: bytes, file: SourceFile, dialect: Dialect) -> Ask:
    """Read bytes that are in memory, by pandas, with any keywords."""

    def ask(keywords: Mapping[str, Any]) -> pd.DataFrame:
        asked = dict(keywords)
        if asked.get("engine") in (None, "c"):
            asked["low_memory"] = False
        try:
            return pd.read_csv(io.BytesIO(data), **asked)
        except ValueError as error:
            raise explain(error, Records.of(file, 0, data), dialect, b"") from error

    return ask


def _with_heads(form: CsvForm, heads: Mapping[SourceFile, bytes]) -> CsvForm:
    """Join what the beginnings of files hold."""
    keywords = dict(form.keywords)
    for file, data in heads.items():
        if data or not file.size:
            form = form.joined(_asker(data, file, form.dialect)(keywords))
    return form


def _with_pieces(form: CsvForm, files: Sequence[SourceFile]) -> CsvForm:
    """Join what pieces from within files hold: some from each, more if there are few."""
    each = max(2, _PIECES // len(files))
    quote = form.dialect.quote
    for file in files:
        size = file.size or 0
        if not can_cut(file, form.dialect) or size < 4 * _PIECE or not _same_header(file, form):
            continue
        for i in range(1, each + 1):
            start = (size - _PIECE) * i // each
            data = read_range(file, start, start + _PIECE)
            data = data[data.find(b"\n") + 1 : data.rfind(b"\n") + 1]
            if quote is not None and quote in data:
                quoted = dataclasses.replace(form.dialect, quoted=True)
                return dataclasses.replace(form, dialect=quoted)
            form = _with_piece(form, file, data)
    return form


def _same_header(file: SourceFile, form: CsvForm) -> bool:
    size = form.header_size
    return not size or read_range(file, 0, size) == form.preamble[:size]


def _with_piece(form: CsvForm, file: SourceFile, data: bytes) -> CsvForm:
    as_found = dataclasses.replace(
        form, states=("given",) * len(form.columns), index=(), index_names=()
    )
    try:
        frame, _ = parse_block(
            Records.of(file, 0, data), as_found, behind_preamble=True, low_memory=False
        )
    except ValueError:
        return form  # not lost: whoever reads these records will be told
    return form.joined(frame)


def _of_whole_files(
    files: Sequence[SourceFile], keywords: dict[str, Any], dialect: Dialect
) -> CsvSchema:
    """Look at the first rows of files that are read in one piece each."""
    form, categories = form_of(_row_asker(files[0], dialect), keywords, dialect)
    assert form is not None
    form = _with_rows(form, files)
    frame = _row_asker(files[0], dialect)(dict(form.keywords))
    # Bytes in a compressed file are not comparable; text of about the size of the values is.
    nbytes = int(frame.memory_usage(deep=True).sum())
    return _schema(form, _conformed(frame, form), nbytes, categories)


def _with_rows(form: CsvForm, files: Sequence[SourceFile]) -> CsvForm:
    for file in files:
        form = form.joined(_row_asker(file, form.dialect)(dict(form.keywords)))
    return form


def _row_asker(file: SourceFile, dialect: Dialect) -> Ask:
    """Read the first rows of a file that cannot be cut, by pandas, with any keywords."""

    def ask(keywords: Mapping[str, Any]) -> pd.DataFrame:
        asked = dict(keywords)
        if not asked.get("skipfooter") and asked.get("engine") != "pyarrow":
            wanted = asked.get("nrows")
            asked["nrows"] = _WHOLE_ROWS if wanted is None else min(wanted, _WHOLE_ROWS)
        compression = compression_for(file, dialect.compression)
        with open_file(file) as handle:
            try:
                return pd.read_csv(handle, compression=compression, **asked)
            except ValueError as error:
                raise explain(error, Records.of(file, 0, b""), dialect, b"") from error

    return ask


def _conformed(frame: pd.DataFrame, form: CsvForm) -> pd.DataFrame:
    """Sample rows with the dtypes of the whole, and their index."""
    columns: dict[Hashable, pd.Series] = {}
    for name, state in zip(form.columns, form.states, strict=True):
        column = frame[name] if name in frame.columns else pd.Series(float("nan"), frame.index)
        if state != "given":
            fitting = coerce(column, state_of(column), state)
            column = column.astype(dtype_of(state)) if fitting is None else fitting
        columns[name] = column
    whole = pd.DataFrame(columns, index=frame.index)
    if form.index:
        whole = whole.set_index(list(form.index))
        whole.index.names = list(form.index_names)
    return whole
