"""Parquet files: what their footers say, and row groups as pandas reads them.

pandas' dtypes depend on the values: integers with missing ones become floats, truth values objects.
The footers say where values are missing, so that every row group comes with the dtypes of the whole.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Hashable, Mapping, Sequence
from contextlib import closing
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from nbscale.dataframe.read.files import (
    Paths,
    SourceFile,
    check_unchanged,
    fresh_filesystem,
    open_file,
    read_range,
    resolve,
)
from nbscale.dataframe.read.parquet_groups import (
    ColumnStats,
    Filters,
    RowGroup,
    filtered_columns,
)
from nbscale.record import record

__all__ = [
    "ParquetForm",
    "ParquetInfo",
    "looks_like_parquet",
    "parquet_files",
    "parquet_info",
    "read_row_groups",
]

_SAMPLE_ROWS = 100
_SAMPLE_BYTES = 600_000
_BUFFER = 1 << 16
_AHEAD = 1 << 18  # pages of small columns side by side come in one request


@record
class ParquetForm:
    """All that reading any row group of any of the files needs.

    Attributes
    ----------
    schema
        Arrow schema of the whole, with pandas' own notes.
    dtypes
        Dtypes of columns whose values alone do not tell: those with missing values somewhere.
    index
        Names of stored columns that become the index.
    """

    schema: pa.Schema
    dtypes: tuple[tuple[str, str], ...]
    index: tuple[str, ...]


@record(eq=False)
class ParquetInfo:
    """What the footers say.

    Attributes
    ----------
    form
        What a task needs to read row groups.
    schema
        The frame with no rows.
    sample
        The first rows, at most 100.
    groups
        All row groups, in order.
    """

    form: ParquetForm
    schema: pd.DataFrame
    sample: pd.DataFrame
    groups: tuple[RowGroup, ...]

    @property
    def rows(self) -> int:
        """Rows in all files."""
        return sum(g.rows for g in self.groups)


def looks_like_parquet(first_bytes: bytes) -> bool:
    """Whether a file that begins like this is a parquet file.

    Examples
    --------
    >>> looks_like_parquet(b"PAR1..."), looks_like_parquet(b"a,b")
    (True, False)
    """
    return first_bytes[:4] in (b"PAR1", b"PARE")


def parquet_files(
    paths: Paths, storage_options: Mapping[str, Any] | None = None
) -> tuple[SourceFile, ...]:
    """List parquet files: as ``resolve`` does, and those in a directory, sorted by name.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If a directory is split by values of a column (``year=2024/``).
    """
    if not isinstance(paths, (str, os.PathLike)):
        return resolve(paths, storage_options)
    path = os.fspath(paths)
    if "://" in path:
        fs, inner = fresh_filesystem(path, storage_options or {})
        is_folder = fs.isdir(inner)
    else:
        is_folder = os.path.isdir(path)  # noqa: PTH112 - paths stay text, as in files.py
    if not is_folder:
        return resolve(path, storage_options)
    found = resolve(posixpath.join(path, "**", "*.parquet"), storage_options)
    start = len(path.rstrip("/")) + 1
    for file in found:
        folder = posixpath.dirname(file.path)
        if "=" in folder[start:]:
            raise ValueError(
                f"{path!r} is split by the values of columns ({folder[start:]!r}); such "
                f"directories are not read: name the files by a glob, and add the column by assign"
            )
    return tuple(f for f in found if not f.name.startswith(("_", ".")))


def parquet_info(files: Sequence[SourceFile]) -> ParquetInfo:
    """Read the footers of files.

    Parameters
    ----------
    files
        From ``parquet_files`` or ``resolve``.

    Raises
    ------
    ValueError
        If a file is no parquet file, or its columns do not go together with the others'.
    FileNotFoundError, SourceChanged
        If a file is no longer what was listed.

    Notes
    -----
    Reads the footers, and the first pages of the first file for the sample. Columns of integers or
    truth values whose footers do not say how many values are missing are read for it.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.parquet"
    >>> pd.DataFrame({"x": [1, 2], "y": ["a", None]}).to_parquet(path)
    >>> info = parquet_info(parquet_files(path))
    >>> info.rows, dict(info.schema.dtypes.astype(str))
    (2, {'x': 'int64', 'y': 'str'})
    """
    schemas: list[pa.Schema] = []
    groups: list[RowGroup] = []
    for file in files:
        with _opened(file) as parquet:
            schemas.append(parquet.schema_arrow)
            groups.extend(_groups(file, parquet))
    schema = _united(schemas, files)
    form = ParquetForm(schema, _doubtful(schema, groups), _index(schema))
    sample = _sample(form, groups)
    return ParquetInfo(form, sample.iloc[:0], sample, tuple(groups))


def _opened(
    file: SourceFile, dictionary: Sequence[str] = (), *, by_page: bool = False
) -> closing[Any]:
    """A parquet file opened; local ones past Python, so that threads do not wait for one another.

    Opened ``by_page``, columns are read in small bites as their pages are needed.
    """
    if file.protocol == "file":
        check_unchanged(file)
        source: Any = pa.OSFile(file.path)
    else:
        # Arrow asks for what it needs of columns that lie side by side in one piece.
        source = open_file(file, ahead=_AHEAD if by_page else 0)
    try:
        return closing(
            pq.ParquetFile(
                source,
                buffer_size=_BUFFER if by_page else 0,
                pre_buffer=not by_page and file.protocol != "file",
                read_dictionary=list(dictionary) or None,
            )
        )
    except pa.ArrowInvalid as error:
        source.close()
        if looks_like_parquet(read_range(file, 0, min(4, file.size or 4))):
            raise ValueError(f"{file.path!r} is a damaged parquet file: {error}") from error
        raise ValueError(
            f"{file.path!r} is no parquet file; if it is text, read it by read_csv"
        ) from error


def _groups(file: SourceFile, parquet: pq.ParquetFile) -> list[RowGroup]:
    groups: list[RowGroup] = []
    first_row = 0
    for i in range(parquet.metadata.num_row_groups):
        group = parquet.metadata.row_group(i)
        stats = {}
        for j in range(group.num_columns):
            column = group.column(j)
            stats[column.path_in_schema] = _stats(column)
        groups.append(RowGroup(file, i, first_row, group.num_rows, group.total_byte_size, stats))
        first_row += group.num_rows
    return groups


def _stats(column: Any) -> ColumnStats:
    size = column.total_uncompressed_size
    if not column.is_stats_set:
        return ColumnStats(None, None, None, size)
    told = column.statistics
    nulls = told.null_count if told.has_null_count else None
    if not told.has_min_max:
        return ColumnStats(None, None, nulls, size)
    return ColumnStats(told.min, told.max, nulls, size)


def _united(schemas: Sequence[pa.Schema], files: Sequence[SourceFile]) -> pa.Schema:
    """One schema that all files fit: the first one's columns first."""
    united = schemas[0]
    for schema, file in zip(schemas[1:], files[1:], strict=True):
        if schema.equals(united):
            continue
        try:
            united = pa.unify_schemas(
                [united, schema.remove_metadata()], promote_options="permissive"
            )
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ValueError(
                f"{file.path!r} does not go together with {files[0].path!r}: {error}; read them "
                f"apart, and use astype before concat"
            ) from error
    return united.with_metadata(schemas[0].metadata)


def _index(schema: pa.Schema) -> tuple[str, ...]:
    notes = schema.pandas_metadata or {}
    return tuple(c for c in notes.get("index_columns", ()) if isinstance(c, str))


def _doubtful(schema: pa.Schema, groups: Sequence[RowGroup]) -> tuple[tuple[str, str], ...]:
    """Columns that have missing values in some row groups only, and the dtype of the whole."""
    notes = (schema.pandas_metadata or {}).get("columns", ())
    extension = {c["name"] for c in notes if c["numpy_type"] in _MASKED}
    dtypes: list[tuple[str, str]] = []
    for field in schema:
        integer, truth = pa.types.is_integer(field.type), pa.types.is_boolean(field.type)
        if not (integer or truth) or field.name in extension:
            continue
        if any(_has_nulls(group, field.name) for group in groups):
            dtypes.append((field.name, "float64" if integer else "object"))
    return tuple(dtypes)


_MASKED = frozenset([*(f"{u}Int{n}" for u in ("U", "") for n in (8, 16, 32, 64)), "boolean"])


def _has_nulls(group: RowGroup, name: str) -> bool:
    told = group.stats.get(name)
    if told is None:
        return group.rows > 0  # the file lacks the column
    if told.nulls is not None:
        return told.nulls > 0
    with _opened(group.file) as parquet:
        column = parquet.read_row_group(group.index, columns=[name], use_threads=False)
    return bool(column.column(0).null_count)


def _sample(form: ParquetForm, groups: Sequence[RowGroup]) -> pd.DataFrame:
    """The first rows there are, by reading the first pages of columns only."""
    tables: list[pa.Table] = []
    budget = _SAMPLE_BYTES
    for group in groups:
        if group.rows and budget > 0:
            table, spent = _first_rows(form, group, budget)
            tables.append(_fitted(table, form.schema, form.schema.names, ()))
            budget -= spent
            if sum(map(len, tables)) >= _SAMPLE_ROWS:
                break
    empty = _fitted(form.schema.empty_table(), form.schema, form.schema.names, ())
    table = pa.concat_tables(tables or [empty])
    return _to_pandas(table.slice(0, _SAMPLE_ROWS), form, None)


def _first_rows(form: ParquetForm, group: RowGroup, budget: int) -> tuple[pa.Table, int]:
    """The first rows of a row group, and the most bytes they cost.

    Columns whose first pages may be too large are not read: their least and greatest value, which
    the footer has, stand for them in turn. What the footer tells nothing of is read at any size.
    """
    told: dict[str, tuple[Any, Any]] = {}
    spent = 0
    for name, stats in sorted(group.stats.items(), key=lambda item: item[1].nbytes):
        # A dictionary and a page of values, each of which writers end at about a megabyte.
        cost = min(stats.nbytes, 2 << 20)
        if stats.min is not None and name in form.schema.names and spent + cost > budget:
            told[name] = (stats.min, stats.max)
        else:
            spent += cost
    with _opened(group.file, by_page=True) as parquet:
        there = set(parquet.schema_arrow.names)
        read = [c for c in form.schema.names if c in there and c not in told]
        batches = parquet.iter_batches(
            _SAMPLE_ROWS, row_groups=[group.index], columns=read, use_threads=False
        )
        table = pa.Table.from_batches(
            [next(iter(batches))] if read else [], schema=None if read else pa.schema([])
        )
    rows = len(table) if read else min(group.rows, _SAMPLE_ROWS)
    for name, ends in told.items():
        values = pa.array([ends[i % 2] for i in range(rows)])
        table = table.append_column(name, values) if table.num_columns else pa.table({name: values})
    return table, spent


def read_row_groups(
    file: SourceFile,
    groups: Sequence[int],
    form: ParquetForm,
    columns: Sequence[Hashable] | None = None,
    filters: Filters | None = None,
    *,
    dictionary: Sequence[str] = (),
) -> pd.DataFrame:
    """Read row groups of a file as pandas would, with the dtypes of the whole.

    Parameters
    ----------
    file
        The file.
    groups
        Numbers of its row groups.
    form
        From ``parquet_info``.
    columns
        Names of the columns wanted, or None for all. Only these are read, with the stored index.
    filters
        Rows wanted, as in ``pandas.read_parquet``.
    dictionary
        Text columns to come as categories, which is faster to read and to group by; each call has
        categories of its own.

    Returns
    -------
    DataFrame
        Numbered from 0 if no index is stored.

    Raises
    ------
    FileNotFoundError, SourceChanged
        If the file is no longer what was listed.

    Notes
    -----
    One read of the wanted columns' bytes. Memory: these columns, twice for a moment.
    """
    names = _wanted(form, columns)
    read = [*names, *(c for c in filtered_columns(filters) if c not in names)]
    with _opened(file, dictionary) as parquet:
        there = set(parquet.schema_arrow.names)
        table = parquet.read_row_groups(
            list(groups), columns=[c for c in read if c in there], use_threads=False
        )
    if read:
        table = _fitted(table, form.schema, read, dictionary)
    if filters:
        table = table.filter(pq.filters_to_expression(filters))
    if not names:
        return _to_pandas(form.schema.empty_table(), form, ()).reindex(range(len(table)))
    return _to_pandas(table.select(names), form, columns)


def _wanted(form: ParquetForm, columns: Sequence[Hashable] | None) -> list[str]:
    stored: list[str] = form.schema.names
    if columns is None:
        return stored
    return [c for c in stored if c in columns or c in form.index]


def _fitted(
    table: pa.Table, schema: pa.Schema, names: Sequence[str], dictionary: Sequence[str]
) -> pa.Table:
    """The table with the types of the whole; columns that the file lacks are missing values."""
    arrays = []
    for name in names:
        kind = schema.field(name).type
        if name not in table.column_names:
            arrays.append(pa.nulls(len(table), kind))
        elif name in dictionary or table.field(name).type == kind:
            arrays.append(table.column(name))
        else:
            arrays.append(table.column(name).cast(kind))
    return pa.table(dict(zip(names, arrays, strict=True)), metadata=None).replace_schema_metadata(
        schema.metadata
    )


def _to_pandas(
    table: pa.Table, form: ParquetForm, columns: Sequence[Hashable] | None
) -> pd.DataFrame:
    frame = table.to_pandas(use_threads=False)
    for name, dtype in form.dtypes:
        if name in frame.columns and str(frame[name].dtype) != dtype:
            frame[name] = frame[name].astype(dtype)
        elif name in frame.index.names:
            frame.index = _index_as(frame.index, name, dtype)
    if isinstance(frame.index, pd.RangeIndex):
        frame.index = pd.RangeIndex(len(frame), name=frame.index.name)
    if columns is not None:
        chosen = [c for c in frame.columns if c in columns]
        frame = frame if list(frame.columns) == chosen else frame[chosen]
    return frame


def _index_as(index: pd.Index, name: str, dtype: str) -> pd.Index:
    if isinstance(index, pd.MultiIndex):
        number = index.names.index(name)
        arrays = [index.get_level_values(i) for i in range(index.nlevels)]
        arrays[number] = arrays[number].astype(dtype)
        return pd.MultiIndex.from_arrays(arrays, names=index.names)
    return index.astype(dtype)
