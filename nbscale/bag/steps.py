"""What is done to the items of partitions: records that travel to wherever the task is run."""

from __future__ import annotations

import functools
import itertools
import operator
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

from nbscale.record import record

__all__ = [
    "MISSING",
    "Accumulate",
    "Aggregated",
    "Counted",
    "Distinct",
    "FoldAfter",
    "FoldBefore",
    "FoldEach",
    "FoldLast",
    "FoldMerge",
    "Grouped",
    "JoinKeyed",
    "JoinSmall",
    "JoinValue",
    "Keyed",
    "MapItems",
    "OfPartition",
    "PerPartition",
    "Picked",
    "Piece",
    "Pluck",
    "Product",
    "Sampled",
    "Starmap",
    "Taken",
    "Top",
    "Where",
    "chained",
    "first_of_pair",
    "flattened",
    "itself",
    "lone",
    "moments",
    "zipped",
]


@record
class Missing:
    """Stands for an argument that was not given."""


MISSING = Missing()


def itself(value: Any) -> Any:
    """The value."""
    return value


@record
class MapItems:
    """``function`` of the items of some partitions, of values for all, and of constants.

    ``places`` says for each argument where it comes from: ``("bag", i)`` item by item of input i,
    ``("item", i)`` input i itself, ``("value", x)`` x. Arguments from ``names`` on go by name.
    """

    function: Any
    places: tuple[tuple[str, Any], ...]
    names: tuple[str, ...]

    def __call__(self, number: int, *parts: Any) -> list[Any]:
        length = len(parts[0])
        columns = []
        for how, what in self.places:
            if how == "bag":
                if len(parts[what]) != length:
                    raise ValueError(
                        f"map needs bags of equal lengths, but partition {number} has {length:,} and "
                        f"{len(parts[what]):,} items; filter after map, not before"
                    )
                columns.append(parts[what])
            else:
                columns.append(itertools.repeat(parts[what] if how == "item" else what, length))
        split = len(columns) - len(self.names)
        if not self.names:
            return list(map(self.function, *columns))
        rows = zip(*columns, strict=True)
        return [
            self.function(*r[:split], **dict(zip(self.names, r[split:], strict=True))) for r in rows
        ]


@record
class Starmap:
    """The function of the unpacked items."""

    function: Any
    kwargs: tuple[tuple[str, Any], ...]

    def __call__(self, number: int, part: Any) -> list[Any]:
        kwargs = dict(self.kwargs)
        return [self.function(*item, **kwargs) for item in part]


@record
class Where:
    """The items for which the predicate is ``wanted``."""

    predicate: Any
    wanted: bool

    def __call__(self, number: int, part: Any) -> list[Any]:
        return [item for item in part if bool(self.predicate(item)) is self.wanted]


@record
class Pluck:
    """The value at a key of every item, or a tuple of those at several."""

    key: Any
    default: Any

    def __call__(self, number: int, part: Any) -> list[Any]:
        if isinstance(self.key, list):
            return [tuple(self._at(item, key) for key in self.key) for item in part]
        return [self._at(item, self.key) for item in part]

    def _at(self, item: Any, key: Any) -> Any:
        if self.default is MISSING or isinstance(self.default, Missing):
            return item[key]
        try:
            return item[key]
        except (KeyError, IndexError):
            return self.default


def flattened(number: int, part: Any) -> list[Any]:
    """The items of the items."""
    return list(itertools.chain.from_iterable(part))


def zipped(number: int, *parts: Any) -> list[Any]:
    """Tuples of items, as short as the shortest."""
    return list(zip(*parts, strict=False))


@record
class Sampled:
    """Every item with a probability; the seed and the partition decide."""

    probability: float
    seed: str

    def __call__(self, number: int, part: Any) -> list[Any]:
        chance = random.Random(f"{self.seed}/{number}")  # noqa: S311 - no secret
        return [item for item in part if chance.random() < self.probability]


@record
class PerPartition:
    """The function of whole partitions; what it gives is made a list."""

    function: Any
    places: tuple[tuple[str, Any], ...]
    names: tuple[str, ...]

    def __call__(self, number: int, *parts: Any) -> list[Any]:
        values = [what if how == "value" else parts[what] for how, what in self.places]
        split = len(values) - len(self.names)
        named = dict(zip(self.names, values[split:], strict=True))
        return list(self.function(*values[:split], **named))


@record
class OfPartition:
    """A function of partitions without their number."""

    function: Any

    def __call__(self, number: int, *parts: Any) -> Any:
        return self.function(*parts)


def lone(number: int, *lists: Any) -> Any:
    """The one partition that was read."""
    return next(itertools.chain.from_iterable(lists))


def chained(parts: Iterable[Iterable[Any]]) -> list[Any]:
    """Lists one after the other."""
    return list(itertools.chain.from_iterable(parts))


@record
class Picked:
    """The partitions read, one after the other."""

    def __call__(self, number: int, parts: Any) -> list[Any]:
        return chained(parts)


@record
class Piece:
    """A consecutive piece of the one partition read: ``at[i]`` of ``of[i]``."""

    at: tuple[int, ...]
    of: tuple[int, ...]

    def __call__(self, number: int, parts: Any) -> list[Any]:
        (part,) = parts
        at, of = self.at[number], self.of[number]
        return list(part[len(part) * at // of : len(part) * (at + 1) // of])


@record
class Taken:
    """The first items."""

    count: int

    def __call__(self, number: int, parts: Any) -> list[Any]:
        return list(itertools.islice(itertools.chain.from_iterable(parts), self.count))


@record
class Product:
    """Pairs of every item with every other."""

    def __call__(self, number: int, left: Any, right: Any) -> list[Any]:
        return list(itertools.product(left[0], right[0]))


@record
class Accumulate:
    """Running results of one partition, and the last of them for the next."""

    binop: Any
    initial: Any

    def __call__(self, number: int, part: Any, before: Any = None) -> tuple[list[Any], Any]:
        if before is None:
            start = () if isinstance(self.initial, Missing) else (self.initial,)
            items = list(itertools.accumulate(itertools.chain(start, part), self.binop))
            return items, items[-1:]
        state = before[1]
        items = list(itertools.accumulate(itertools.chain(state, part), self.binop))
        return items[len(state) :], items[-1:]


def first_of_pair(number: int, pair: Any) -> Any:
    """The items that were accumulated."""
    return pair[0]


# Reductions. A state of a fold is a list of none or one value, so that empty partitions need no identity.


@record
class FoldEach:
    """Fold one partition."""

    binop: Any
    initial: Any

    def __call__(self, part: Any) -> list[Any]:
        if not isinstance(self.initial, Missing):
            return [functools.reduce(self.binop, part, self.initial)]
        return [functools.reduce(self.binop, part)] if len(part) else []


@record
class FoldMerge:
    """Combine what partitions gave, in their order."""

    combine: Any

    def __call__(self, states: Any) -> list[Any]:
        there = chained(states)
        return [functools.reduce(self.combine, there)] if there else []


@record
class FoldLast:
    """The value, or the error that Python gives for nothing."""

    name: str

    def __call__(self, state: list[Any]) -> Any:
        if not state:
            raise ValueError(f"{self.name} of an empty bag has no value")
        return state[0]


@record
class Aggregated:
    """``aggregate`` of the results of several; a state says whether it has been called."""

    aggregate: Any
    stage: str

    def __call__(self, value: Any) -> Any:
        if self.stage == "each":
            return False, self.aggregate(value)
        if self.stage == "merge":
            return True, self.aggregate([state for _, state in value])
        done, state = value
        return state if done else self.aggregate([state])


def moments(part: Iterable[Any]) -> tuple[int, Any, Any]:
    """Count, mean and sum of squared distances from it."""
    values = list(part)
    if not values:
        return 0, 0.0, 0.0
    mean = sum(values) / len(values)
    return len(values), mean, sum((x - mean) ** 2 for x in values)


@record
class Top:
    """The largest items, by a key if there is one."""

    count: int
    key: Any

    def __call__(self, items: Any) -> list[Any]:
        return sorted(items, key=self.key, reverse=True)[: self.count]


# Exchanges: what is done to a partition before, giving (key, value), and to all that came after.


@record
class Keyed:
    """Every item with its key."""

    key: Any

    def __call__(self, part: Any) -> list[Any]:
        return [(self.key(item), item) for item in part]


@record
class Grouped:
    """(key, [items]) for each key, in order of first sight."""

    def __call__(self, pairs: Any) -> list[Any]:
        groups: dict[Any, list[Any]] = {}
        for key, item in pairs:
            groups.setdefault(key, []).append(item)
        return list(groups.items())


@record
class Counted:
    """How often each item is there: of items themselves, or of counts."""

    before: bool

    def __call__(self, part: Any) -> list[Any]:
        if self.before:
            return list(Counter(part).items())
        counts: dict[Any, int] = {}
        for item, count in part:
            counts[item] = counts.get(item, 0) + count
        return list(counts.items())


@record
class Distinct:
    """The first item of each key."""

    key: Any

    def __call__(self, part: Any) -> list[Any]:
        found: dict[Any, Any] = {}
        for item in part:
            found.setdefault(item if self.key is None else self.key(item), item)
        return list(found.items())


@record
class FoldBefore:
    """Fold the items of each key."""

    key: Any
    binop: Any
    initial: Any

    def __call__(self, part: Any) -> list[Any]:
        states: dict[Any, Any] = {}
        for item in part:
            key = self.key(item)
            if key in states:
                states[key] = self.binop(states[key], item)
            else:
                start = isinstance(self.initial, Missing)
                states[key] = item if start else self.binop(self.initial, item)
        return list(states.items())


@record
class FoldAfter:
    """Combine the states of each key."""

    combine: Any
    initial: Any

    def __call__(self, pairs: Any) -> list[Any]:
        fold = FoldBefore(operator.itemgetter(0), self._step, self.initial)
        if not isinstance(self.initial, Missing):
            return fold(pairs)
        states: dict[Any, Any] = {}
        for key, state in pairs:
            states[key] = self.combine(states[key], state) if key in states else state
        return list(states.items())

    def _step(self, total: Any, pair: Any) -> Any:
        return self.combine(total, pair[1])


@record
class JoinSmall:
    """(other, item) for every pair of equal keys, in order of the items."""

    on_self: Any
    on_other: Any

    def __call__(self, number: int, part: Any, other: Any) -> list[Any]:
        found: dict[Any, list[Any]] = {}
        for one in other:
            found.setdefault(self.on_other(one), []).append(one)
        return [(one, item) for item in part for one in found.get(self.on_self(item), ())]


@record
class JoinKeyed:
    """The same of groups that were exchanged."""

    def __call__(self, number: int, left: Any, right: Any) -> list[Any]:
        found = dict(right)
        return [(o, item) for key, items in left for item in items for o in found.get(key, ())]


@record
class JoinValue:
    """A join with items that are no bag."""

    join: Any
    other: tuple[Any, ...]

    def __call__(self, number: int, part: Any) -> list[Any]:
        found: list[Any] = self.join(number, part, self.other)
        return found
