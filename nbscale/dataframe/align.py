"""Index alignment: making operands hold the same rows before they meet.

pandas matches rows by label, and zips where two whole indexes are equal. Whether they are cannot
be told from one partition, so it is asked first: every index is digested to a number. Equal ones
are cut alike and zipped; unequal ones meet by range of their labels (arithmetic) or by hash (when
one takes the rows of the other), and the labels are joined there, never by an operator that sees
one partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from nbscale import config
from nbscale.dataframe.exchange import (
    HashExchange,
    KeySample,
    RangeExchange,
    cut_at,
    outputs_for,
    quantile_cuts,
    resized,
    samples_each,
    settled,
)
from nbscale.dataframe.keys import Cuts, Keys, Order, common_dtype, hashes, sample_positions
from nbscale.dataframe.lookup import looked_up
from nbscale.dataframe.node import Frame, FrameAdaptive, FrameMap, FrameReduce, row_bytes, zips
from nbscale.dataframe.promote import dtypes_of, dtypes_with_missing, promoted
from nbscale.dataframe.rows import concatenated
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.expr.token import token
from nbscale.plan.layout import Layout
from nbscale.record import record

__all__ = ["aligned", "aligned_mask", "aligned_to", "identical", "spread"]

_MASK = (1 << 64) - 1
_BASES = (0x9E3779B97F4A7C15 | 1, 0xC2B2AE3D27D4EB4F | 1)
_MOST_SPREAD = 10_000


# Digests ------------------------------------------------------------------------------------


@record
class IndexDigest:
    """An index in a few numbers: two polynomials over the hashes of its labels, mergeable."""

    rows: int
    sums: tuple[int, int]
    nbytes: float
    keys: Cuts
    missing: bool

    @property
    def sample(self) -> KeySample:
        """The labels sampled on the way."""
        return KeySample(self.rows, self.nbytes, self.keys)


class DigestIndex(FrameMap):
    """The digest of the index of every partition."""

    input: Node
    by: Keys

    @property
    def label(self) -> str:
        return "compare indexes"

    def kernel(self) -> Kernel:
        return _Digest(self.by, samples_each(self.input.grid[0]))


@record
class _Digest:
    by: Keys
    wanted: int

    def __call__(self, index: Index, value: Any) -> IndexDigest:
        arrays = self.by.arrays(value)
        rows = len(value)
        labels = hashes(arrays, rows)
        sums = []
        for base in _BASES:
            # Powers wrap around at 2**64, as they are meant to.
            powers = np.cumprod(np.full(rows, base, dtype=np.uint64))
            sums.append(int(np.sum(labels[::-1] * powers, dtype=np.uint64)))
            labels = labels ^ (labels << np.uint64(7)) ^ np.uint64(base)
        at = sample_positions(rows, self.wanted, index[0])
        cuts = Cuts.of([a.take(at) for a in arrays])
        missing = any(bool(pd.isna(a).any()) for a in arrays)
        return IndexDigest(rows, (sums[0], sums[1]), row_bytes(value), cuts, missing)


def whole_digest(parts: Sequence[IndexDigest]) -> tuple[int, int, int]:
    """The digest of all partitions one after the other."""
    rows, first, second = 0, 0, 0
    for part in parts:
        a, b = (pow(base, part.rows, 1 << 64) for base in _BASES)
        first = (first * a + part.sums[0]) & _MASK
        second = (second * b + part.sums[1]) & _MASK
        rows += part.rows
    return rows, first, second


def index_keys(left: Any, right: Any) -> Keys:
    """How labels of both sides are compared.

    Raises
    ------
    NotImplementedError
        If the indexes have different numbers of levels.
    """
    one, other = left.sample.index, right.sample.index
    if one.nlevels != other.nlevels:
        msg = (
            f"cannot align an index of {one.nlevels} levels with one of {other.nlevels}; "
            "reset_index() and merge() instead"
        )
        raise NotImplementedError(msg)
    dtypes = [
        common_dtype(one.get_level_values(i).dtype, other.get_level_values(i).dtype)
        for i in range(one.nlevels)
    ]
    return Keys("index", tuple(range(one.nlevels)), tuple(dtypes))


def _like(node: Node, have: Sequence[IndexDigest], want: Sequence[IndexDigest]) -> Node:
    return cut_at(node, [d.rows for d in have], [d.rows for d in want])


class _Compares(FrameAdaptive):
    """Work that compares two whole indexes first."""

    left: Node
    right: Node

    def asks(self) -> tuple[Node, ...]:
        by = index_keys(self.left, self.right)
        return DigestIndex(self.left, by), DigestIndex(self.right, by)

    def needs(self, need: Need) -> tuple[Need, ...]:
        both = Need(need.columns, True, True)
        return both, both


# Both sides on the union of labels ----------------------------------------------------------


class Outer(_Compares):
    """One of two sides on the rows that pandas' outer alignment of both gives.

    ``repeats`` says that it must also be asked whether labels repeat: missing times and categories
    come first if they do, last if not.
    """

    left: Node
    right: Node
    side: Literal[0, 1]
    repeats: bool = False

    @property
    def label(self) -> str:
        return "align"

    def reference(self, *inputs: Any) -> Any:
        left, right = inputs
        if not len(right):
            left = left[:0]
        return left if self.side == 0 else resized(right, left)

    def needs(self, need: Need) -> tuple[Need, ...]:
        mine = Need(need.columns, True, True)
        labels = Need(frozenset(), True, True)
        return (mine, labels) if self.side == 0 else (labels, mine)

    def _make_layout(self) -> Layout:
        left, right = self.left.layout, self.right.layout  # type: ignore[attr-defined]
        return Layout(token("outer", left.rows, right.rows))

    def asks(self) -> tuple[Node, ...]:
        digests = super().asks()
        if not self.repeats:
            return digests
        by = index_keys(self.left, self.right)
        n = max(self.left.grid[0], self.right.grid[0])
        sides = [HashExchange(IndexAlone(node), by, n) for node in (self.left, self.right)]
        return (*digests, *(Repeats(side) for side in sides))

    def build(self, *answers: Any) -> Node:
        left, right, *repeats = answers
        if whole_digest(left) == whole_digest(right):
            if self.side == 0:
                return settled(self, self.left)
            return settled(self, _like(self.right, right, left))
        by = index_keys(self.left, self.right)
        missing_first = False
        if any(_missing_varies(dtype) for dtype in by.dtypes):
            if not repeats and any(d.missing for d in (*left, *right)):
                return self.replace(repeats=True)
            missing_first = any(map(any, repeats))
        order = Order((True,) * len(by.names), not missing_first)
        size = sum(d.nbytes for d in (*left, *right))
        n = outputs_for(max(len(left), len(right)), size, config.get().partition_size)
        try:
            cuts = quantile_cuts([d.sample for d in (*left, *right)], n, order)
        except TypeError as error:
            msg = f"labels that cannot be put in order cannot be aligned ({error})"
            raise TypeError(f"{msg}; convert the indexes to one dtype first") from error
        sides = [RangeExchange(node, by, cuts, order) for node in (self.left, self.right)]
        mine, other = sides[self.side], _LabelsOf(sides[1 - self.side])
        dtype, names = self._labels(left, right, by)
        pairs = _JoinLabels(mine, other, self.side, dtype, names, missing_first)
        schema = mine.schema
        made = promoted(pairs, dtypes_of(schema), dtypes_with_missing(schema))
        return settled(self, made)

    def _labels(self, left: Any, right: Any, by: Keys) -> tuple[Any, tuple[Any, ...]]:
        """Dtype and names of the joined index: one side's own, if the other has no row."""
        empty = [sum(d.rows for d in side) == 0 for side in (left, right)]
        index = (self.right if empty[0] and not empty[1] else self.left).sample.index  # type: ignore[attr-defined]
        dtype = by.dtypes[0] if len(by.names) == 1 and not any(empty) else None
        return dtype, tuple(index.names)


def _missing_varies(dtype: Any) -> bool:
    """Whether pandas puts missing labels first where labels repeat: those it keeps as codes."""
    return isinstance(dtype, pd.CategoricalDtype) or getattr(dtype, "kind", "O") in "mM"


class IndexAlone(FrameMap):
    """A frame without columns."""

    input: Node

    @property
    def label(self) -> str:
        return "index"

    def kernel(self) -> Kernel:
        return _index_alone


def _index_alone(_index: Index, value: Any) -> Any:
    return pd.DataFrame(index=value.index)


class Repeats(FrameMap):
    """Whether labels repeat within a partition."""

    input: Node

    @property
    def label(self) -> str:
        return "repeats"

    def kernel(self) -> Kernel:
        return _repeats


def _repeats(_index: Index, value: Any) -> bool:
    return not value.index.is_unique


class _LabelsOf(FrameMap):
    """The index of every partition."""

    input: Node

    @property
    def label(self) -> str:
        return "index"

    def kernel(self) -> Kernel:
        return _labels_of


def _labels_of(_index: Index, value: Any) -> Any:
    return value.index


class _JoinLabels(FrameMap):
    """One side of a range on the outer join of both sides' labels, and whether rows are missing."""

    mine: Node
    other: Node
    side: int
    dtype: Any
    names: tuple[Any, ...]
    missing_first: bool

    @property
    def label(self) -> str:
        return "join labels"

    def kernel(self) -> Kernel:
        return _JoinKernel(self.side, self.dtype, self.names, self.missing_first)


@record
class _JoinKernel:
    side: int
    dtype: Any
    names: tuple[Any, ...]
    missing_first: bool

    def __call__(self, _index: Index, mine: Any, other: Any) -> tuple[Any, bool]:
        one, two = (mine.index, other) if self.side == 0 else (other, mine.index)
        labels, left, right = self._joined(one, two)
        if self.dtype is not None and labels.dtype != self.dtype:
            labels = labels.astype(self.dtype)
        labels = labels.set_names(self.names)
        return _placed(mine, labels, left if self.side == 0 else right)

    def _joined(self, one: Any, two: Any) -> tuple[Any, Any, Any]:
        if len(one) and len(two):
            return one.join(two, how="outer", return_indexers=True)
        # Where one side is empty as a whole pandas' own sort is not stable; here only a part is.
        full = one if len(one) else two
        missing = "first" if self.missing_first else "last"
        at = pd.Series(np.arange(len(full)), full).sort_index(kind="stable", na_position=missing)
        where, nothing = at.to_numpy(), np.full(len(full), -1)
        labels = full.take(where)
        return (labels, where, nothing) if len(one) else (labels, nothing, where)


def _placed(value: Any, labels: Any, where: Any) -> tuple[Any, bool]:
    """Rows of the value at positions, missing ones where these are -1."""
    if where is None:
        return value.set_axis(labels), False
    missing = bool((where < 0).any())
    plain = value.reset_index(drop=True)
    rows = plain.reindex(where) if missing else plain.take(where)
    return rows.set_axis(labels), missing


# One side as it is --------------------------------------------------------------------------


class Reindexed(_Compares):
    """``right`` on the rows of ``left``, by label."""

    left: Node
    right: Node
    strict: bool

    @property
    def label(self) -> str:
        return "align"

    @property
    def grid(self) -> tuple[int, ...]:
        return self.left.grid

    def reference(self, *inputs: Any) -> Any:
        left, right = inputs
        if len(right) or not len(left):
            return resized(right, left)
        return right.reindex(left.index, fill_value=False) if self.strict else right[:0]

    def needs(self, need: Need) -> tuple[Need, ...]:
        return Need(frozenset(), True, True), Need(need.columns, True, True)

    def _make_layout(self) -> Layout:
        return self.left.layout  # type: ignore[attr-defined]

    def build(self, *answers: Any) -> Node:
        left, right = answers
        if whole_digest(left) == whole_digest(right):
            return settled(self, _like(self.right, right, left))
        size = sum(d.nbytes for d in (*left, *right))
        n = outputs_for(max(len(left), len(right)), size, config.get().partition_size)
        by = index_keys(self.left, self.right)
        return settled(self, looked_up(self.left, self.right, by, n, strict=self.strict))


class Identical(_Compares):
    """``right`` cut like ``left``; the whole indexes must be equal."""

    left: Node
    right: Node

    @property
    def label(self) -> str:
        return "align"

    @property
    def grid(self) -> tuple[int, ...]:
        return self.left.grid

    def reference(self, *inputs: Any) -> Any:
        return resized(inputs[1], inputs[0])

    def needs(self, need: Need) -> tuple[Need, ...]:
        return Need(frozenset(), True, True), Need(need.columns, True, True)

    def _make_layout(self) -> Layout:
        return self.left.layout  # type: ignore[attr-defined]

    def build(self, *answers: Any) -> Node:
        left, right = answers
        if whole_digest(left) != whole_digest(right):
            kind = self.left.kind  # type: ignore[attr-defined]
            what = "(both index and columns) DataFrame" if kind == "frame" else "Series"
            msg = (
                f"Can only compare identically-labeled {what} objects: these have indexes of "
                f"{sum(d.rows for d in left)} and {sum(d.rows for d in right)} rows that are not "
                "equal; bring them to the same index first"
            )
            raise ValueError(msg.replace(" objects:", " objects;"))
        return settled(self, _like(self.right, right, left))


# A series along the columns -----------------------------------------------------------------


class Spread(FrameReduce):
    """A series in one partition, to meet all rows of a frame along its columns."""

    input: Node

    @property
    def label(self) -> str:
        return "spread along columns"

    def partial(self) -> Kernel:
        return _few_rows

    def combine(self) -> Kernel:
        return _few_of_all

    def final(self) -> Kernel:
        return _few_rows


def _few_rows(_index: Index, value: Any) -> Any:
    if len(value) > _MOST_SPREAD:
        msg = (
            f"a Series of more than {_MOST_SPREAD} rows cannot be matched with the columns of a "
            "frame; operations between a frame and a Series go along the columns, as in pandas"
        )
        raise ValueError(msg)
    return value


def _few_of_all(index: Index, values: list[Any]) -> Any:
    return _few_rows(index, concatenated(values))


def spread(series: Node) -> Node:
    """The series in one partition; as it is if it has one."""
    try:
        single = series.grid == (1,)
    except LookupError:
        single = False
    return series if single else Spread(series)


# What operations ask for --------------------------------------------------------------------


def aligned(*nodes: Node) -> tuple[Node, ...]:
    """Return nodes that hold the rows pandas' alignment of these gives, partition by partition.

    Parameters
    ----------
    nodes
        Frames, series and scalars; several are aligned one after the other.

    Returns
    -------
    tuple
        As many nodes. Those that hold the same rows already come back as they are. Otherwise
        their indexes are digested, and rows move only if these differ.

    Raises
    ------
    NotImplementedError
        For an Index on other rows: it has no labels to be matched by.
    """
    if zips(*nodes):
        return nodes
    done: list[Any] = []
    for node in nodes:
        if not _labelled(node):
            done.append(node)
            continue
        first = next((d for d in done if _labelled(d)), None)
        if first is None or zips(first, node):
            done.append(node)
            continue
        _check_labelled(first, node)
        done = [Outer(d, node, 0) if _labelled(d) else d for d in done]
        done.append(Outer(first, node, 1))
    return tuple(done)


def aligned_to(frame: Node, *others: Node) -> tuple[Node, ...]:
    """Return the others on the rows of the frame, missing where they lack its labels.

    Raises
    ------
    ValueError
        When computed: if the labels of another repeat and its index is not equal to the frame's.
    """
    return tuple(_on(frame, other, strict=False) for other in others)


def aligned_mask(frame: Node, mask: Node) -> Node:
    """Return the mask on the rows of the frame.

    Raises
    ------
    pandas.errors.IndexingError
        When computed: if the mask lacks labels of the frame.
    """
    return _on(frame, mask, strict=True)


def identical(frame: Node, other: Node) -> Node:
    """Return the other cut like the frame, for comparisons.

    Raises
    ------
    ValueError
        When computed: if the indexes are not equal.
    """
    if not _labelled(other) or zips(frame, other):
        return other
    _check_labelled(frame, other)
    return Identical(frame, other)


def _on(frame: Node, other: Node, *, strict: bool) -> Node:
    if not _labelled(other) or zips(frame, other):
        return other
    _check_labelled(frame, other)
    return Reindexed(frame, other, strict)


def _labelled(node: Node) -> bool:
    return isinstance(node, Frame) and node.has_index


def _check_labelled(*nodes: Any) -> None:
    if any(node.kind == "index" for node in nodes):
        msg = (
            "an Index meets only rows of the frame it was taken from; use "
            "reset_index() to make it a column"
        )
        raise NotImplementedError(msg)
    index_keys(*nodes)
