"""Frames from memory: ``from_pandas``, and the row numbers of a source that has no index."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nbscale import config
from nbscale.collection import public, wrap
from nbscale.dataframe.node import SAMPLE_ROWS, Frame, FrameScan, FrameSource, row_bytes
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.expr.token import nonce
from nbscale.graph.part import Part
from nbscale.plan.layout import Layout
from nbscale.record import record

__all__ = ["FromPandas", "NumberRows", "Snapshot", "from_pandas", "numbered"]


class Snapshot:
    """A pandas object as it is now. Copy-on-write keeps it so; nobody hashes its data."""

    __slots__ = ("data", "key")

    def __init__(self, data: Any) -> None:
        self.data = data.copy(deep=False) if not isinstance(data, pd.Index) else data
        self.key = nonce()

    def __repr__(self) -> str:
        return f"{type(self.data).__name__} of {len(self.data):,} rows"


class FromPandas(FrameSource):
    """Consecutive pieces of a pandas object."""

    snapshot: Snapshot
    bounds: tuple[int, ...]
    wanted: tuple[Hashable, ...] | None = None
    sorted_index: bool = False

    @property
    def grid(self) -> tuple[int, ...]:
        return (len(self.bounds) - 1,)

    @property
    def label(self) -> str:
        return "from_pandas"

    @property
    def rows(self) -> int:
        """Rows in all partitions."""
        return self.bounds[-1]

    def load(self) -> Kernel:
        return _Slice(self._data(), self.bounds)

    def _data(self) -> Any:
        data = self.snapshot.data
        wanted: Any = self.wanted
        return data if wanted is None else data[list(wanted)]

    def nbytes(self) -> float | None:
        return row_bytes(self._data()) / (len(self.bounds) - 1)

    def _make_sample(self) -> Any:
        return self._data()[:SAMPLE_ROWS]

    def _make_layout(self) -> Layout:
        data = self.snapshot.data
        index = data if isinstance(data, pd.Index) else data.index
        return Layout(
            rows=f"{self.snapshot.key}:{self.bounds!r}",
            lengths=tuple(b - a for a, b in zip(self.bounds, self.bounds[1:], strict=False)),
            divisions=_divisions(index, self.bounds) if self.sorted_index else None,
        )

    def pruned(self, need: Need, inputs: Sequence[Node]) -> Node:
        del inputs
        if need.columns is None or not isinstance(self.snapshot.data, pd.DataFrame):
            return self
        have = self.columns
        keep = tuple(c for c in have if c in need.columns)
        return self if keep == have else self.replace(wanted=keep)


@record
class _Slice:
    data: Any
    bounds: tuple[int, ...]

    def __call__(self, index: Index) -> Any:
        (i,) = index
        return self.data[self.bounds[i] : self.bounds[i + 1]]

    def part(self, index: Index) -> Part:
        (i,) = index
        name = f"the {type(self.data).__name__} given to from_pandas"
        return Part(name, self.bounds[i], self.bounds[i + 1])


def _divisions(index: pd.Index, bounds: Sequence[int]) -> tuple[Any, ...] | None:
    """The label at which each partition begins, and the last label of all."""
    if not len(index):
        return None
    return (*[index[a] for a in bounds[:-1]], index[-1])


def _split(index: pd.Index, n: int) -> tuple[tuple[int, ...], bool]:
    """Where to cut into about n parts, and whether the index is sorted.

    Rows with equal labels of a sorted index stay together, so that divisions are sharp.
    """
    total = len(index)
    cuts = [round(i * total / n) for i in range(n + 1)]
    if total == 0 or isinstance(index, pd.MultiIndex) or index.hasnans:
        return tuple(cuts), False
    if not index.is_monotonic_increasing:
        return tuple(cuts), False
    if not index.is_unique:
        cuts[1:-1] = [int(index.searchsorted(index[c], side="left")) for c in cuts[1:-1]]
    cuts = sorted(set(cuts))
    return tuple(cuts), True


@public
def from_pandas(
    data: Any,
    npartitions: int | None = None,
    sort: bool = False,
    chunksize: int | None = None,
) -> Any:
    """Make a lazy frame of a pandas DataFrame, Series or Index.

    Parameters
    ----------
    data
        The pandas object. It may change afterwards; the lazy frame does not.
    npartitions
        Number of partitions, at most one for each row. By default as many as give partitions of
        ``config.partition_size`` bytes.
    sort
        Sort by index first. Dask does so by default; here the rows keep pandas' order.
    chunksize
        Rows in a partition, instead of ``npartitions``.

    Returns
    -------
    DataFrame, Series or Index
        Lazy; its divisions are known if the index is sorted.

    Raises
    ------
    TypeError
        If ``data`` is no pandas object.
    ValueError
        If both ``npartitions`` and ``chunksize`` are given, or one is below 1.

    Notes
    -----
    Costs no pass over the data and copies nothing.

    Examples
    --------
    >>> import pandas as pd, nbscale.dataframe as nd
    >>> df = nd.from_pandas(pd.DataFrame({"x": range(6)}), npartitions=3)
    >>> df.npartitions, int(df.x.sum().compute())
    (3, 15)
    """
    if not isinstance(data, (pd.DataFrame, pd.Series, pd.Index)):
        msg = f"from_pandas needs a pandas DataFrame, Series or Index, not {type(data).__name__}"
        raise TypeError(msg)
    if npartitions is not None and chunksize is not None:
        msg = "give npartitions or chunksize, not both"
        raise ValueError(msg)
    for name, value in (("npartitions", npartitions), ("chunksize", chunksize)):
        if value is not None and value < 1:
            msg = f"{name} must be at least 1, not {value}"
            raise ValueError(msg)
    if sort:
        data = data.sort_values() if isinstance(data, pd.Index) else data.sort_index()
    rows = len(data)
    if chunksize is not None:
        npartitions = math.ceil(rows / chunksize)
    elif npartitions is None:
        npartitions = math.ceil(row_bytes(data) / config.get().partition_size)
    index = data if isinstance(data, pd.Index) else data.index
    bounds, is_sorted = _split(index, max(1, min(npartitions, rows)))
    return wrap(FromPandas(Snapshot(data), bounds, None, is_sorted))


class NumberRows(FrameScan):
    """Turn the row number within a partition into the row number over all of them.

    ``counted`` is the node whose rows are numbered; ``input`` may hold fewer rows by now, labelled
    by their number within the counted partition.
    """

    input: Node
    counted: Node

    numbers_rows = True

    @property
    def label(self) -> str:
        return "number rows"

    def summarise(self) -> Kernel:
        return _count_rows

    def fold(self) -> Kernel:
        return _offsets

    def apply(self) -> Kernel:
        return _shift_index

    def needs(self, need: Need) -> tuple[Need, ...]:
        counting = Need(frozenset(), index=False, order=True)
        return need, (need if self.input is self.counted else counting)

    def pruned(self, need: Need, inputs: Sequence[Node]) -> Node:
        return self.with_inputs(inputs) if need.index else inputs[0]

    def reference(self, *inputs: Any) -> Any:
        return inputs[0]


def _count_rows(index: Index, value: Any) -> int:
    del index
    return len(value)


def _offsets(index: Index, lengths: list[int]) -> list[int]:
    del index
    return [0, *np.cumsum(lengths, dtype=np.int64)[:-1].tolist()]


def _shift_index(index: Index, value: Any, offset: int) -> Any:
    del index
    if offset == 0:
        return value
    if isinstance(value, pd.Index):
        return value + offset
    moved = value.copy(deep=False)
    moved.index = value.index + offset
    return moved


def numbered(node: Frame) -> NumberRows:
    """Number the rows of a source that labels them within each partition only."""
    return NumberRows(node, node)
