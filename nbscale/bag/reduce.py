"""Reductions of bags: one value of all items, by a tree, or (key, value) by an exchange."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from nbscale.bag import steps
from nbscale.bag.node import BagExchange, BagMap, BagReduce
from nbscale.bag.steps import MISSING
from nbscale.collection import Collection, wrap
from nbscale.expr.function import capture
from nbscale.record import record

__all__ = ["BagReductions"]


def _key_of(key: Any) -> Any:
    """A function of items: a key that is not callable is looked up in each."""
    return capture(key) if callable(key) else _At(key)


@record
class _At:
    key: Any

    def __call__(self, item: Any) -> Any:
        if isinstance(self.key, list):
            return tuple(item[key] for key in self.key)
        return item[self.key]


def _number(parts: Iterable[Any]) -> int:
    return sum(1 for _ in parts)


def _count_and_sum(part: Any) -> tuple[int, Any]:
    return len(part), sum(part)


def _both_added(states: Any) -> tuple[int, Any]:
    return sum(n for n, _ in states), sum(total for _, total in states)


def _ratio(state: Any) -> Any:
    if not state[0]:
        raise ValueError("mean of an empty bag has no value")
    return state[1] / state[0]


def _moments_merged(states: Any) -> tuple[int, Any, Any]:
    n, mean, squares = 0, 0.0, 0.0
    for m, other, more in states:
        if m:
            far = other - mean
            squares += more + far * far * n * m / (n + m)
            mean += far * m / (n + m)
            n += m
    return n, mean, squares


@record
class _Variance:
    ddof: int
    root: bool

    def __call__(self, state: Any) -> Any:
        n, _, squares = state
        if n <= self.ddof:
            raise ValueError(f"the variance of {n} items with ddof={self.ddof} has no value")
        variance = squares / (n - self.ddof)
        return math.sqrt(variance) if self.root else variance


@record
class _MostFirst:
    """Pairs by how often, as ``Counter.most_common``; states are merged sorted."""

    merge: bool

    def __call__(self, pairs: Any) -> list[Any]:
        flat = steps.chained(pairs) if self.merge else pairs
        return sorted(flat, key=_second, reverse=True)


@record
class _TopMerge:
    top: Any

    def __call__(self, states: Any) -> list[Any]:
        found: list[Any] = self.top(steps.chained(states))
        return found


def _second(pair: Any) -> Any:
    return pair[1]


def _values(pairs: Any) -> list[Any]:
    return [value for _, value in pairs]


@record
class _DistinctAfter:
    key: Any

    def __call__(self, pairs: Any) -> list[Any]:
        found: dict[Any, Any] = {}
        for key, item in pairs:
            found.setdefault(key, item)
        return list(found.values())


class BagReductions(Collection):
    """The reductions. ``split_every`` is accepted everywhere; the tree has a fan-in of its own."""

    __slots__ = ()

    def _tree(self, name: str, each: Any, merge: Any, last: Any, kind: str = "item") -> Any:
        return wrap(BagReduce(self._node, each, merge, last, name, kind), self)

    def _fold(self, name: str, binop: Any, combine: Any, initial: Any = MISSING) -> Any:
        each = steps.FoldEach(binop, initial)
        return self._tree(name, each, steps.FoldMerge(combine), steps.FoldLast(name))

    def sum(self, split_every: int | None = None) -> Any:
        """Sum of the items. One pass, no exchange.

        Examples
        --------
        >>> import nbscale.bag as nb
        >>> nb.range(5, npartitions=2).sum().compute()
        10
        """
        return self._tree("sum", sum, sum, steps.itself)

    def count(self, split_every: int | None = None) -> Any:
        """Number of items. One pass, no exchange."""
        return self._tree("count", _number, sum, steps.itself)

    def any(self, split_every: int | None = None) -> Any:
        """Whether any item is true. One pass, no exchange."""
        return self._tree("any", any, any, steps.itself)

    def all(self, split_every: int | None = None) -> Any:
        """Whether all items are true. One pass, no exchange."""
        return self._tree("all", all, all, steps.itself)

    def max(self, split_every: int | None = None) -> Any:
        """Largest item, the first of equals. One pass; ``ValueError`` if there is none."""
        return self._fold("max", max, max)

    def min(self, split_every: int | None = None) -> Any:
        """Smallest item, the first of equals. One pass; ``ValueError`` if there is none."""
        return self._fold("min", min, min)

    def mean(self) -> Any:
        """Sum of the items by their number. One pass; ``ValueError`` if there is none."""
        return self._tree("mean", _count_and_sum, _both_added, _ratio)

    def var(self, ddof: int = 0) -> Any:
        """Variance, from distances to the mean. One pass; ``ValueError`` for too few items."""
        return self._tree("var", steps.moments, _moments_merged, _Variance(ddof, root=False))

    def std(self, ddof: int = 0) -> Any:
        """Root of the variance; see ``var``."""
        return self._tree("std", steps.moments, _moments_merged, _Variance(ddof, root=True))

    def fold(
        self,
        binop: Callable[[Any, Any], Any],
        combine: Callable[[Any, Any], Any] | None = None,
        initial: Any = MISSING,
        split_every: int | None = None,
        out_type: Any = None,
    ) -> Any:
        """Reduce the items of each partition with ``binop``, and the results with ``combine``.

        One pass, no exchange. ``combine`` must be associative. ``initial`` starts every partition.

        Examples
        --------
        >>> import operator, nbscale.bag as nb
        >>> nb.range(5, npartitions=2).fold(operator.add).compute()
        10
        """
        first = capture(binop)
        return self._fold("fold", first, capture(combine) if combine else first, initial)

    def reduction(
        self,
        perpartition: Callable[[Any], Any],
        aggregate: Callable[[Any], Any],
        split_every: int | None = None,
        out_type: Any = None,
        name: str | None = None,
    ) -> Any:
        """Apply one function to each partition, and another to lists of results, in a tree.

        One pass, no exchange. ``aggregate`` is called with its own results, too.

        Examples
        --------
        >>> import nbscale.bag as nb
        >>> nb.range(5, npartitions=2).reduction(max, max).compute()
        4
        """
        last = capture(aggregate)
        each = steps.Aggregated(capture(perpartition), "each")
        return self._tree(
            name or "reduction",
            each,
            steps.Aggregated(last, "merge"),
            steps.Aggregated(last, "last"),
        )

    def topk(self, k: int, key: Any = None, split_every: int | None = None) -> Any:
        """The ``k`` largest items, largest first and equals in order, as a bag of one partition.

        One pass; never more than ``k`` items of a partition are kept. ``key`` is a function, or is
        looked up in each item.

        Examples
        --------
        >>> import nbscale.bag as nb
        >>> nb.from_sequence([3, 9, 5], npartitions=2).topk(2).compute()
        [9, 5]
        """
        top = steps.Top(k, None if key is None else _key_of(key))
        return self._tree("topk", top, _TopMerge(top), steps.itself, "bag")

    def _exchanged(self, name: str, before: Any, after: Any, count: int | None = None) -> Any:
        count = count or self._node.grid[0]
        return wrap(BagExchange(self._node, before, after, count, name), self)

    def frequencies(self, split_every: int | None = None, sort: bool = False) -> Any:
        """(item, how often) for each distinct item.

        One pass; items are counted where they are, and only counts are exchanged. Without ``sort``
        the order is no promise; with it, the most frequent come first, in one partition.

        Examples
        --------
        >>> import nbscale.bag as nb
        >>> nb.from_sequence("abb", npartitions=2).frequencies(sort=True).compute()
        [('b', 2), ('a', 1)]
        """
        counted = self._exchanged(
            "frequencies", steps.Counted(before=True), steps.Counted(before=False)
        )
        if not sort:
            return counted
        merge = _MostFirst(merge=True)
        return counted._tree("sort", _MostFirst(merge=False), merge, steps.itself, "bag")  # noqa: SLF001 - one of us

    def distinct(self, key: Any = None) -> Any:
        """The first item of each key, or of equal items; their order is no promise.

        One pass; one item of each key and partition is exchanged.

        Examples
        --------
        >>> import nbscale.bag as nb
        >>> sorted(nb.from_sequence("abb", npartitions=2).distinct().compute())
        ['a', 'b']
        """
        by = None if key is None else _key_of(key)
        return self._exchanged("distinct", steps.Distinct(by), _DistinctAfter(by))

    def groupby(
        self,
        grouper: Any,
        method: Any = None,
        npartitions: int | None = None,
        blocksize: int = 2**20,
        max_branch: Any = None,
        shuffle: Any = None,
    ) -> Any:
        """(key, items) for each key; items keep their order, groups have none.

        All items are exchanged, and the items of a key must fit into memory: ``foldby`` needs
        neither. ``grouper`` is a function, or is looked up in each item. ``method``, ``blocksize``,
        ``max_branch`` and ``shuffle`` are accepted and change nothing.

        Examples
        --------
        >>> import nbscale.bag as nb
        >>> sorted(nb.range(4, npartitions=2).groupby(lambda x: x % 2).compute())
        [(0, [0, 2]), (1, [1, 3])]
        """
        keyed = steps.Keyed(_key_of(grouper))
        return self._exchanged("groupby", keyed, steps.Grouped(), npartitions)

    def foldby(
        self,
        key: Any,
        binop: Callable[[Any, Any], Any],
        initial: Any = MISSING,
        combine: Callable[[Any, Any], Any] | None = None,
        combine_initial: Any = MISSING,
        split_every: int | None = None,
    ) -> Any:
        """(key, total) for each key: a fold of the items of each; the order is no promise.

        One pass; one total of each key and partition is exchanged. ``initial`` starts every key in
        every partition, ``combine_initial`` every key once.

        Examples
        --------
        >>> import operator, nbscale.bag as nb
        >>> sorted(nb.range(5, npartitions=2).foldby(lambda x: x % 2, operator.add).compute())
        [(0, 6), (1, 4)]
        """
        first = capture(binop)
        before = steps.FoldBefore(_key_of(key), first, initial)
        after = steps.FoldAfter(capture(combine) if combine else first, combine_initial)
        return self._exchanged("foldby", before, after)

    def join(self, other: Any, on_self: Any, on_other: Any = None) -> Any:
        """(other, item) for every pair with equal keys.

        Parameters
        ----------
        other
            A sequence, a lazy value or bag of one partition, or a larger bag.
        on_self, on_other
            Functions, or what is looked up in each item; ``on_other`` is ``on_self`` by default.

        Notes
        -----
        A small ``other`` goes to every partition, and items keep their order. If it is a bag of
        several partitions, both are exchanged by key, and the order is no promise.

        Examples
        --------
        >>> import nbscale.bag as nb
        >>> people = nb.from_sequence(["Ann", "Bob"], npartitions=2)
        >>> people.join(["Abel", "Bea", "Al"], lambda name: name[0]).compute()
        [('Abel', 'Ann'), ('Al', 'Ann'), ('Bea', 'Bob')]
        """
        mine = _key_of(on_self)
        theirs = mine if on_other is None else _key_of(on_other)
        parents = (other,) if isinstance(other, Collection) else ()
        if not parents:
            small = steps.JoinValue(steps.JoinSmall(mine, theirs), tuple(other))
            return wrap(BagMap((self._node,), small, "join"), self)
        node: Any = other._node  # noqa: SLF001 - one of us
        if node.grid == (1,):
            step = steps.JoinSmall(mine, theirs)
            return wrap(BagMap((self._node, node), step, "join"), self, other)
        count = max(self._node.grid[0], node.grid[0])
        left = self._exchanged("join", steps.Keyed(mine), steps.Grouped(), count)
        right = wrap(BagExchange(node, steps.Keyed(theirs), steps.Grouped(), count, "join"), other)
        return wrap(BagMap((left._node, right._node), steps.JoinKeyed(), "join"), left, right)  # noqa: SLF001 - one of us
