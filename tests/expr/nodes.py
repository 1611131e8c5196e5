"""Small nodes over lists of ints, one of each family, for tests of the core."""

from __future__ import annotations

import dataclasses
from typing import Any

from nbscale.expr.node import Adaptive, Exchange, Map, Node, Reduce, Scan, Source, Tasks


class Numbers(Source):
    """Partition i holds ``width`` numbers from ``i * width``."""

    parts: int
    width: int = 3

    @property
    def grid(self):
        return (self.parts,)

    def load(self):
        return _Numbers(self.width)

    def nbytes(self):
        return 8.0 * self.width


@dataclasses.dataclass(frozen=True)
class _Numbers:
    width: int

    def __call__(self, index):
        return list(range(index[0] * self.width, (index[0] + 1) * self.width))


class Plus(Map):
    values: Node
    amount: int
    row_preserving = True

    @property
    def grid(self):
        return self.values.grid

    def kernel(self):
        return lambda index, values, amount=self.amount: [v + amount for v in values]


class Zip(Map):
    left: Node
    right: Node

    @property
    def grid(self):
        return self.left.grid

    def kernel(self):
        return lambda index, a, b: [x + y for x, y in zip(a, b, strict=True)]


class Total(Reduce):
    values: Node

    def partial(self):
        return lambda index, values: sum(values)

    def combine(self):
        return lambda index, states: sum(states)

    def final(self):
        return lambda index, state: [state]


class Running(Scan):
    values: Node

    def summarise(self):
        return lambda index, values: sum(values)

    def fold(self):
        return _prefixes

    def apply(self):
        return _running


def _prefixes(index, totals):
    found, total = [], 0
    for t in totals:
        found.append(total)
        total += t
    return found


def _running(index, values, prefix):
    result = []
    for v in values:
        prefix += v
        result.append(prefix)
    return result


class ByRemainder(Exchange):
    values: Node
    parts: int

    @property
    def grid(self):
        return (self.parts,)

    def split(self):
        return lambda index, values, n=self.parts: [
            [v for v in values if v % n == j] for j in range(n)
        ]

    def merge(self):
        return lambda index, pieces: [v for piece in pieces for v in piece]


class Call(Tasks):
    name: str
    arguments: tuple[Node, ...] = ()

    def kernel(self):
        return lambda index, *inputs, name=self.name: (name, *[tuple(map(str, i)) for i in inputs])


class AboveMean(Adaptive):
    """Looks at the total first, then keeps what is above the mean."""

    values: Node
    rows: int

    @property
    def grid(self):
        return self.values.grid

    def asks(self):
        return (Total(self.values),)

    def build(self, *answers: Any):
        ((total,),) = answers
        return Above(self.values, total[0] / self.rows)


class Above(Map):
    values: Node
    bound: float

    @property
    def grid(self):
        return self.values.grid

    def kernel(self):
        return lambda index, values, bound=self.bound: [v for v in values if v > bound]
