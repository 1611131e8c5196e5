"""Moving rows between partitions: by range of keys, by hash, and back.

These nodes are enforcers: an operation that needs its rows to lie in some way asks ``require``
for it, and what lies so already is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nbscale.dataframe.cuts import Cuts, Order, destinations
from nbscale.dataframe.keys import Keys, hashes
from nbscale.dataframe.node import FrameExchange, FrameMap, row_bytes
from nbscale.dataframe.rows import concatenated
from nbscale.dataframe.sampling import SHIFT
from nbscale.dataframe.taking import taken
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.plan.layout import ByHash, ByRange, Layout, Split
from nbscale.record import record

__all__ = [
    "TAG",
    "HashExchange",
    "Joined",
    "Pieces",
    "RangeExchange",
    "Restore",
    "Tagged",
    "need_of_keys",
    "pieces_by",
    "require",
]


Destinations: TypeAlias = npt.NDArray[Any]
"""For each row the number of the partition it goes to."""

TAG = "\x00row"
"""The hidden column that says where a row came from: partition << 40 | row."""


@record
class Joined:
    """Merge: pieces one after the other, in the order of their producers."""

    empty: Any

    def __call__(self, _index: Index, pieces: list[Any]) -> Any:
        full = [piece for piece in pieces if len(piece)]
        if not full:
            return pieces[0] if pieces else self.empty
        return concatenated(full)


@record
class Pieces:
    """Rows sorted by destination, and where those of each end: cut when somebody asks."""

    rows: Any
    ends: Destinations

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, n: int) -> Any:
        """Return the rows that go to one destination."""
        return self.rows[self.ends[n - 1] if n else 0 : self.ends[n]]

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return int(row_bytes(self.rows))


def pieces_by(value: Any, order: Callable[[], Destinations], n: int) -> Pieces:
    """The rows of a partition by destination, in order, as one copy.

    ``order`` gives the destination of every row. It is called here so that nothing it needs on the
    way is held while rows are copied.
    """
    small = order().astype(np.uint8 if n <= 256 else np.uint16 if n <= 65_536 else np.int64)
    counts = np.bincount(small, minlength=n)
    # Rows that all go to one place, as those of sorted frames do, are not copied.
    alone = counts.max(initial=0) == len(small)
    rows = value if alone else value.take(np.argsort(small, kind="stable"))
    return Pieces(rows, np.cumsum(counts))


class RangeExchange(FrameExchange):
    """Rows by range of their keys: range i holds keys from cut i - 1 on.

    Within a range, rows keep the order they had. With ``ties`` equal keys are cut, too, by where
    the rows came from: then no key, however frequent, makes a large partition.
    """

    input: Node
    by: Keys
    cuts: Cuts
    order: Order
    ties: bool = False

    @property
    def grid(self) -> tuple[int, ...]:
        return (len(self.cuts) + 1,)

    @property
    def label(self) -> str:
        return "exchange by range"

    def split(self) -> Kernel:
        return _SplitByRange(self.by, self.cuts, self.order, self.ties)

    def merge(self) -> Kernel:
        return Joined(self.schema)

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (need_of_keys(need, self.by, self.input),)

    def _make_layout(self) -> Layout:
        return Layout(self.key, "lost", ByRange(self.by.names))


@record
class _SplitByRange:
    by: Keys
    cuts: Cuts
    order: Order
    ties: bool

    def __call__(self, index: Index, value: Any) -> Pieces:
        def order() -> Destinations:
            tags = (index[0] << SHIFT) + np.arange(len(value)) if self.ties else None
            return destinations(self.by.arrays(value), self.cuts, self.order, tags)

        return pieces_by(value, order, len(self.cuts) + 1)


class HashExchange(FrameExchange):
    """Rows with equal keys to one of n partitions, chosen by hash. Their order is lost."""

    input: Node
    by: Keys
    n: int

    @property
    def grid(self) -> tuple[int, ...]:
        return (self.n,)

    @property
    def label(self) -> str:
        return "exchange by hash"

    def split(self) -> Kernel:
        return _SplitByHash(self.by, self.n)

    def merge(self) -> Kernel:
        return Joined(self.schema)

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (need_of_keys(need, self.by, self.input),)

    def _make_layout(self) -> Layout:
        return Layout(self.key, "lost", ByHash(self.by.names, self.n))


@record
class _SplitByHash:
    by: Keys
    n: int

    def __call__(self, _index: Index, value: Any) -> Pieces:
        def order() -> Destinations:
            return hashes(self.by.arrays(value), len(value)) % np.uint64(self.n)

        return pieces_by(value, order, self.n)


def need_of_keys(need: Need, by: Keys, node: Any) -> Need:
    """What is needed of a node that is exchanged by these keys."""
    columns = by.columns_of(node.columns)
    reads_index = by.of == "index" or len(columns) < len(by.names)
    return Need(need.plus(columns).columns, need.index or reads_index, need.order)


class Tagged(FrameMap):
    """A frame with the hidden column that says where each row is; partition 0 counts as ``first``."""

    input: Node
    first: int = 0

    row_preserving = True
    carries_index = True

    @property
    def label(self) -> str:
        return "tag rows"

    def kernel(self) -> Kernel:
        return _Tag(self.first)


@record
class _Tag:
    first: int

    def __call__(self, index: Index, value: Any) -> Any:
        tags = ((index[0] + self.first) << SHIFT) + np.arange(len(value), dtype=np.int64)
        return value.assign(**{TAG: tags})


class Restore(FrameExchange):
    """Rows back to the partition and the order that their hidden tags say."""

    input: Node
    n: int

    @property
    def grid(self) -> tuple[int, ...]:
        return (self.n,)

    @property
    def label(self) -> str:
        return "restore order"

    def split(self) -> Kernel:
        return _SplitByTag(self.n)

    def merge(self) -> Kernel:
        return _MergeByTag(self.schema)

    def reference(self, *inputs: Any) -> Any:
        return _MergeByTag(None)((0,), [inputs[0]])


@record
class _SplitByTag:
    n: int

    def __call__(self, _index: Index, value: Any) -> Pieces:
        return pieces_by(value, lambda: value[TAG].to_numpy() >> SHIFT, self.n)


@record
class _MergeByTag:
    empty: Any

    def __call__(self, _index: Index, pieces: list[Any]) -> Any:
        full = [piece for piece in pieces if len(piece)] or pieces[:1]
        if not full:
            return self.empty
        tags = np.concatenate([piece[TAG].to_numpy() for piece in full])
        return taken(full, np.argsort(tags, kind="stable"), without=TAG)


def require(node: Node, split: Split, by: Keys | None = None) -> Node:
    """The node with its rows lying as asked; as it is, if they do so already.

    Parameters
    ----------
    node
        A frame node.
    split
        ``ByHash``: equal keys together.
    by
        How the keys are read, if not plainly from the columns named by ``split``.
    """
    layout: Layout = node.layout  # type: ignore[attr-defined]
    if layout.split == split:
        return node
    if isinstance(split, ByHash):
        return HashExchange(node, by or Keys("columns", split.keys), split.n)
    msg = f"no exchange brings rows into {split}"
    raise TypeError(msg)
