"""One merge: its arguments, partitions that meet, and the dtypes of the whole.

Rows that lack a side change dtypes, and one partition cannot tell: so each says what it found, and
all are cast to what pandas gives the whole.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from nbscale.dataframe.exchange import TAG
from nbscale.dataframe.keys import Keys, common_dtype
from nbscale.dataframe.node import FrameMap, FrameReduce
from nbscale.dataframe.promote import dtypes_with_missing
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node, Read
from nbscale.graph.axismap import Ranges
from nbscale.record import record

__all__ = ["How", "merged", "suffixed_columns"]


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
    def indicator_name(self) -> str:
        """The column that says which sides a row has."""
        return self.indicator if isinstance(self.indicator, str) else "_merge"

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
    targets = [
        Target(t.side, t.plain, t.plain, t.plain) if n == TAG else t
        for t, n in zip(found, [*left, *(c for c in right if c not in dropped)], strict=True)
    ]
    for at, dtype in _keys_apart(spec, left, right):
        targets.insert(at, Target(0, dtype, dtype, dtype))
    return tuple(targets)


def _keys_apart(spec: How, left: pd.DataFrame, right: pd.DataFrame) -> list[tuple[int, Any]]:
    """Where the result has a column of a key that met an index, and its dtype.

    There is one if both sides have a column of that name: each of these gets its suffix then.
    """
    if spec.left_index == spec.right_index or not all(spec.suffixes):
        return []
    side, index = (left, right.index) if spec.right_index else (right, left.index)
    return [
        (at, common_dtype(side[name].dtype, index.get_level_values(at).dtype))
        for at, name in enumerate(spec.left_on or spec.right_on)
        if name in left.columns and name in right.columns
    ]


class MergeParts(FrameMap):
    """Partitions that meet, merged: rows, and what is known of them."""

    left: Node
    right: Node
    spec: How
    marked: tuple[bool, bool]

    @property
    def label(self) -> str:
        return "merge"

    def kernel(self) -> Kernel:
        return _MergeKernel(self.spec, self.marked, *self._index_like())

    def _index_like(self) -> tuple[Any, Any]:
        """The index without rows, where it is taken from a side; and its dtype, if it has one."""
        if self.spec.numbers_rows:
            return None, None
        left, right = self.left.sample.index, self.right.sample.index  # type: ignore[attr-defined]
        if self.spec.left_index and self.spec.right_index:
            source = right if self.spec.how == "right" else left
            both = left.nlevels == 1 and self.spec.how == "inner"
            dtype = common_dtype(left.dtype, right.dtype) if both else source.dtype
            return source[:0], dtype if source.nlevels == 1 else None
        source = left if self.spec.right_index else right
        return source[:0], source.dtype if source.nlevels == 1 else None


@record
class _MergeKernel:
    spec: How
    marked: tuple[bool, bool]
    empty: Any
    dtype: Any

    def __call__(self, _index: Index, left: Any, right: Any) -> tuple[Any, Flags, Any]:
        marks = [
            side.assign(**{mark: np.ones(len(side), dtype=np.float32)}) if marked else side
            for side, mark, marked in zip((left, right), _MARKS, self.marked, strict=True)
        ]
        done = dataclasses.replace(self.spec, indicator=False).call(*marks)
        del marks
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
        if self.spec.indicator:
            done[self.spec.indicator_name] = _sides_of(len(done), *lacks)
        if self.empty is not None:
            done.index = self._labels(done.index)
        # By the dtypes there are, not those of the sample: alignment may have changed them.
        return done, flags, targets_of(self.spec, left, right)

    def _labels(self, found: pd.Index) -> pd.Index:
        if not len(found) and (found.nlevels != self.empty.nlevels or found.dtype != self.dtype):
            # Without a row pandas may give the index of the other side, which is of another kind.
            return self.empty if self.dtype is None else self.empty.astype(self.dtype)
        if self.dtype is not None and found.dtype != self.dtype:
            found = found.astype(self.dtype)
        elif isinstance(found, pd.RangeIndex) and not isinstance(self.empty, pd.RangeIndex):
            # Labels that count by chance, in this part alone.
            found = pd.Index(found.to_numpy())
        return found.set_names(list(self.empty.names))


def _sides_of(rows: int, no_left: Any, no_right: Any) -> pd.Categorical:
    """The indicator of a merge. To have pandas make it takes five columns of floats."""
    codes = np.full(rows, 2, dtype=np.int8)
    codes[np.broadcast_to(no_right, rows)] = 0
    codes[np.broadcast_to(no_left, rows)] = 1
    return pd.Categorical.from_codes(codes, ["left_only", "right_only", "both"])


class CrossParts(MergeParts):
    """Every partition of the left merged with every one of the right, those of one left together."""

    @property
    def grid(self) -> tuple[int, ...]:
        return (self.left.grid[0] * self.right.grid[0],)

    def reads(self) -> tuple[Read, ...]:
        m, n = self.left.grid[0], self.right.grid[0]
        left, right = np.divmod(np.arange(m * n), n)
        return (
            Read(self.left, (0,), (Ranges(m, left, left + 1),)),
            Read(self.right, (0,), (Ranges(n, right, right + 1),)),
        )


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


def _flags_of(_index: Index, found: tuple[Any, Flags, Any]) -> Flags:
    return found[1]


def _flags_of_all(_index: Index, flags: list[Flags]) -> Flags:
    total = Flags(False, False, False)
    for one in flags:
        total = total | one
    return total


def _itself(_index: Index, value: Any) -> Any:
    return value


class MergedRows(FrameMap):
    """Merged rows in the dtypes of the whole."""

    found: Node
    flags: Node | None

    @property
    def label(self) -> str:
        return "dtypes"

    def kernel(self) -> Kernel:
        return _cast_all


def _cast_all(_index: Index, found: tuple[Any, Flags, Any], whole: Flags | None = None) -> Any:
    rows, own, targets = found
    wanted = [target.dtype(whole if whole is not None else own) for target in targets]
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
    lacked = {"left": (1,), "right": (0,), "outer": (0, 1)}.get(spec.how, ())
    # Sides that rows may lack, and where that changes the dtype of a column.
    changed = [
        side in lacked
        and any(
            t.side == side and (t.plain != t.lacking or t.plain != t.all_lacking) for t in targets
        )
        for side in (0, 1)
    ]
    marked = tuple(side in lacked and (changed[side] or bool(spec.indicator)) for side in (0, 1))
    parts = CrossParts if spec.how == "cross" else MergeParts
    found = parts(left, right, spec, marked)  # type: ignore[arg-type]
    return MergedRows(found, MergeFlags(found) if any(changed) else None)
