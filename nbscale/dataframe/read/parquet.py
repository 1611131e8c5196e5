"""``read_parquet``: row groups read by a task each, only the columns and groups that are needed."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nbscale import config
from nbscale.collection import public, wrap
from nbscale.dataframe.elementwise import Elementwise
from nbscale.dataframe.node import FrameSource
from nbscale.dataframe.read.parquet_file import (
    ParquetInfo,
    parquet_files,
    parquet_info,
    read_row_groups,
)
from nbscale.dataframe.read.parquet_groups import RowGroup, may_match
from nbscale.dataframe.select import Column, missing_column
from nbscale.dataframe.source import numbered
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.expr.token import token
from nbscale.graph.part import Part
from nbscale.plan.layout import Layout
from nbscale.record import record
from nbscale.units import parse_bytes

__all__ = ["ReadParquet", "read_parquet"]

_COMPARISONS = {
    "operator.gt": ">",
    "operator.ge": ">=",
    "operator.lt": "<",
    "operator.le": "<=",
    "operator.eq": "==",
}


@record
class Piece:
    """Row groups of one file that make a partition, and the number of their first rows over all."""

    groups: tuple[RowGroup, ...]
    first_rows: tuple[int, ...]


class ReadParquet(FrameSource):
    """Row groups of parquet files.

    ``filters`` are the user's and choose rows; ``hints`` come from a filter above and only leave
    out row groups that it would empty.
    """

    pieces: tuple[Piece, ...]
    info: ParquetInfo
    wanted: tuple[Hashable, ...] | None = None
    filters: tuple[Any, ...] = ()
    hints: tuple[tuple[str, str, Any], ...] = ()

    @property
    def grid(self) -> tuple[int, ...]:
        return (len(self.pieces),)

    @property
    def label(self) -> str:
        return "read_parquet"

    @property
    def rows(self) -> int:
        """Rows in all files, before any filter."""
        return self.info.rows

    def content(self) -> tuple[Any, ...]:
        return (self._stored(), self.wanted, self.filters, self.hints)

    def _stored(self) -> tuple[Any, ...]:
        return tuple(
            tuple((g.file.identity, g.index) for g in piece.groups) for piece in self.pieces
        )

    def _kept(self) -> tuple[Piece, ...]:
        """The pieces without row groups in which no row can pass."""
        terms = [list(self.hints)] if self.hints else None
        kept = []
        for piece in self.pieces:
            pairs = [
                (group, first)
                for group, first in zip(piece.groups, piece.first_rows, strict=True)
                if may_match(group, terms) and may_match(group, list(self.filters) or None)
            ]
            kept.append(Piece(tuple(g for g, _ in pairs), tuple(f for _, f in pairs)))
        return tuple(kept)

    def load(self) -> Kernel:
        info = self.info
        empty = info.schema if self.wanted is None else info.schema[list(self.wanted)]
        return _ReadPiece(self._kept(), info.form, self.wanted, self.filters, empty)

    def nbytes(self) -> float | None:
        names = set(self.info.form.schema.names)
        if self.wanted is not None:
            names &= set(map(str, self.wanted))
        total = sum(
            stats.nbytes
            for piece in self._kept()
            for group in piece.groups
            for name, stats in group.stats.items()
            if name in names
        )
        return total / max(1, len(self.pieces))

    def _make_sample(self) -> Any:
        sample = self.info.sample
        return sample if self.wanted is None else sample[list(self.wanted)]

    def _make_layout(self) -> Layout:
        rows = token("parquet", self._stored(), self.filters, self.hints)
        lengths = tuple(sum(g.rows for g in piece.groups) for piece in self.pieces)
        return Layout(rows, lengths=None if self.filters or self.hints else lengths)

    def pruned(self, need: Need, inputs: Sequence[Node]) -> Node:
        del inputs
        if need.columns is None:
            return self
        kept = tuple(c for c in self.columns if c in need.columns)
        return self if kept == self.columns else self.replace(wanted=kept)

    def hinted(self, mask: Node) -> Node:
        """Leave out the row groups that a filter by ``mask`` would leave nothing of."""
        terms = tuple(dict.fromkeys([*self.hints, *_terms(mask, self)]))
        return self if terms == self.hints else self.replace(hints=terms)


def _terms(mask: Node, source: Node) -> Iterator[tuple[str, str, Any]]:
    """Comparisons of a stored column with a value that must all hold where the mask is true."""
    stack = [mask]
    while stack:
        node = stack.pop()
        if not isinstance(node, Elementwise):
            continue
        arguments = node.args
        if node.method == "operator.and_" and isinstance(arguments[0], Node):
            stack += [arguments[0], node.subject]
            continue
        column = node.subject
        if not isinstance(column, Column) or column.input is not source:
            continue
        if node.method == "isin" and arguments[0]:
            if all(_comparable(v) for v in arguments[0]):
                yield str(column.name), "in", tuple(arguments[0])
        elif node.method in _COMPARISONS and _comparable(arguments[0]):
            yield str(column.name), _COMPARISONS[node.method], arguments[0]


def _comparable(value: Any) -> bool:
    """Whether a value can be held against a footer's least and greatest."""
    kinds = (bool, int, float, str, np.integer, np.floating, pd.Timestamp)
    return isinstance(value, kinds) and not pd.isna(value)


@record
class _ReadPiece:
    pieces: tuple[Piece, ...]
    form: Any
    wanted: tuple[Hashable, ...] | None
    filters: tuple[Any, ...]
    empty: pd.DataFrame

    def __call__(self, index: Index) -> pd.DataFrame:
        piece = self.pieces[index[0]]
        if not piece.groups:
            return self.empty
        numbers = [group.index for group in piece.groups]
        frame = read_row_groups(
            piece.groups[0].file, numbers, self.form, self.wanted, list(self.filters) or None
        )
        if self.wanted is not None and list(frame.columns) != list(self.wanted):
            frame = frame[list(self.wanted)]
        if not self.filters and not self.form.index and isinstance(frame.index, pd.RangeIndex):
            frame.index = _row_numbers(piece, frame.index.name)
        return frame

    def part(self, index: Index) -> Part | None:
        groups = self.pieces[index[0]].groups
        if not groups:
            return None
        first, last = groups[0].first_row, groups[-1].first_row + groups[-1].rows
        return Part(groups[0].file.name, first, last)


def _row_numbers(piece: Piece, name: Hashable) -> pd.Index:
    """The numbers of the rows over all files."""
    first, last = piece.first_rows[0], piece.first_rows[-1] + piece.groups[-1].rows
    if last - first == sum(group.rows for group in piece.groups):
        return pd.RangeIndex(first, last, name=name)
    ranges = [
        np.arange(start, start + group.rows)
        for start, group in zip(piece.first_rows, piece.groups, strict=True)
    ]
    return pd.Index(np.concatenate(ranges), name=name)


def _pieces(groups: Sequence[RowGroup], size: float | None) -> tuple[Piece, ...]:
    """Consecutive row groups of one file together, up to about ``size`` bytes."""
    first_rows = [0, *itertools.accumulate(group.rows for group in groups)]
    pieces: list[list[int]] = []
    held = 0.0
    for number, group in enumerate(groups):
        together = pieces and groups[pieces[-1][-1]].file == group.file
        if not together or (size is not None and held + group.nbytes > size):
            pieces.append([])
            held = 0.0
        pieces[-1].append(number)
        held += group.nbytes
    return tuple(
        Piece(tuple(groups[n] for n in piece), tuple(first_rows[n] for n in piece))
        for piece in pieces
    )


@public
def read_parquet(
    path: Any,
    columns: Any = None,
    filters: Any = None,
    storage_options: dict[str, Any] | None = None,
    blocksize: int | str | None = "default",
    **kwargs: Any,
) -> Any:
    """Read parquet files lazily.

    Parameters
    ----------
    path
        A file, a directory, a glob, any URL that fsspec knows, or a list of these.
        URLs of S3 need the extra ``s3``.
    columns
        Names of the columns to read; by default those that are used.
    filters
        As in ``pandas.read_parquet``: ``[("x", ">", 3), ...]``, or a list of such lists of which
        one must hold. Chooses rows, and leaves out row groups by their footers.
    storage_options
        For fsspec, as in pandas. Not shown anywhere, since they may hold secrets.
    blocksize
        Bytes of row groups of one file in a partition, as stored before compression; None for one
        partition a file. By default ``config.partition_size``.
    **kwargs
        ``engine``, ``calculate_divisions``, ``ignore_metadata_file``, ``split_row_groups``,
        ``aggregate_files`` and ``meta`` are accepted as hints that change no answer.

    Returns
    -------
    DataFrame
        Lazy. If no index is stored, rows are numbered over all files.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a file is no parquet file.
    TypeError
        For other keywords.

    Notes
    -----
    Making the frame reads the footers and a few pages of the first file. Computing reads the bytes
    of the columns that are used, once; a filter by comparisons with values leaves out row groups.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import pandas as pd, nbscale.dataframe as nd
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.parquet"
    >>> pd.DataFrame({"x": [1, 2, 3], "y": list("abc")}).to_parquet(path)
    >>> df = nd.read_parquet(path)
    >>> df[df.x > 1].y.compute().tolist()
    ['b', 'c']
    """
    hints = {
        "engine",
        "calculate_divisions",
        "ignore_metadata_file",
        "split_row_groups",
        "aggregate_files",
        "meta",
    }
    for name in kwargs:
        if name not in hints:
            msg = f"read_parquet() got an unexpected keyword argument {name!r}"
            raise TypeError(msg)
    info = parquet_info(parquet_files(path, storage_options))
    if blocksize == "default":
        size: int | None = config.get().partition_size
    else:
        size = None if blocksize is None else parse_bytes(blocksize)
    wanted = None
    if columns is not None:
        wanted = (columns,) if isinstance(columns, str) else tuple(columns)
        for name in wanted:
            if name not in info.schema.columns:
                raise missing_column(name, tuple(info.schema.columns))
    node = ReadParquet(_pieces(info.groups, size), info, wanted, tuple(filters or ()))
    is_numbered = bool(node.filters) and not info.form.index
    return wrap(numbered(node) if is_numbered else node)
