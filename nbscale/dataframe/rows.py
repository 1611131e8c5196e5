"""Which rows: ``head``, ``tail``, ``len``, ``partitions``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nbscale.collection import Collection, wrap
from nbscale.dataframe.node import Frame, FrameAdaptive, FrameHeld, FrameMap, FrameReduce
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node, Read
from nbscale.expr.token import token
from nbscale.graph.axismap import Ranges
from nbscale.plan.layout import Layout
from nbscale.record import record

__all__ = ["CountRows", "FirstRows", "Partitions", "RowMethods", "concatenated"]


def concatenated(values: Sequence[Any]) -> Any:
    """Partitions one after the other, as pandas would hold the whole."""
    if len(values) == 1:
        return values[0]
    if isinstance(values[0], pd.Index):
        return values[0].append(list(values[1:]))
    return pd.concat(values)


class Partitions(FrameMap):
    """Some partitions, in the order given."""

    input: Node
    chosen: tuple[int, ...]

    column_local = True

    @property
    def grid(self) -> tuple[int, ...]:
        return (len(self.chosen),)

    def reads(self) -> tuple[Read, ...]:
        lo = np.asarray(self.chosen, dtype=np.int64)
        return (Read(self.input, (0,), (Ranges(self.input.grid[0], lo, lo + 1),)),)

    def kernel(self) -> Kernel:
        return _itself

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (need,)

    def _make_layout(self) -> Layout:
        below: Layout = self.input.layout  # type: ignore[attr-defined]
        lengths = below.lengths and tuple(below.lengths[i] for i in self.chosen)
        divisions = None
        first = self.chosen[0] if self.chosen else 0
        if below.divisions and self.chosen == tuple(range(first, first + len(self.chosen))):
            divisions = below.divisions[first : first + len(self.chosen) + 1]
        return dataclasses.replace(below, rows=self.key, lengths=lengths, divisions=divisions)


def _itself(index: Index, value: Any) -> Any:
    del index
    return value


class FirstOfEach(FrameMap):
    """At most n rows of each partition, from its beginning or its end."""

    input: Node
    n: int
    last: bool

    column_local = True

    def kernel(self) -> Kernel:
        return _End(self.n, self.last)

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (need,)


@record
class _End:
    n: int
    last: bool

    def __call__(self, index: Index, value: Any) -> Any:
        if not self.last:
            return value[: self.n]
        return value[max(0, len(value) - self.n) :]


class FirstRows(FrameAdaptive):
    """The first n rows, or the last: looks at 1 partition, then 2 more, 4 more, ..."""

    input: Node
    n: int
    last: bool = False
    at_most: int | None = None
    seen: int = 0
    found: tuple[Node, ...] = ()

    @property
    def label(self) -> str:
        return "tail" if self.last else "head"

    @property
    def grid(self) -> tuple[int, ...]:
        return (1,)

    def reference(self, *inputs: Any) -> Any:
        return _End(self.n, self.last)((0,), inputs[0])

    def _chosen(self) -> tuple[int, ...]:
        """Partitions to look at next."""
        total = self.input.grid[0]
        most = total if self.at_most is None else min(total, self.at_most)
        ahead = range(self.seen, min(most, 2 * self.seen + 1))
        return tuple(total - 1 - i for i in ahead) if self.last else tuple(ahead)

    def asks(self) -> tuple[Node, ...]:
        return (FirstOfEach(Partitions(self.input, self._chosen()), self.n, self.last),)

    def build(self, *answers: Any) -> Node:
        (parts,) = answers
        looked = self._chosen()
        held = self.found[0].values if self.found else ()  # type: ignore[attr-defined]
        pieces = [*reversed(parts), *held] if self.last else [*held, *parts]
        rows = sum(map(len, pieces))
        total = self.input.grid[0]
        most = total if self.at_most is None else min(total, self.at_most)
        seen = self.seen + len(looked)
        if rows >= self.n or seen >= most:
            whole = _End(self.n, self.last)((0,), concatenated(pieces))
            return self._hold((whole,), seen)
        return self.replace(seen=seen, found=(self._hold(tuple(pieces), seen),))

    def _hold(self, values: tuple[Any, ...], seen: int) -> FrameHeld:
        identity = token(self.input.key, self.n, self.last, seen, len(values))
        example = self.input.sample  # type: ignore[attr-defined]
        return FrameHeld(values, identity, example, Layout(identity))

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (need, *(need for _ in self.inputs[1:]))


class CountRows(FrameReduce):
    """Number of rows, as a scalar."""

    input: Node

    @property
    def label(self) -> str:
        return "len"

    def partial(self) -> Kernel:
        return _length

    def combine(self) -> Kernel:
        return _total

    def final(self) -> Kernel:
        return _itself

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (Need(frozenset(), index=False, order=False),)


def _length(index: Index, value: Any) -> int:
    del index
    return len(value)


def _total(index: Index, lengths: list[int]) -> int:
    del index
    return sum(lengths)


class PartitionAccessor:
    """``df.partitions[...]``: some partitions, by position."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def __len__(self) -> int:
        return self._collection._node.grid[0]  # noqa: SLF001

    def __getitem__(self, key: Any) -> Any:
        """Choose partitions by an integer, a slice or a list of integers."""
        n = len(self)
        picked = np.arange(n)[key]
        chosen = tuple(int(i) for i in np.atleast_1d(picked))
        node = Partitions(self._collection._node, chosen)  # noqa: SLF001
        return wrap(node, self._collection)


class RowMethods(Collection):
    """Methods that choose rows by position or count them."""

    __slots__ = ()

    @property
    def npartitions(self) -> int:
        """Number of partitions."""
        return self._frame.grid[0]

    @property
    def _frame(self) -> Frame:
        return self._node  # type: ignore[return-value]

    @property
    def partitions(self) -> PartitionAccessor:
        """Some of the partitions, by position: ``df.partitions[:3]``."""
        return PartitionAccessor(self)

    def get_partition(self, n: int) -> Any:
        """One partition, as a lazy frame."""
        return self.partitions[n]

    @property
    def divisions(self) -> tuple[Any, ...]:
        """Labels that bound the partitions, or as many None if the index is not known sorted."""
        known = self._frame.layout.divisions
        return known if known is not None else (None,) * (self.npartitions + 1)

    @property
    def known_divisions(self) -> bool:
        """Whether the divisions are known."""
        return self._frame.layout.divisions is not None

    def head(self, n: int = 5, npartitions: int | None = None, compute: bool = True) -> Any:
        """The first rows.

        Parameters
        ----------
        n
            How many rows.
        npartitions
            Look at so many partitions at most; by default as many as are needed.
        compute
            Give a pandas object; otherwise a lazy one.

        Notes
        -----
        Reads one partition, then two more, four more, until there are enough rows.
        """
        return self._ends(n, npartitions, compute, last=False)

    def tail(self, n: int = 5, npartitions: int | None = None, compute: bool = True) -> Any:
        """The last rows; see ``head``."""
        return self._ends(n, npartitions, compute, last=True)

    def _ends(self, n: int, npartitions: int | None, compute: bool, *, last: bool) -> Any:
        at_most = None if npartitions in (None, -1) else npartitions
        if n < 0:
            msg = f"the number of rows must not be negative: {n}"
            raise ValueError(msg)
        result = wrap(FirstRows(self._node, n, last, at_most), self)
        return result.compute() if compute else result

    def __len__(self) -> int:
        """Number of rows. Reads what must be read to count them, and remembers it."""
        known = self._frame.layout.lengths
        if known is not None:
            return sum(known)
        count: int = wrap(CountRows(self._node), self).compute()
        return count
