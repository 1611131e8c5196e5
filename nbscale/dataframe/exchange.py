"""Moving rows between partitions: by position, by range of keys, by hash, and back.

These nodes are enforcers: an operation that needs its rows to lie in some way asks ``require``
for it, and what lies so already is left alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nbscale.dataframe.keys import Cuts, Keys, Order, destinations, hashes, sample_positions
from nbscale.dataframe.node import Frame, FrameAdaptive, FrameExchange, FrameMap, row_bytes
from nbscale.dataframe.rows import concatenated
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.expr.token import token
from nbscale.graph.axismap import AxisMap, Ranges
from nbscale.plan.layout import ByHash, ByRange, Layout, Split
from nbscale.record import record

__all__ = [
    "TAG",
    "HashExchange",
    "KeySample",
    "RangeExchange",
    "Repartition",
    "RepartitionLike",
    "Restore",
    "SampleKeys",
    "Sizes",
    "Tagged",
    "as_range",
    "outputs_for",
    "pieces_by",
    "quantile_cuts",
    "require",
    "resized",
    "settled",
]

TAG = "\x00row"
"""The hidden column that says where a row came from: partition << 40 | row."""

_SHIFT = 40
_FEW = 64


# What the rest is decided by ----------------------------------------------------------------


class Sizes(FrameMap):
    """Rows and bytes of every partition."""

    input: Node

    @property
    def grid(self) -> tuple[int, ...]:
        return self.input.grid

    @property
    def label(self) -> str:
        return "size"

    def kernel(self) -> Kernel:
        return _size


def _size(_index: Index, value: Any) -> tuple[int, float]:
    return len(value), row_bytes(value)


@record
class KeySample:
    """Rows and bytes of a partition, and the keys of some of its rows."""

    rows: int
    nbytes: float
    keys: Cuts


class SampleKeys(FrameMap):
    """Keys at positions fixed by the number of rows: what cuts are chosen from."""

    input: Node
    by: Keys
    wanted: int
    tagged: bool = False

    @property
    def label(self) -> str:
        return "sample keys"

    def kernel(self) -> Kernel:
        return _TakeSample(self.by, self.wanted, self.tagged)


@record
class _TakeSample:
    by: Keys
    wanted: int
    tagged: bool

    def __call__(self, index: Index, value: Any) -> KeySample:
        at = sample_positions(len(value), self.wanted, index[0])
        arrays = [a.take(at) for a in self.by.arrays(value)]
        tags = (index[0] << _SHIFT) + at if self.tagged else None
        return KeySample(len(value), row_bytes(value), Cuts.of(arrays, tags))


def samples_each(partitions: int) -> int:
    """How many keys to sample of each of so many partitions."""
    return max(_FEW, min(1024, 8192 // max(1, partitions)))


def quantile_cuts(samples: Sequence[KeySample], n: int, order: Order) -> Cuts:
    """Cuts into n ranges of about equally many rows."""
    held = [s for s in samples if s.rows]
    if not held:
        return Cuts.none()
    weights = np.concatenate([np.full(len(s.keys), s.rows / len(s.keys)) for s in held])
    return Cuts.joined([s.keys for s in held]).quantiles(weights, n, order)


def outputs_for(partitions: int, nbytes: float, size: int) -> int:
    """How many partitions to exchange into: as many as there were, but many tiny ones are joined."""
    if partitions <= _FEW:
        return partitions
    return min(partitions, max(_FEW, int(nbytes // size) + 1))


# By position --------------------------------------------------------------------------------


class Repartition(FrameExchange):
    """The same rows in the same order, cut at other positions."""

    input: Node
    old: tuple[int, ...]
    new: tuple[int, ...]

    @property
    def grid(self) -> tuple[int, ...]:
        return (len(self.new) - 1,)

    @property
    def label(self) -> str:
        return "repartition"

    def targets(self) -> tuple[AxisMap, ...]:
        old, new = np.asarray(self.old), np.asarray(self.new)
        lo = np.searchsorted(old, new[:-1], side="right") - 1
        hi = np.searchsorted(old, new[1:], side="left")
        full = new[1:] > new[:-1]
        n = len(old) - 1
        lo, hi = np.where(full, lo, 0), np.where(full, hi, 0)
        return (Ranges(n, lo.astype(np.int64), hi.astype(np.int64)),)

    def split(self) -> Kernel:
        return _Slices(self.old, self.new)

    def merge(self) -> Kernel:
        return Joined(self.schema)

    def _make_layout(self) -> Layout:
        below: Layout = self.input.layout  # type: ignore[attr-defined]
        lengths = tuple(b - a for a, b in zip(self.new, self.new[1:], strict=False))
        return Layout(token("cut", below.rows, self.new), lengths=lengths)


@record
class _Slices:
    old: tuple[int, ...]
    new: tuple[int, ...]

    def __call__(self, index: Index, value: Any) -> dict[int, Any]:
        first, last = self.old[index[0]], self.old[index[0] + 1]
        if first == last:
            # No range reads an empty partition but as one among others.
            bounds = np.asarray(self.new)
            near = np.flatnonzero((bounds[:-1] <= first) & (bounds[1:] >= first))
            return dict.fromkeys(near.tolist(), value)
        bounds = np.asarray(self.new)
        begin = max(0, int(np.searchsorted(bounds, first, side="right")) - 1)
        end = int(np.searchsorted(bounds, last, side="left"))
        return {
            j: value[max(0, self.new[j] - first) : max(0, self.new[j + 1] - first)]
            for j in range(begin, end)
        }


@record
class Joined:
    """Merge: pieces one after the other, in the order of their producers."""

    empty: Any

    def __call__(self, _index: Index, pieces: list[Any]) -> Any:
        full = [piece for piece in pieces if len(piece)]
        if not full:
            return pieces[0] if pieces else self.empty
        return concatenated(full)


class RepartitionLike(FrameAdaptive):
    """The rows of ``input`` cut into partitions of the lengths that ``like`` has."""

    input: Node
    like: Node

    @property
    def label(self) -> str:
        return "repartition"

    @property
    def grid(self) -> tuple[int, ...]:
        return self.like.grid

    def reference(self, *inputs: Any) -> Any:
        return resized(*inputs)

    def _make_layout(self) -> Layout:
        below, like = self.input.layout, self.like.layout  # type: ignore[attr-defined]
        return Layout(token("like", below.rows, like.rows), lengths=like.lengths)

    def asks(self) -> tuple[Node, ...]:
        return Sizes(self.input), Sizes(self.like)

    def needs(self, need: Need) -> tuple[Need, ...]:
        return need, Need(frozenset(), index=False)

    def build(self, *answers: Any) -> Node:
        mine, theirs = (tuple(rows for rows, _ in answer) for answer in answers)
        if sum(mine) != sum(theirs):
            msg = (
                f"Length of values ({sum(mine)}) does not match length of index ({sum(theirs)}): "
                "rows that are matched by position must be equally many"
            )
            raise ValueError(msg)
        return settled(self, cut_at(self.input, mine, theirs))


def resized(sample: Any, like: Any) -> Any:
    """As many rows of a sample as another has, with its labels: real rows, again and again."""
    if not len(sample) or not len(like):
        return sample[:0]
    return sample.take(np.resize(np.arange(len(sample)), len(like))).set_axis(like.index)


def bounds_of(lengths: Sequence[int]) -> tuple[int, ...]:
    """Positions at which partitions of these lengths begin, and the end of the last."""
    return (0, *np.cumsum(lengths, dtype=np.int64).tolist())


def cut_at(node: Node, old: Sequence[int], new: Sequence[int]) -> Node:
    """The node with partitions of the lengths ``new`` instead of ``old``."""
    if tuple(old) == tuple(new):
        return node
    return Repartition(node, bounds_of(old), bounds_of(new))


# By keys ------------------------------------------------------------------------------------


def pieces_by(value: Any, where: npt.NDArray[np.int64], n: int) -> list[Any]:
    """The rows of a partition by destination, in order, as one copy cut into slices."""
    counts = np.bincount(where, minlength=n)
    if counts.max(initial=0) == len(where):
        # All rows go to one place, as those of sorted frames do.
        nothing = value[:0]
        home = int(where[0]) if len(where) else 0
        return [value if j == home else nothing for j in range(n)]
    small = where.astype(np.uint8 if n <= 256 else np.uint16 if n <= 65_536 else np.int64)
    taken = value.take(np.argsort(small, kind="stable"))
    ends = np.cumsum(counts).tolist()
    nothing = taken[:0]
    return [
        taken[end - count : end] if count else nothing
        for end, count in zip(ends, counts.tolist(), strict=True)
    ]


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

    def __call__(self, index: Index, value: Any) -> list[Any]:
        tags = (index[0] << _SHIFT) + np.arange(len(value)) if self.ties else None
        where = destinations(self.by.arrays(value), self.cuts, self.order, tags)
        return pieces_by(value, where, len(self.cuts) + 1)


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

    def __call__(self, _index: Index, value: Any) -> list[Any]:
        found = hashes(self.by.arrays(value), len(value)) % np.uint64(self.n)
        return pieces_by(value, found.astype(np.int64), self.n)


def need_of_keys(need: Need, by: Keys, node: Any) -> Need:
    """What is needed of a node that is exchanged by these keys."""
    columns = by.columns_of(node.columns)
    reads_index = by.of == "index" or len(columns) < len(by.names)
    return Need(need.plus(columns).columns, need.index or reads_index, need.order)


# There and back -----------------------------------------------------------------------------


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
        tags = ((index[0] + self.first) << _SHIFT) + np.arange(len(value), dtype=np.int64)
        return value.assign(**{TAG: tags})


class Restore(FrameExchange):
    """Rows back to the partition and the order that their hidden tags say.

    ``counts``: an index that then counts evenly is a RangeIndex, as in pandas.
    """

    input: Node
    n: int
    counts: bool = False

    @property
    def grid(self) -> tuple[int, ...]:
        return (self.n,)

    @property
    def label(self) -> str:
        return "restore order"

    def split(self) -> Kernel:
        return _SplitByTag(self.n)

    def merge(self) -> Kernel:
        return _MergeByTag(self.schema, self.counts)

    def reference(self, *inputs: Any) -> Any:
        return _MergeByTag(None, self.counts)((0,), [inputs[0]])


@record
class _SplitByTag:
    n: int

    def __call__(self, _index: Index, value: Any) -> list[Any]:
        return pieces_by(value, value[TAG].to_numpy() >> _SHIFT, self.n)


@record
class _MergeByTag:
    empty: Any
    counts: bool

    def __call__(self, _index: Index, pieces: list[Any]) -> Any:
        full = [piece for piece in pieces if len(piece)] or pieces[:1]
        if not full:
            return self.empty
        whole = concatenated(full)
        by = np.argsort(whole[TAG].to_numpy(), kind="stable")
        done = whole.drop(columns=TAG).take(by)
        return as_range(done) if self.counts else done


def as_range(value: Any) -> Any:
    """The value with an index that counts evenly made a RangeIndex, as pandas' own take does."""
    index = value.index
    if isinstance(index, pd.RangeIndex) or index.dtype != np.int64:
        return value
    labels = index.to_numpy()
    step = int(labels[1] - labels[0]) if len(labels) > 1 else 1
    if len(labels) > 1 and (step == 0 or not (np.diff(labels) == step).all()):
        return value
    first = int(labels[0]) if len(labels) else 0
    counted = pd.RangeIndex(first, first + step * len(labels), step, name=index.name)
    return value.set_axis(counted)


# What adaptive work becomes ---------------------------------------------------------------


@record
class Example:
    """A sample as a parameter of a node, known by the key of the node it belongs to."""

    key: str
    rows: Any


class Settled(FrameMap):
    """What an adaptive node became, with the sample and the layout that node had.

    Those who read it were made, and checked, with that sample: they must find it again.
    """

    input: Node
    example: Example
    lies: Layout

    row_preserving = True
    column_local = True
    carries_index = True

    @property
    def label(self) -> str:
        return self.input.label

    def kernel(self) -> Kernel:
        return _itself

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (need,)

    def _make_sample(self) -> Any:
        return self.example.rows

    def _make_layout(self) -> Layout:
        return self.lies


def _itself(_index: Index, value: Any) -> Any:
    return value


def settled(adaptive: FrameAdaptive, node: Node) -> Node:
    """The node that an adaptive one became, in its place."""
    return Settled(node, Example(adaptive.key, adaptive.sample), adaptive.layout)


# The one way to ask for a layout ------------------------------------------------------------


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


def frame_of(node: Node) -> Frame:
    """The node, known to be a frame's."""
    if not isinstance(node, Frame):
        msg = f"{node!r} is no node of a frame"
        raise TypeError(msg)
    return node


def names_of(value: Any) -> tuple[Hashable, ...]:
    """Columns of a frame, or the name of a series."""
    return tuple(value.columns) if isinstance(value, pd.DataFrame) else (value.name,)
