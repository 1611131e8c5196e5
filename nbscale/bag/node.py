"""The nodes of bags: how partitions, which are lists, depend on one another.

What happens to the items is a *step*: a frozen record that is called with whole partitions and may hold
functions of the user's. So a few nodes serve every method.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from nbscale.bag.hashing import stable_hash
from nbscale.expr.node import (
    Exchange,
    Held,
    Index,
    Kernel,
    Map,
    Node,
    Read,
    Reduce,
    Source,
    one,
    same,
)
from nbscale.graph.axismap import Ranges
from nbscale.record import record

__all__ = [
    "BagAccumulate",
    "BagExchange",
    "BagHeld",
    "BagMap",
    "BagPick",
    "BagReduce",
    "BagSource",
    "Step",
]

Step = Callable[..., Any]


class BagSource(Source):
    """Items made or read by ``step(number)`` for each of ``count`` partitions."""

    step: Any
    count: int
    name: str
    unique: str = ""

    kind = "bag"
    gil_free = False

    @property
    def grid(self) -> tuple[int, ...]:
        return (self.count,)

    @property
    def label(self) -> str:
        return self.name

    def load(self) -> Kernel:
        return _Load(self.step)


@record
class _Load:
    step: Any

    def __call__(self, index: Index) -> Any:
        return self.step(index[0])


class BagHeld(Held):
    """Partitions in memory: what ``from_sequence`` is given, and what ``persist`` keeps."""

    values: Any
    identity: str
    kind: str
    name: str = "persisted"

    @property
    def grid(self) -> tuple[int, ...]:
        return (len(self.values),)

    @property
    def label(self) -> str:
        return self.name

    def load(self) -> Kernel:
        return _Give(self.values)


@record(eq=False)
class _Give:
    values: Any

    def __call__(self, index: Index) -> Any:
        return self.values[index[0]]


class _OfBags:
    """What nodes over bags share: they may call functions of the user's, and hold the interpreter."""

    gil_free = False

    @property
    def user_code(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return self.name  # type: ignore[attr-defined]


class BagMap(_OfBags, Map):
    """``step(index, *partitions)``, each partition from its own; values of one partition for all."""

    bags: tuple[Node, ...]
    step: Any
    name: str
    kind: str = "bag"

    @property
    def grid(self) -> tuple[int, ...]:
        return self.bags[0].grid

    def kernel(self) -> Kernel:
        return _Called(self.step)


@record
class _Called:
    step: Any

    def __call__(self, index: Index, *parts: Any) -> Any:
        return self.step(index[0], *parts)


class BagPick(_OfBags, Map):
    """Output i is ``step(i, lists)`` of the partitions ``lo[k][i]`` up to ``hi[k][i]`` of input k."""

    bags: tuple[Node, ...]
    lo: tuple[tuple[int, ...], ...]
    hi: tuple[tuple[int, ...], ...]
    step: Any
    name: str
    kind: str = "bag"

    @property
    def grid(self) -> tuple[int, ...]:
        return (len(self.lo[0]),)

    def reads(self) -> tuple[Read, ...]:
        return tuple(
            Read(
                node,
                (0,),
                (Ranges(node.grid[0], np.asarray(lo, np.int64), np.asarray(hi, np.int64)),),
                "list",
            )
            for node, lo, hi in zip(self.bags, self.lo, self.hi, strict=True)
        )

    def kernel(self) -> Kernel:
        return _Called(self.step)


class BagAccumulate(_OfBags, Map):
    """``step(partition, state) -> (items, state)`` of one partition, after those before it."""

    bag: Node
    before: Node | None
    number: int
    step: Any
    name: str = "accumulate"

    kind = "item"

    @property
    def grid(self) -> tuple[int, ...]:
        return (1,)

    def reads(self) -> tuple[Read, ...]:
        first = one(self.bag, (1,), (self.number,))
        return (first,) if self.before is None else (first, same(self.before))

    def kernel(self) -> Kernel:
        return _Called(self.step)


class BagReduce(_OfBags, Reduce):
    """``each(partition)`` and ``merge([states])`` in a tree, then ``last(state)``."""

    bag: Node
    each: Any
    merge: Any
    last: Any
    name: str
    kind: str = "item"

    def partial(self) -> Kernel:
        return _Applied(self.each)

    def combine(self) -> Kernel:
        return _Applied(self.merge)

    def final(self) -> Kernel:
        return _Applied(self.last)


@record
class _Applied:
    step: Any

    def __call__(self, index: Index, value: Any) -> Any:
        return self.step(value)


class BagExchange(_OfBags, Exchange):
    """Items go where the hash of their key says.

    ``before`` makes (key, value) of a partition, ``after`` a partition of all (key, value) that came,
    in the order of their producers.
    """

    bag: Node
    before: Any
    after: Any
    count: int
    name: str

    kind = "bag"

    @property
    def grid(self) -> tuple[int, ...]:
        return (self.count,)

    def split(self) -> Kernel:
        return _Split(self.before, self.count)

    def merge(self) -> Kernel:
        return _Merged(self.after)


@record
class _Split:
    before: Any
    count: int

    def __call__(self, index: Index, part: Any) -> list[list[Any]]:
        pieces: list[list[Any]] = [[] for _ in range(self.count)]
        for pair in self.before(part):
            pieces[stable_hash(pair[0]) % self.count].append(pair)
        return pieces


@record
class _Merged:
    after: Any

    def __call__(self, index: Index, pieces: list[Any]) -> Any:
        return self.after(itertools.chain.from_iterable(pieces))
