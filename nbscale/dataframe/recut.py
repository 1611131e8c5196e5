"""The same rows in the same order, cut at other positions: equal lengths, so many rows or bytes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from nbscale.dataframe.exchange import Joined
from nbscale.dataframe.node import FrameAdaptive, FrameExchange
from nbscale.dataframe.project import narrowed
from nbscale.dataframe.sampling import Sizes
from nbscale.dataframe.settle import resized, settled
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.expr.token import token
from nbscale.graph.axismap import AxisMap, Ranges
from nbscale.plan.layout import Layout
from nbscale.record import record
from nbscale.units import parse_bytes

__all__ = ["Recut", "Repartition", "RepartitionLike", "bounds_of", "cut_at", "recut"]


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
        # An empty range reads a neighbour, too, to know what its rows would be.
        n = len(old) - 1
        lo = np.clip(lo, 0, n - 1)
        hi = np.clip(np.maximum(hi, lo + 1), 0, n)
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
        bounds = np.asarray(self.new)
        begin = max(0, int(np.searchsorted(bounds[1:], first, side="left")))
        end = int(np.searchsorted(bounds[:-1], last, side="right"))
        return {
            j: value[max(0, self.new[j] - first) : max(0, self.new[j + 1] - first)]
            for j in range(begin, end)
        }


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

    def pruned(self, need: Need, inputs: Sequence[Node]) -> Node:
        return self.with_inputs(narrowed(inputs, self.needs(need)))

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


def bounds_of(lengths: Sequence[int]) -> tuple[int, ...]:
    """Positions at which partitions of these lengths begin, and the end of the last."""
    return (0, *np.cumsum(lengths, dtype=np.int64).tolist())


def cut_at(node: Node, old: Sequence[int], new: Sequence[int]) -> Node:
    """The node with partitions of the lengths ``new`` instead of ``old``."""
    if tuple(old) == tuple(new):
        return node
    return Repartition(node, bounds_of(old), bounds_of(new))


class Recut(FrameAdaptive):
    """Partitions of equal length: so many of them, or of so many rows or bytes."""

    input: Node
    npartitions: int | None = None
    chunksize: int | None = None
    partition_size: int | None = None

    @property
    def label(self) -> str:
        return "repartition"

    @property
    def grid(self) -> tuple[int, ...]:
        if self.npartitions is None:
            return super().grid
        return (self.npartitions,)

    def reference(self, *inputs: Any) -> Any:
        return inputs[0]

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (need,)

    def pruned(self, need: Need, inputs: Sequence[Node]) -> Node:
        return self.with_inputs(narrowed(inputs, self.needs(need)))

    def asks(self) -> tuple[Node, ...]:
        return (Sizes(self.input),)

    def build(self, *answers: Any) -> Node:
        (sizes,) = answers
        lengths = [rows for rows, _ in sizes]
        if self.partition_size is None:
            return self.cut(lengths)
        n = max(1, -(-int(sum(size for _, size in sizes)) // self.partition_size))
        return cut_at(self.input, lengths, _even(sum(lengths), n))

    def cut(self, lengths: Sequence[int]) -> Node:
        """What this becomes when the lengths of the partitions are known."""
        total = sum(lengths)
        if self.npartitions is not None:
            return cut_at(self.input, lengths, _even(total, self.npartitions))
        size = self.chunksize or 1
        full, rest = divmod(total, size)
        wanted = [size] * full + ([rest] if rest or not full else [])
        return cut_at(self.input, lengths, wanted)


def _even(total: int, n: int) -> list[int]:
    bounds = [round(i * total / n) for i in range(n + 1)]
    return [b - a for a, b in itertools.pairwise(bounds)]


def recut(
    node: Any,
    *,
    npartitions: int | None = None,
    chunksize: int | None = None,
    partition_size: Any = None,
) -> Node:
    """The node in other partitions; counts rows first only where they are not known.

    Raises
    ------
    ValueError
        If a number is below 1.
    """
    size = None if partition_size is None else parse_bytes(partition_size)
    for name, value in (
        ("npartitions", npartitions),
        ("chunksize", chunksize),
        ("partition_size", size),
    ):
        if value is not None and value < 1:
            msg = f"{name} must be at least 1, not {value}"
            raise ValueError(msg)
    made = Recut(node, npartitions, chunksize, size)
    known = node.layout.lengths
    return made.cut(known) if known is not None and size is None else made
