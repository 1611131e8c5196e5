"""``Bag``, a lazy list of any Python objects, and ``Item``, a lazy object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nbscale.bag import steps
from nbscale.bag.arguments import applied
from nbscale.bag.node import BagAccumulate, BagHeld, BagMap, BagPick
from nbscale.bag.reduce import BagReductions
from nbscale.bag.steps import MISSING
from nbscale.bag.text import WriteText, names_for
from nbscale.collection import Collection, Gather, Parts, register, wrap
from nbscale.expr.function import capture
from nbscale.expr.node import Node, Stack
from nbscale.expr.token import nonce

__all__ = ["Bag", "Item"]


class _Chain(Parts):
    """The items of all partitions."""

    def result(self) -> list[Any]:
        return steps.chained(self.values)


class _Only(Parts):
    """The one value there is."""

    def result(self) -> Any:
        return self.values[0]


@register("item")
class Item(Collection):
    """A lazy object: what a reduction of a bag gives, or one of its partitions."""

    __slots__ = ()

    def _gather(self, node: Node) -> Gather:
        return _Only(node.grid)

    def _hold(self, node: Node, values: list[Any]) -> Node:
        return BagHeld(tuple(values), nonce(), "item")

    def __repr__(self) -> str:
        return f"Item({self._node.label!r})"

    def apply(self, func: Callable[[Any], Any]) -> Item:
        """Apply a function to the object, later."""
        captured = capture(func)
        node = BagMap((self._node,), steps.OfPartition(captured), captured.name, "item")
        return wrap(node, self)

    def __bool__(self) -> bool:
        return bool(self.compute())

    def __int__(self) -> int:
        return int(self.compute())

    def __float__(self) -> float:
        return float(self.compute())


class _Strings:
    """The methods of ``str`` on every item of a bag."""

    def __init__(self, bag: Bag) -> None:
        self._bag = bag

    def __getattr__(self, name: str) -> Callable[..., Bag]:
        if name.startswith("_") or not hasattr(str, name):
            raise AttributeError(f"str has no method {name!r}", name=name, obj=self)

        def call(*args: Any, **kwargs: Any) -> Bag:
            return self._bag.map(getattr(str, name), *args, **kwargs)

        return call

    def match(self, pattern: str) -> Bag:
        """The items that match a pattern with ``*`` and ``?``, as names of files do."""
        import fnmatch  # noqa: PLC0415 - seldom needed

        return self._bag.filter(_Matches(fnmatch.translate(pattern)))


class _Matches:
    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def __call__(self, item: str) -> bool:
        import re  # noqa: PLC0415 - where the task is run

        return re.match(self.pattern, item) is not None


@register("bag")
class Bag(BagReductions):
    """A lazy list of Python objects, in partitions. Order is kept unless a method says it is not.

    Examples
    --------
    >>> import nbscale.bag as nb
    >>> nb.range(6, npartitions=3).filter(lambda x: x % 2).map(lambda x: x * 10).compute()
    [10, 30, 50]
    """

    __slots__ = ()

    def _gather(self, node: Node) -> Gather:
        return _Chain(node.grid)

    def _hold(self, node: Node, values: list[Any]) -> Node:
        return BagHeld(tuple(values), nonce(), "bag")

    @property
    def npartitions(self) -> int:
        """Number of partitions."""
        return self._node.grid[0]

    def __repr__(self) -> str:
        return f"Bag({self._node.label!r}, npartitions={self.npartitions})"

    def __iter__(self) -> Iterator[Any]:
        return iter(self.compute())

    def __bool__(self) -> bool:
        raise TypeError("the truth of a bag is not known before it is computed; count() or take(1)")

    def _mapped(self, step: Any, name: str) -> Bag:
        return wrap(BagMap((self._node,), step, name), self)

    def map(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Bag:
        """Apply a function to each item.

        Parameters
        ----------
        func
            Called with an item, and the further arguments.
        args, kwargs
            Bags of as many partitions, taken item by item; lazy values; anything else as it is.

        Raises
        ------
        ValueError
            If bags have different numbers of partitions, or, while computing, of items.

        Notes
        -----
        No pass of its own, no exchange.

        Examples
        --------
        >>> import operator, nbscale.bag as nb
        >>> bag = nb.range(3, npartitions=2)
        >>> bag.map(operator.add, bag).compute()
        [0, 2, 4]
        """
        return applied(steps.MapItems, func, (self, *args), kwargs)

    def map_partitions(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Bag:
        """Apply a function to each partition, a list; it gives the items of the new one.

        Examples
        --------
        >>> import nbscale.bag as nb
        >>> nb.range(4, npartitions=2).map_partitions(reversed).compute()
        [1, 0, 3, 2]
        """
        return applied(steps.PerPartition, func, (self, *args), kwargs)

    def starmap(self, func: Callable[..., Any], **kwargs: Any) -> Bag:
        """Apply a function to the unpacked items. No pass of its own, no exchange."""
        captured = capture(func)
        return self._mapped(steps.Starmap(captured, tuple(kwargs.items())), captured.name)

    def filter(self, predicate: Callable[[Any], Any]) -> Bag:
        """The items for which a function is true. No pass of its own, no exchange."""
        return self._mapped(steps.Where(capture(predicate), wanted=True), "filter")

    def remove(self, predicate: Callable[[Any], Any]) -> Bag:
        """The items for which a function is false. No pass of its own, no exchange."""
        return self._mapped(steps.Where(capture(predicate), wanted=False), "remove")

    def pluck(self, key: Any, default: Any = MISSING) -> Bag:
        """``item[key]`` of each item; a list of keys gives tuples. No pass of its own.

        Examples
        --------
        >>> import nbscale.bag as nb
        >>> nb.from_sequence([{"a": 1}, {}]).pluck("a", default=0).compute()
        [1, 0]
        """
        return self._mapped(steps.Pluck(key, default), "pluck")

    def unzip(self, n: int) -> tuple[Bag, ...]:
        """``n`` bags of the first, second and further elements of the items."""
        return tuple(self.pluck(i) for i in range(n))

    def flatten(self) -> Bag:
        """The items of the items. No pass of its own, no exchange."""
        return self._mapped(steps.flattened, "flatten")

    def random_sample(self, prob: float, random_state: Any = None) -> Bag:
        """Each item with probability ``prob``, the same ones whenever it is computed.

        Parameters
        ----------
        prob
            From 0 to 1.
        random_state
            A number that decides which, or None for others each time this is called.
        """
        if not 0 <= prob <= 1:
            raise ValueError(f"prob must lie between 0 and 1, not {prob}")
        seed = nonce() if random_state is None else repr(random_state)
        return self._mapped(steps.Sampled(prob, seed), "random_sample")

    def accumulate(self, binop: Callable[[Any, Any], Any], initial: Any = MISSING) -> Bag:
        """Running results of ``binop``, as ``itertools.accumulate`` gives them.

        Partitions are worked on one after the other, since ``binop`` need not be associative.

        Examples
        --------
        >>> import operator, nbscale.bag as nb
        >>> nb.range(5, npartitions=2).accumulate(operator.add, initial=10).compute()
        [10, 10, 11, 13, 16, 20]
        """
        step = steps.Accumulate(capture(binop), initial)
        done: list[Node] = []
        for number in range(self.npartitions):
            done.append(BagAccumulate(self._node, done[-1] if done else None, number, step))
        return wrap(BagMap((Stack(tuple(done)),), steps.first_of_pair, "accumulate"), self)

    def product(self, other: Bag) -> Bag:
        """Pairs of every item with every item of another bag.

        A partition for each pair of partitions: neither bag is held whole.
        """
        n, m = self.npartitions, other.npartitions
        mine = tuple(i for i in range(n) for _ in range(m))
        theirs = tuple(range(m)) * n
        node = BagPick(
            (self._node, other._node),
            (mine, theirs),
            (tuple(i + 1 for i in mine), tuple(i + 1 for i in theirs)),
            steps.Product(),
            "product",
        )
        return wrap(node, self, other)

    def take(self, k: int, npartitions: int = 1, compute: bool = True, warn: bool = True) -> Any:
        """The first ``k`` items, as a tuple; with ``compute=False`` as a bag.

        Parameters
        ----------
        npartitions
            How many partitions are looked at, -1 for all.
        warn
            Warn if they have fewer items.
        """
        count = self.npartitions if npartitions == -1 else npartitions
        if not 0 < count <= self.npartitions:
            raise ValueError(
                f"npartitions must be -1 or up to {self.npartitions}, not {npartitions}"
            )
        bag = wrap(BagPick((self._node,), ((0,),), ((count,),), steps.Taken(k), "take"), self)
        if not compute:
            return bag
        items = tuple(bag.compute())
        if warn and len(items) < k and count < self.npartitions:
            import warnings  # noqa: PLC0415 - seldom needed

            warnings.warn(
                f"only {len(items)} of {k} items are in the first {count} partitions; "
                "take(..., npartitions=-1) looks at all",
                stacklevel=3,
            )
        return items

    def repartition(self, npartitions: int | None = None, partition_size: Any = None) -> Bag:
        """The same items in the same order, in another number of partitions.

        Neighbours are put together, or partitions are cut; nothing is exchanged.
        """
        if partition_size is not None:
            raise NotImplementedError(
                "repartition(partition_size=...) is not supported; give npartitions"
            )
        if npartitions is None or npartitions < 1:
            raise ValueError("repartition needs npartitions of at least 1")
        n, m = self.npartitions, npartitions
        step: Any = steps.Picked()
        if m <= n:
            lo = tuple(i * n // m for i in range(m))
            hi = tuple((i + 1) * n // m for i in range(m))
        else:
            firsts = [i * m // n for i in range(n + 1)]
            lo = tuple(p for p in range(n) for _ in range(firsts[p], firsts[p + 1]))
            hi = tuple(p + 1 for p in lo)
            at = tuple(i - firsts[p] for i, p in enumerate(lo))
            step = steps.Piece(at, tuple(firsts[p + 1] - firsts[p] for p in lo))
        return wrap(BagPick((self._node,), (lo,), (hi,), step, "repartition"), self)

    def to_delayed(self, optimize_graph: bool = True) -> list[Item]:
        """A lazy value for each partition, that can be computed or given to a delayed function."""
        return [
            wrap(
                BagPick((self._node,), ((i,),), ((i + 1,),), steps.lone, "partition", "item"), self
            )
            for i in range(self.npartitions)
        ]

    def to_textfiles(
        self,
        path: Any,
        name_function: Callable[[int], str] | None = None,
        compression: str | None = "infer",
        encoding: str = "utf-8",
        compute: bool = True,
        storage_options: dict[str, Any] | None = None,
        last_endline: bool = False,
    ) -> Any:
        """Write the items, which are text, as lines; a file for each partition.

        Parameters
        ----------
        path
            A folder, a path with ``*`` for the name of the partition, or a list of paths.
        name_function
            Gives that name for a number; by default the number with leading zeros.
        compute
            Write now and return the paths; otherwise a bag that writes when it is computed.
        last_endline
            End the last line of each file, too.

        Notes
        -----
        A file gets its name when it is whole.
        """
        names = names_for(path, self.npartitions, name_function)
        options = tuple((storage_options or {}).items())
        step = WriteText(names, compression, encoding, last_endline, options, nonce())
        written = self._mapped(step, "to_textfiles")
        return written.compute() if compute else written

    @property
    def str(self) -> _Strings:
        """The methods of ``str`` on every item.

        Examples
        --------
        >>> import nbscale.bag as nb
        >>> nb.from_sequence(["a", "b"]).str.upper().compute()
        ['A', 'B']
        """
        return _Strings(self)
