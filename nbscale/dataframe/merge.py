"""How two frames are merged, and the work that one merge becomes.

A side that is small, by bytes, goes whole to every partition of the other. Two large sides meet by
hash of their keys, each row tagged, and the result goes back to the order that pandas gives: that
of the left rows, or of the right ones. An outer merge is in the order of its keys, so there the
sides meet by range.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from nbscale import config
from nbscale.dataframe.exchange import (
    TAG,
    HashExchange,
    RangeExchange,
    Restore,
    SampleKeys,
    Sizes,
    Tagged,
    outputs_for,
    quantile_cuts,
    samples_each,
)
from nbscale.dataframe.keys import Keys, Order, common_dtype
from nbscale.dataframe.node import FrameAdaptive, FrameMap, FrameReduce
from nbscale.dataframe.order import Sort
from nbscale.dataframe.promote import dtypes_with_missing
from nbscale.dataframe.rows import concatenated
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.record import record

__all__ = ["How", "Merge", "gathered", "suffixed_columns"]

_MARKS = ("\x00left", "\x00right")


@record
class How:
    """The arguments of a merge, checked and complete."""

    how: str
    left_on: tuple[Hashable, ...]
    right_on: tuple[Hashable, ...]
    left_index: bool
    right_index: bool
    suffixes: tuple[str | None, str | None]
    indicator: bool | str

    def call(self, left: Any, right: Any) -> Any:
        """What pandas says on whole frames."""
        return pd.merge(
            left,
            right,
            how=self.how,  # type: ignore[arg-type]
            left_on=list(self.left_on) or None,
            right_on=list(self.right_on) or None,
            left_index=self.left_index,
            right_index=self.right_index,
            suffixes=self.suffixes,
            indicator=self.indicator,
        )

    @property
    def numbers_rows(self) -> bool:
        """Whether the result has an index of its own, counting rows."""
        return not (self.left_index or self.right_index)

    @property
    def shared(self) -> tuple[Hashable, ...]:
        """Keys that are one column of the result."""
        return tuple(a for a, b in zip(self.left_on, self.right_on, strict=False) if a == b)

    def keys(self, left: Any, right: Any) -> tuple[Keys, Keys]:
        """The keys of both sides, in dtypes that can be compared."""
        sides = []
        for node, on in ((left, self.left_on), (right, self.right_on)):
            levels = tuple(range(node.sample.index.nlevels))
            sides.append(Keys("columns", on) if on else Keys("index", levels))
        pairs = zip(sides[0].arrays(left.schema), sides[1].arrays(right.schema), strict=True)
        dtypes = [common_dtype(a.dtype, b.dtype) for a, b in pairs]
        return sides[0].cast(dtypes), sides[1].cast(dtypes)

    def needed(self, need: Need, left: Any, right: Any) -> tuple[Need, Need]:
        """What is needed of each side."""
        found = []
        others = {0: set(right.columns), 1: set(left.columns)}
        for side, (node, on) in enumerate(((left, self.left_on), (right, self.right_on))):
            index = self.left_index or self.right_index
            if need.columns is None:
                found.append(Need(None, index, True))
                continue
            suffix = self.suffixes[side] or ""
            # A column that both have gets its suffix because both have it: all or none.
            keep = {
                c
                for c in node.columns
                if c in on
                or c in need.columns
                or (
                    c in others[side]
                    and any(f"{c}{s or ''}" in need.columns for s in self.suffixes)
                )
                or f"{c}{suffix}" in need.columns
            }
            found.append(Need(frozenset(keep), index, True))
        return found[0], found[1]


def suffixed_columns(spec: How, left: Any, right: Any) -> pd.Index:
    """The column names that a merge gives."""
    return spec.call(left.iloc[:0], right.iloc[:0]).columns


# One partition ------------------------------------------------------------------------------


@record
class Flags:
    """Whether rows lack their left side, have it, lack their right side: of a whole or a part."""

    no_left: bool
    some_left: bool
    no_right: bool

    def __or__(self, other: Flags) -> Flags:
        """Of two parts together."""
        return Flags(
            self.no_left or other.no_left,
            self.some_left or other.some_left,
            self.no_right or other.no_right,
        )


@record
class Target:
    """The dtypes of one column of the result.

    ``plain`` where no row lacks its side, ``lacking`` where some do, ``all_lacking`` where all do.
    """

    side: int
    plain: Any
    lacking: Any
    all_lacking: Any

    def dtype(self, flags: Flags) -> Any:
        """The dtype for what is known of the whole."""
        if self.side == 1:
            return self.lacking if flags.no_right else self.plain
        if not flags.no_left:
            return self.plain
        return self.lacking if flags.some_left else self.all_lacking


def targets_of(spec: How, left: pd.DataFrame, right: pd.DataFrame) -> tuple[Target, ...]:
    """What becomes of each column, left ones first, by the schemas of both sides."""
    found = []
    shared = dict(zip(spec.left_on, spec.right_on, strict=False))
    for name, plain, lacking in zip(left, left.dtypes, dtypes_with_missing(left), strict=True):
        if name in spec.left_on and shared.get(name) == name:
            other = right[name].dtype
            found.append(Target(0, plain, common_dtype(plain, other), other))
        elif name in spec.left_on and spec.right_index:
            found.append(Target(0, plain, plain, plain))
        else:
            found.append(Target(0, plain, lacking, lacking))
    dropped = set(spec.shared)
    for name, plain, lacking in zip(right, right.dtypes, dtypes_with_missing(right), strict=True):
        if name not in dropped:
            kept = name in spec.right_on and spec.left_index
            found.append(Target(1, plain, plain if kept else lacking, lacking))
    # The tag of a side that is kept whole is never missing.
    return tuple(
        Target(t.side, t.plain, t.plain, t.plain) if n == TAG else t
        for t, n in zip(found, [*left, *(c for c in right if c not in dropped)], strict=True)
    )


class MergeParts(FrameMap):
    """Partitions that meet, merged: rows, and what is known of them."""

    left: Node
    right: Node
    spec: How
    targets: tuple[Target, ...]
    marked: tuple[bool, bool]

    @property
    def label(self) -> str:
        return "merge"

    def kernel(self) -> Kernel:
        return _MergeKernel(self.spec, self.marked, *self._index_like())

    def _index_like(self) -> tuple[Any, Any]:
        """Names and dtype of the index, where it is taken from a side."""
        if self.spec.numbers_rows:
            return None, None
        left, right = self.left.sample.index, self.right.sample.index  # type: ignore[attr-defined]
        if self.spec.left_index and self.spec.right_index:
            source = right if self.spec.how == "right" else left
            both = left.nlevels == 1 and self.spec.how == "inner"
            dtype = common_dtype(left.dtype, right.dtype) if both else source.dtype
            return tuple(source.names), dtype if source.nlevels == 1 else None
        source = left if self.spec.right_index else right
        return tuple(source.names), source.dtype if source.nlevels == 1 else None


@record
class _MergeKernel:
    spec: How
    marked: tuple[bool, bool]
    names: Any
    dtype: Any

    def __call__(self, _index: Index, left: Any, right: Any) -> tuple[Any, Flags]:
        if self.marked[0]:
            left = left.assign(**{_MARKS[0]: np.ones(len(left))})
        if self.marked[1]:
            right = right.assign(**{_MARKS[1]: np.ones(len(right))})
        done = self.spec.call(left, right)
        lacks = [
            done[mark].isna().to_numpy() if marked else np.zeros(1, dtype=bool)
            for mark, marked in zip(_MARKS, self.marked, strict=True)
        ]
        flags = Flags(
            bool(lacks[0].any()), len(done) > 0 and not lacks[0].all(), bool(lacks[1].any())
        )
        extra = [mark for mark, marked in zip(_MARKS, self.marked, strict=True) if marked]
        if extra:
            done = done.drop(columns=extra)
        if self.names is not None:
            labels = done.index
            if self.dtype is not None and labels.dtype != self.dtype:
                labels = labels.astype(self.dtype)
            done.index = labels.set_names(self.names)
        return done, flags


class MergeFlags(FrameReduce):
    """What is known of all rows together."""

    input: Node

    @property
    def label(self) -> str:
        return "any missing"

    def partial(self) -> Kernel:
        return _flags_of

    def combine(self) -> Kernel:
        return _flags_of_all

    def final(self) -> Kernel:
        return _itself


def _flags_of(_index: Index, pair: tuple[Any, Flags]) -> Flags:
    return pair[1]


def _flags_of_all(_index: Index, flags: list[Flags]) -> Flags:
    total = Flags(False, False, False)
    for one in flags:
        total = total | one
    return total


def _itself(_index: Index, value: Any) -> Any:
    return value


class MergedRows(FrameMap):
    """Merged rows in the dtypes of the whole."""

    pairs: Node
    flags: Node | None
    targets: tuple[Target, ...]

    @property
    def label(self) -> str:
        return "dtypes"

    def kernel(self) -> Kernel:
        return _CastKernel(self.targets)


@record
class _CastKernel:
    targets: tuple[Target, ...]

    def __call__(self, _index: Index, pair: tuple[Any, Flags], whole: Flags | None = None) -> Any:
        rows, own = pair
        flags = whole if whole is not None else own
        wanted = [target.dtype(flags) for target in self.targets]
        have = list(rows.dtypes)[: len(wanted)]
        if have == wanted:
            return rows
        rows = rows.copy(deep=False)
        for i, (before, dtype) in enumerate(zip(have, wanted, strict=True)):
            if before != dtype:
                rows.isetitem(i, rows.iloc[:, i].astype(dtype))
        return rows


def merged(left: Any, right: Any, spec: How) -> Node:
    """Partitions of two nodes, one by one (or each with the only one), merged and in order."""
    targets = targets_of(spec, left.schema, right.schema)
    marked = tuple(
        side in {"left": (1,), "right": (0,), "outer": (0, 1)}.get(spec.how, ())
        and any(
            t.side == side and (t.plain != t.lacking or t.plain != t.all_lacking) for t in targets
        )
        for side in (0, 1)
    )
    pairs = MergeParts(left, right, spec, targets, marked)  # type: ignore[arg-type]
    return MergedRows(pairs, MergeFlags(pairs) if any(marked) else None, targets)


# The whole ----------------------------------------------------------------------------------


class Gather(FrameReduce):
    """All partitions of a small side in one."""

    input: Node

    @property
    def label(self) -> str:
        return "gather the small side"

    def partial(self) -> Kernel:
        return _itself

    def combine(self) -> Kernel:
        return _joined

    def final(self) -> Kernel:
        return _itself


def _joined(_index: Index, values: list[Any]) -> Any:
    return concatenated([v for v in values if len(v)] or values[:1])


def gathered(node: Node) -> Node:
    """A small node in one partition."""
    return node if node.grid == (1,) else Gather(node)


def small_bytes() -> int:
    """A side of at most so many bytes goes to every partition of the other: half a partition."""
    return config.get().partition_size // 2


class Merge(FrameAdaptive):
    """Rows of two frames with equal keys, in pandas' order.

    ``broadcast`` says whether the smaller side goes whole to every partition of the other; None
    lets its size decide.
    """

    left: Node
    right: Node
    spec: How
    broadcast: bool | None = None

    @property
    def label(self) -> str:
        return "merge"

    def reference(self, *inputs: Any) -> Any:
        return self.spec.call(*inputs)

    def needs(self, need: Need) -> tuple[Need, ...]:
        return self.spec.needed(need, self.left, self.right)

    def asks(self) -> tuple[Node, ...]:
        if self.spec.how == "outer":
            by = self.spec.keys(self.left, self.right)
            return tuple(
                SampleKeys(side, keys, samples_each(side.grid[0]))
                for side, keys in zip((self.left, self.right), by, strict=True)
            )
        return (Sizes(self.left if self.spec.how == "right" else self.right),)

    def build(self, *answers: Any) -> Node:
        if self.spec.how == "outer":
            return self._outer(*answers)
        (sizes,) = answers
        small = sum(size for _, size in sizes) <= small_bytes()
        if self.spec.how == "cross" and not small:
            msg = (
                "a cross merge needs a right side of at most "
                f"{small_bytes():,} bytes (half of config.partition_size)"
            )
            raise NotImplementedError(msg)
        if len(sizes) == 1 or (small if self.broadcast is None else self.broadcast):
            if self.spec.how == "right":
                return merged(gathered(self.left), self.right, self.spec)
            return merged(self.left, gathered(self.right), self.spec)
        return MergeLarge(self.left, self.right, self.spec, self.broadcast)

    def _outer(self, left: Any, right: Any) -> Node:
        by = self.spec.keys(self.left, self.right)
        order = outer_order(by[0].dtypes)
        size = sum(s.nbytes for s in (*left, *right))
        n = outputs_for(max(len(left), len(right)), size, config.get().partition_size)
        cuts = quantile_cuts((*left, *right), n, order)
        sides = [
            RangeExchange(side, keys, cuts, order)
            for side, keys in zip((self.left, self.right), by, strict=True)
        ]
        return merged(sides[0], sides[1], self.spec)


def outer_order(dtypes: tuple[Any, ...]) -> Order:
    """The order of keys in an outer merge: missing times and categories come first."""
    last = tuple(
        not (isinstance(d, pd.CategoricalDtype) or getattr(d, "kind", "O") in "mM") for d in dtypes
    )
    return Order((True,) * len(dtypes), last)


class MergeLarge(FrameAdaptive):
    """A merge whose one side is large; if the other is, too, both meet by hash."""

    left: Node
    right: Node
    spec: How
    broadcast: bool | None

    @property
    def label(self) -> str:
        return "merge"

    def reference(self, *inputs: Any) -> Any:
        return self.spec.call(*inputs)

    def asks(self) -> tuple[Node, ...]:
        return Sizes(self.left), Sizes(self.right)

    def build(self, *answers: Any) -> Node:
        sizes = [sum(size for _, size in side) for side in answers]
        keeps_left = self.spec.how != "right"
        kept = self.left if keeps_left else self.right
        if self.spec.how == "inner" and self.broadcast is None and sizes[0] <= small_bytes():
            found = merged(gathered(Tagged(self.left)), self.right, self.spec)
            # Few left rows may match very many: cut by where they came from, ties too.
            back: Node = WithoutTag(Sort(found, Keys("columns", (TAG,)), Order((True,))))
        else:
            most = max(len(side) for side in answers)
            n = outputs_for(most, sum(sizes), config.get().partition_size)
            left_by, right_by = self.spec.keys(self.left, self.right)
            left = HashExchange(Tagged(self.left) if keeps_left else self.left, left_by, n)
            right = HashExchange(self.right if keeps_left else Tagged(self.right), right_by, n)
            counts = isinstance(kept.sample.index, pd.RangeIndex)  # type: ignore[attr-defined]
            back = Restore(merged(left, right, self.spec), kept.grid[0], counts)
        return CountWithin(back) if self.spec.numbers_rows else back


class WithoutTag(FrameMap):
    """A frame without the hidden column."""

    input: Node

    row_preserving = True
    carries_index = True

    @property
    def label(self) -> str:
        return "drop tags"

    def kernel(self) -> Kernel:
        return _without_tag


def _without_tag(_index: Index, value: Any) -> Any:
    return value.drop(columns=TAG)


class CountWithin(FrameMap):
    """Rows numbered within their partition."""

    input: Node

    row_preserving = True
    column_local = True

    @property
    def label(self) -> str:
        return "number rows"

    def kernel(self) -> Kernel:
        return _count_within


def _count_within(_index: Index, value: Any) -> Any:
    return value.set_axis(pd.RangeIndex(len(value)))
