"""Bags from memory and from other bags: ``from_sequence``, ``range``, ``concat``, ``zip``, ``map``."""

from __future__ import annotations

import builtins
import itertools
import math
from collections.abc import Iterable
from typing import Any

from nbscale.bag.arguments import applied
from nbscale.bag.node import BagHeld, BagMap, BagPick, BagSource
from nbscale.bag.steps import MapItems, OfPartition, PerPartition, lone, zipped
from nbscale.collection import Collection, public, wrap
from nbscale.expr.token import nonce
from nbscale.record import record

__all__ = ["concat", "from_delayed", "from_sequence", "map", "map_partitions", "range", "zip"]


@public
def from_sequence(
    seq: Iterable[Any], partition_size: int | None = None, npartitions: int | None = None
) -> Any:
    """Make a bag of the items of a sequence.

    Parameters
    ----------
    seq
        Any iterable; it is gone through once, now.
    partition_size, npartitions
        How it is cut: items in a partition, or partitions. By default about 100 partitions.

    Notes
    -----
    Cost: the items stay in memory, and are sent to the workers that need them.

    Examples
    --------
    >>> import nbscale.bag as nb
    >>> nb.from_sequence("abc", npartitions=2).compute()
    ['a', 'b', 'c']
    """
    items = list(seq)
    if partition_size is None:
        wanted = npartitions or min(100, len(items))
        partition_size = math.ceil(len(items) / max(1, wanted))
    partition_size = max(partition_size, 1)
    cut = [items[i : i + partition_size] for i in builtins.range(0, len(items), partition_size)]
    return wrap(BagHeld(tuple(cut) or ([],), nonce(), "bag", "from_sequence"))


@record
class _Numbers:
    n: int
    size: int

    def __call__(self, number: int) -> list[int]:
        return list(builtins.range(number * self.size, min(self.n, (number + 1) * self.size)))


@public
def range(n: int, npartitions: int) -> Any:
    """Make a bag of the numbers from 0 up to ``n``; they are made where they are needed.

    Examples
    --------
    >>> import nbscale.bag as nb
    >>> nb.range(5, npartitions=2).compute()
    [0, 1, 2, 3, 4]
    """
    size = max(1, math.ceil(n / max(1, npartitions)))
    return wrap(BagSource(_Numbers(n, size), max(1, math.ceil(n / size)), "range"))


@public
def from_delayed(values: Any) -> Any:
    """Make a bag of delayed values, each an iterable that becomes one partition.

    Examples
    --------
    >>> import nbscale as ns, nbscale.bag as nb
    >>> nb.from_delayed([ns.delayed(sorted)({1, 0}), ns.delayed([7])]).compute()
    [0, 1, 7]
    """
    values = [values] if isinstance(values, Collection) else list(values)
    if not all(isinstance(v, Collection) and v._node.grid == (1,) for v in values):  # noqa: SLF001
        raise TypeError("from_delayed needs delayed values, each of one partition's items")
    nodes = [BagMap((v._node,), OfPartition(list), "from_delayed") for v in values]  # noqa: SLF001
    return _one_after_another(nodes, values)


@public
def concat(bags: Iterable[Any]) -> Any:
    """Put bags one after the other. No pass of its own.

    Examples
    --------
    >>> import nbscale.bag as nb
    >>> nb.concat([nb.range(2, 1), nb.range(2, 2)]).compute()
    [0, 1, 0, 1]
    """
    bags = [b if isinstance(b, Collection) else from_sequence(b) for b in bags]
    return _one_after_another([b._node for b in bags], bags)  # noqa: SLF001


def _one_after_another(nodes: list[Any], parents: Iterable[Collection]) -> Any:
    if not nodes:
        return from_sequence(())
    counts = [node.grid[0] for node in nodes]
    starts = [0, *itertools.accumulate(counts)]
    total = starts[-1]
    lo, hi = [], []
    for start, count in builtins.zip(starts[:-1], counts, strict=True):
        inside = [(i - start, start <= i < start + count) for i in builtins.range(total)]
        lo.append(tuple(at if there else 0 for at, there in inside))
        hi.append(tuple(at + 1 if there else 0 for at, there in inside))
    return wrap(BagPick(tuple(nodes), tuple(lo), tuple(hi), lone, "concat"), *parents)


@public
def zip(*bags: Any) -> Any:
    """Pair the items of bags, partition by partition, each as short as the shortest.

    Raises
    ------
    ValueError
        If the bags have different numbers of partitions.

    Examples
    --------
    >>> import nbscale.bag as nb
    >>> nb.zip(nb.range(2, 1), nb.from_sequence("ab", npartitions=1)).compute()
    [(0, 'a'), (1, 'b')]
    """
    nodes = tuple(b._node for b in bags)  # noqa: SLF001
    if len({node.grid for node in nodes}) != 1:
        raise ValueError("zip needs bags of equally many partitions; repartition() them")
    return wrap(BagMap(nodes, zipped, "zip"), *bags)


@public
def map(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Apply a function to the items of one or more bags; see ``Bag.map``."""
    return applied(MapItems, func, args, kwargs)


@public
def map_partitions(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Apply a function to whole partitions of one or more bags; see ``Bag.map_partitions``."""
    return applied(PerPartition, func, args, kwargs)
