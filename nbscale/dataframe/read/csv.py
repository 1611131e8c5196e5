"""``read_csv``: files cut in blocks, each read and parsed by a task of its own.

While no quote has been seen, a block is read on the assumption that it begins outside quotes
(``ReadCsv``). Once quotes are known, how blocks begin is a Scan over them (``ReadQuotedCsv``). A block
that finds the plan wrong, by a quote or by a value wider than its column's sample, says so with
``Replan``, and the files are planned again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from typing import Any

import pandas as pd

from nbscale import config
from nbscale.collection import public, wrap
from nbscale.dataframe.node import FrameScan, FrameSource
from nbscale.dataframe.read.csv_errors import Misfit
from nbscale.dataframe.read.csv_parse import CsvForm, read_csv_block
from nbscale.dataframe.read.csv_schema import CsvSchema, sample_csv
from nbscale.dataframe.read.csv_split import (
    Block,
    Dialect,
    QuotesMet,
    plan_blocks,
    scan_quotes,
    start_states,
)
from nbscale.dataframe.read.files import resolve
from nbscale.dataframe.source import numbered
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node, Source
from nbscale.expr.token import token
from nbscale.graph.job import Replan
from nbscale.graph.part import Part
from nbscale.plan.layout import Layout
from nbscale.record import record
from nbscale.units import parse_bytes

__all__ = ["ReadCsv", "ReadQuotedCsv", "ScanQuotes", "read_csv"]


def _content(blocks: Sequence[Block], form: CsvForm, wanted: Any) -> tuple[Any, ...]:
    """What a node that reads blocks is: files by identity, where they are cut, how to parse."""
    pieces = tuple((b.file.identity, b.start, b.stop) for b in blocks)
    parsing = (form.keywords, form.states, form.preamble, form.dialect.quoted, form.dialect.whole)
    return pieces, parsing, wanted


class _Csv:
    """What the two nodes that read blocks share."""

    blocks: tuple[Block, ...]
    schema_found: CsvSchema
    wanted: tuple[Hashable, ...] | None
    gil_free = True

    @property
    def label(self) -> str:
        return "read_csv"

    @property
    def identity(self) -> str:
        """Names the files and how they are read, whatever columns are wanted of them."""
        return token("csv", *_content(self.blocks, self.schema_found.form, None)[:1])

    @property
    def rows(self) -> float:
        """Estimated rows in all files."""
        size = sum((b.file.size or 0) for b in self.blocks if b.first or b.whole)
        return size / max(1.0, self.schema_found.bytes_per_row)

    def notice(self, fact: Any) -> str:
        """Columns that were widened are told; quotes change no answer."""
        if isinstance(fact, tuple) and fact and isinstance(fact[0], Misfit):
            return "; ".join(map(str, fact)) + "; the column is read again as that"
        return ""

    def _make_sample(self) -> Any:
        sample = self.schema_found.sample
        return sample if self.wanted is None else sample[list(self.wanted)]

    def _make_layout(self) -> Layout:
        return Layout(self.identity)

    def _kernel(self, key: str) -> _ReadBlock:
        schema = self.schema_found
        row_bytes = max(1.0, schema.bytes_per_row)
        return _ReadBlock(key, self.blocks, schema.form, self.wanted, row_bytes)

    def _narrow(self, need: Need) -> tuple[Hashable, ...] | None:
        if need.columns is None:
            return self.wanted
        have = self.wanted if self.wanted is not None else self.schema_found.columns
        kept = tuple(c for c in have if c in need.columns)
        return self.wanted if kept == have else kept

    def _block_bytes(self) -> float:
        """Estimated bytes in memory of one block's columns that are wanted."""
        schema = self.schema_found
        size = sum((b.file.size or 0) for b in self.blocks if b.first or b.whole)
        whole = max(1.0, float(schema.sample.memory_usage(deep=False).sum()))
        kept = schema.sample if self.wanted is None else schema.sample[list(self.wanted)]
        part = float(kept.memory_usage(deep=False).sum()) / whole
        return size / len(self.blocks) * schema.memory_per_byte * part


class ReadCsv(_Csv, FrameSource):
    """Blocks that begin outside quotes."""

    blocks: tuple[Block, ...]
    schema_found: CsvSchema
    wanted: tuple[Hashable, ...] | None = None

    @property
    def grid(self) -> tuple[int, ...]:
        return (len(self.blocks),)

    def content(self) -> tuple[Any, ...]:
        return _content(self.blocks, self.schema_found.form, self.wanted)

    def load(self) -> Kernel:
        return self._kernel(self.key)

    def nbytes(self) -> float | None:
        return self._block_bytes()

    def pruned(self, need: Need, inputs: Sequence[Node]) -> Node:
        del inputs
        return self.replace(wanted=self._narrow(need))

    def replan(self, fact: Any) -> Node:
        """Widen columns, or expect quotes."""
        if isinstance(fact, tuple):
            return self.replace(schema_found=self.schema_found.widened(fact))
        form = self.schema_found.form
        dialect = dataclasses.replace(form.dialect, quoted=True)
        schema = dataclasses.replace(
            self.schema_found, form=dataclasses.replace(form, dialect=dialect)
        )
        return csv_node(self.blocks, schema, self.wanted)


class ScanQuotes(Source):
    """For each block, whether it ends inside quotes: if it begins outside, and if inside."""

    blocks: tuple[Block, ...]
    dialect: Dialect

    @property
    def grid(self) -> tuple[int, ...]:
        return (len(self.blocks),)

    @property
    def label(self) -> str:
        return "find quotes"

    def content(self) -> tuple[Any, ...]:
        pieces = tuple((b.file.identity, b.start, b.stop) for b in self.blocks)
        return pieces, self.dialect.separator, self.dialect.quote

    def load(self) -> Kernel:
        return _FindQuotes(self.blocks, self.dialect)

    def nbytes(self) -> float | None:
        return 64.0


class ReadQuotedCsv(_Csv, FrameScan):
    """Blocks that may begin inside quotes: told by a scan over all blocks before."""

    quotes: Node
    blocks: tuple[Block, ...]
    schema_found: CsvSchema
    wanted: tuple[Hashable, ...] | None = None

    def content(self) -> tuple[Any, ...]:
        return self.quotes, *_content(self.blocks, self.schema_found.form, self.wanted)

    def summarise(self) -> Kernel:
        return _summary

    def fold(self) -> Kernel:
        return _BeginStates(self.blocks)

    def apply(self) -> Kernel:
        return _ReadKnowing(self._kernel(self.key))

    def pruned(self, need: Need, inputs: Sequence[Node]) -> Node:
        return self.with_inputs(inputs).replace(wanted=self._narrow(need))

    def replan(self, fact: Any) -> Node:
        """Widen columns."""
        return self.replace(schema_found=self.schema_found.widened(fact))


def csv_node(
    blocks: Sequence[Block], schema: CsvSchema, wanted: tuple[Hashable, ...] | None = None
) -> ReadCsv | ReadQuotedCsv:
    """The node that reads blocks, by what is known of quotes."""
    dialect = schema.form.dialect
    if dialect.stays_whole:
        blocks = tuple(Block(b.file, 0, None) for b in blocks if b.first or b.whole)
    if dialect.two_pass and any(not (b.first or b.whole) for b in blocks):
        return ReadQuotedCsv(ScanQuotes(tuple(blocks), dialect), tuple(blocks), schema, wanted)
    return ReadCsv(tuple(blocks), schema, wanted)


@record
class _ReadBlock:
    key: str
    blocks: tuple[Block, ...]
    form: CsvForm
    wanted: tuple[Hashable, ...] | None
    row_bytes: float

    def __call__(self, index: Index, inside: bool | None = None) -> pd.DataFrame:
        block = self.blocks[index[0]]
        if inside is None and self.form.dialect.quoted:
            inside = False
        try:
            frame, misfits = read_csv_block(block, self.form, self.wanted, inside)
        except QuotesMet as signal:
            raise Replan(self.key, "quotes") from signal
        if misfits:
            raise Replan(self.key, misfits)
        return frame

    def part(self, index: Index) -> Part:
        """Where the block lies; its rows are estimated from the sample."""
        block, name = self.blocks[index[0]], self.blocks[index[0]].file.name
        if block.stop is None:
            return Part(name)
        header = self.form.header_size
        first, last = (max(0.0, (at - header) / self.row_bytes) for at in (block.start, block.stop))
        return Part(name, first, last, exact=False, bytes=(block.start, block.stop))


@record
class _ReadKnowing:
    read: _ReadBlock

    def __call__(self, index: Index, ends: Any, inside: bool) -> pd.DataFrame:
        del ends
        return self.read(index, inside)

    def part(self, index: Index) -> Part:
        return self.read.part(index)


@record
class _FindQuotes:
    blocks: tuple[Block, ...]
    dialect: Dialect

    def __call__(self, index: Index) -> tuple[bool, bool]:
        return scan_quotes(self.blocks[index[0]], self.dialect)


@record
class _BeginStates:
    blocks: tuple[Block, ...]

    def __call__(self, index: Index, ends: list[tuple[bool, bool]]) -> tuple[bool, ...]:
        del index
        return start_states(self.blocks[: len(ends)], ends)


def _summary(index: Index, ends: tuple[bool, bool]) -> tuple[bool, bool]:
    del index
    return ends


@public
def read_csv(
    urlpath: Any,
    blocksize: int | str | None = "default",
    storage_options: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    r"""Read CSV files lazily, as ``pd.concat([pd.read_csv(f) for f in files], ignore_index=True)``.

    Parameters
    ----------
    urlpath
        A path, a glob such as ``"flights-*.csv"``, any URL that fsspec knows, or a list of these.
        URLs of S3 need the extra ``s3``.
    blocksize
        Bytes of a file in one partition, as a number or a text such as ``"64 MB"``; None for one
        partition a file. By default such that a partition has about ``config.partition_size``
        bytes in memory. What cannot be cut (compressed files, ``escapechar=``, ...) is one
        partition a file.
    storage_options
        For fsspec, as in pandas. Not shown anywhere, since they may hold secrets.
    **kwargs
        Of ``pandas.read_csv``, with the same meaning. ``sample``, ``assume_missing`` and
        ``include_path_column`` of Dask are not needed or not there; ``meta`` is accepted as a
        hint.

    Returns
    -------
    DataFrame
        Lazy. Rows are numbered over all files unless ``index_col`` is given.

    Raises
    ------
    FileNotFoundError
        If nothing matches; the message names near misses.
    TypeError, ValueError
        For keywords that pandas does not have, or that make no sense here.
    pandas.errors.ParserError
        For a malformed row, when it is read: says where.

    Notes
    -----
    Making the frame reads less than 1 MB of each of at most eight files, to learn names and
    dtypes. A later value that does not fit widens its column, and the files are read again, once.
    Computing reads the bytes of a block once (twice where quotes are found) and parses only the
    columns that are used; memory of a task: a block's bytes and its columns.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import nbscale.dataframe as nd
    >>> path = pathlib.Path(tempfile.mkdtemp())
    >>> for i in range(3):
    ...     _ = (path / f"part-{i}.csv").write_text(f"x,y\n{i},a\n{i + 1},b\n")
    >>> nd.read_csv(path / "part-*.csv").groupby("y").x.sum().compute().to_dict()
    {'a': 3, 'b': 6}
    """
    kwargs.pop("meta", None)
    files = resolve(urlpath, storage_options)
    schema = sample_csv(files, kwargs)
    if schema.categories:
        msg = (
            f"dtype 'category' without categories for {list(schema.categories)}: they would differ "
            "from partition to partition; give pandas.CategoricalDtype(categories=[...])"
        )
        raise NotImplementedError(msg)
    if blocksize == "default":
        size: int | None = max(1, int(config.get().partition_size / schema.memory_per_byte))
    else:
        size = None if blocksize is None else parse_bytes(blocksize)
    form = schema.form
    blocks = [
        block for file in files for block in plan_blocks(file, form.dialect, size, form.header_size)
    ]
    node = csv_node(blocks, schema)
    return wrap(node if form.index else numbered(node))
