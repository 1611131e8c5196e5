"""Drafts: every node becomes one or a few stages of one step, by its family alone.

A draft is a stage before anything is pruned or fused. What a node is called or computes plays no
part here: its family and its reads say all there is to say.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nbscale.expr.node import (
    Adaptive,
    Exchange,
    Index,
    Kernel,
    Map,
    Node,
    Read,
    Reduce,
    Scan,
    Source,
    Stack,
    Tasks,
    one,
    same,
    walk,
)
from nbscale.graph.axismap import All, At, AxisMap, Each, Group, Listed
from nbscale.graph.stage import Delivery
from nbscale.record import record

__all__ = ["Draft", "Drafts", "Link"]

FAN_IN = 8

_SIZED = frozenset({"load", "map", "merge", "apply", "partial", "combine", "final"})
"""Parts whose values are partitions of their node, or as large: a node that knows the size of its
partitions, as sources and arrays do, says it of these."""


@record
class Link:
    """An edge between drafts, in original coordinates."""

    producer: Draft
    axes: tuple[int, ...]
    maps: tuple[AxisMap, ...]
    delivery: Delivery = "one"
    pieces: bool = False

    @property
    def fusible(self) -> bool:
        """The reader gets the value at its own coordinates, up to a permutation of axes."""
        return (
            self.delivery == "one"
            and not self.pieces
            and all(isinstance(m, Each) for m in self.maps)
            and sorted(self.axes) == list(range(len(self.axes)))
        )


@dataclasses.dataclass(eq=False, slots=True)
class Draft:
    """A stage with one step, before pruning and fusion. ``part`` tells a node's drafts apart."""

    node: Node
    part: str
    grid: tuple[int, ...]
    kernel: Kernel
    links: tuple[Link, ...]
    nbytes: float | None = None
    number: int = -1
    once: frozenset[int] = frozenset()
    """Tasks that are calls which may never be made twice."""
    prefix: tuple[Draft, int] | None = None
    """For the fold of a scan: the draft that reads it and the axis it is scanned along. A prefix
    depends on nothing behind it, so the fold of the first k needs the first k summaries only."""
    calls: tuple[Node, ...] = ()
    """For a graph of calls: all of them."""

    @property
    def key(self) -> tuple[str, str]:
        """Names the draft across the steps of a job."""
        return self.node.key, self.part


class Drafts:
    """Makes drafts of nodes, each node once."""

    def __init__(self) -> None:
        self.order: list[Draft] = []
        self.of: dict[str, Draft] = {}
        self.position: dict[str, int] = {}

    def add(self, targets: Iterable[Node]) -> None:
        """Draft everything below the targets that is not there yet."""
        fresh = [node for node in walk(targets) if node.key not in self.of]
        calls = [node for node in fresh if isinstance(node, Tasks)]
        if not calls:
            for node in fresh:
                self.of[node.key] = self._draft(node)
            return
        self._draft_with_calls(fresh)

    def _new(
        self,
        node: Node,
        part: str,
        grid: tuple[int, ...],
        kernel: Kernel,
        links: Iterable[Link],
    ) -> Draft:
        draft = Draft(node, part, grid, kernel, tuple(links), number=len(self.order))
        if part.partition(" ")[0] in _SIZED:
            known = getattr(node, "nbytes", None)
            draft.nbytes = known() if known is not None else None
        self.order.append(draft)
        return draft

    def _link(self, read: Read) -> Link:
        draft = self.of[read.node.key]
        place = self.position.get(read.node.key)
        if place is None:
            return Link(draft, read.axes, read.maps, read.delivery)
        # A call is one task of a stage of calls.
        at = At(read.maps[0].n_out, draft.grid[0], place)
        return Link(draft, read.axes, (at,), read.delivery)

    def _draft(self, node: Node) -> Draft:
        match node:
            case Source():
                return self._new(node, "load", node.grid, node.load(), ())
            case Stack():
                return self._draft_stack(node)
            case Map():
                links = [self._link(read) for read in node.reads()]
                return self._new(node, "map", node.grid, node.kernel(), links)
            case Reduce():
                return self._draft_reduce(node)
            case Scan():
                return self._draft_scan(node)
            case Exchange():
                return self._draft_exchange(node)
            case Adaptive():
                msg = f"{node!r} must be built before it is lowered"
                raise TypeError(msg)
            case _:
                msg = f"{type(node).__name__} belongs to no family, so it cannot be lowered"
                raise TypeError(msg)

    def _draft_reduce(self, node: Reduce) -> Draft:
        source, *others = node.inputs
        links = [self._link(same(source))]
        links += [self._link(one(other, source.grid)) for other in others]
        draft = self._new(node, "partial", source.grid, node.partial(), links)
        reduced = node.reduced
        # The shape of the tree depends on the grid alone, so that sums round alike every time.
        fan_in = max(2, round(FAN_IN ** (1 / max(1, len(reduced)))))
        combine = node.combine()
        level = 0
        while any(draft.grid[a] > 1 for a in reduced):
            maps: list[AxisMap] = [
                Group(n, fan_in) if a in reduced else Each(n) for a, n in enumerate(draft.grid)
            ]
            link = Link(draft, tuple(range(len(maps))), tuple(maps), "list")
            grid = tuple(m.n_out for m in maps)
            draft = self._new(node, f"combine {level}", grid, combine, (link,))
            level += 1
        final = Link(draft, tuple(range(len(draft.grid))), tuple(map(Each, draft.grid)))
        return self._new(node, "final", draft.grid, node.final(), (final,))

    def _draft_scan(self, node: Scan) -> Draft:
        applied, summarised, along = node.inputs[0], node.inputs[-1], node.along
        grid = summarised.grid
        each = tuple(range(len(grid)))
        summary = self._new(
            node, "summarise", grid, node.summarise(), (self._link(same(summarised)),)
        )
        folded = tuple(1 if a == along else n for a, n in enumerate(grid))
        maps: tuple[AxisMap, ...] = tuple(
            All(1, n) if a == along else Each(n) for a, n in enumerate(grid)
        )
        fold = self._new(node, "fold", folded, node.fold(), (Link(summary, each, maps, "list"),))
        back: tuple[AxisMap, ...] = tuple(
            All(n, 1) if a == along else Each(n) for a, n in enumerate(grid)
        )
        apply = self._new(
            node,
            "apply",
            grid,
            _ApplyPrefix(node.apply(), along),
            (self._link(same(applied)), Link(fold, each, back, "list")),
        )
        if not node.backward:
            fold.prefix = (apply, along)
        return apply

    def _draft_exchange(self, node: Exchange) -> Draft:
        source, *others = node.inputs
        links = [self._link(same(source))]
        links += [self._link(one(other, source.grid)) for other in others]
        split = self._new(node, "split", source.grid, node.split(), links)
        targets = node.targets()
        pieces = Link(split, tuple(range(len(targets))), targets, "list", pieces=True)
        return self._new(node, "merge", node.grid, node.merge(), (pieces,))

    # Calls ----------------------------------------------------------------------------------

    def _draft_with_calls(self, fresh: Sequence[Node]) -> None:
        """Draft nodes among which are calls: calls whose inputs are ready share one stage.

        A call may read a collection that reads another call, so they go in layers: a layer holds
        the calls that read, outside the layer, only what is drafted already.
        """
        waiting = list(fresh)
        while waiting:
            later: list[Node] = []
            late: set[str] = set()
            calls: list[Tasks] = []
            here: set[str] = set()
            for node in waiting:
                reads_late = any(i.key in late for i in node.inputs)
                if isinstance(node, Tasks) and not reads_late:
                    here.add(node.key)
                    calls.append(node)
                elif reads_late or any(i.key in here for i in node.inputs):
                    late.add(node.key)
                    later.append(node)
                else:
                    self.of[node.key] = self._draft(node)
            if calls:
                self._draft_calls(calls)
            waiting = later

    def _draft_calls(self, calls: Sequence[Tasks]) -> None:
        number = {call.key: i for i, call in enumerate(calls)}
        outside: dict[int, Draft] = {}
        inner: list[list[int]] = []
        for call in calls:
            inner.append(sorted({number[i.key] for i in call.inputs if i.key in number}))
            for node in call.inputs:
                if node.key not in number:
                    outside[self.of[node.key].number] = self.of[node.key]
        producers = list(outside.values())
        slots = {producer.number: slot + 1 for slot, producer in enumerate(producers)}
        rows = tuple(
            _CallRow.of(call, number, inner[i], self.of, self.position, slots)
            for i, call in enumerate(calls)
        )
        draft = self._new(calls[0], "calls", (len(calls),), _CallTable(rows), ())
        links = [Link(draft, (0,), (_listed(len(calls), inner),), "list")]
        for producer in producers:
            # A call reads all values of a collection, or those calls it names of another layer.
            wanted = [self._wanted_of(call, producer, number) for call in calls]
            maps: list[AxisMap] = [_listed(producer.grid[0], wanted)]
            maps += [All(1, n) for n in producer.grid[1:]]
            axes = (0, *(-1 for _ in producer.grid[1:]))
            links.append(Link(producer, axes, tuple(maps), "list"))
        draft.links = tuple(links)
        draft.once = frozenset(number[call.key] for call in calls if call.once)
        draft.calls = tuple(calls)
        for call in calls:
            self.of[call.key] = draft
            self.position[call.key] = number[call.key]

    def _wanted_of(self, call: Tasks, producer: Draft, number: Mapping[str, int]) -> Sequence[int]:
        wanted: set[int] = set()
        for node in call.inputs:
            if node.key in number or self.of[node.key] is not producer:
                continue
            place = self.position.get(node.key)
            if place is None:
                return range(producer.grid[0])
            wanted.add(place)
        return sorted(wanted)

    def _draft_stack(self, node: Stack) -> Draft:
        """Output i is the one value of input i; inputs of one stage share one edge."""
        producers: dict[int, Draft] = {}
        rows: dict[int, list[list[int]]] = {}
        n = len(node.inputs)
        for i, child in enumerate(node.inputs):
            draft = self.of[child.key]
            producers[draft.number] = draft
            lists = rows.setdefault(draft.number, [[] for _ in range(n)])
            lists[i].append(self.position.get(child.key, 0))
        links = []
        for number, draft in producers.items():
            maps: list[AxisMap] = [_listed(draft.grid[0], rows[number])]
            maps += [At(1, m, 0) for m in draft.grid[1:]]
            axes = (0, *(-1 for _ in draft.grid[1:]))
            links.append(Link(draft, axes, tuple(maps), "list"))
        return self._new(node, "stack", (n,), _only, links)


def _listed(n_in: int, rows: Sequence[Sequence[int]]) -> Listed:
    counts = np.fromiter((len(row) for row in rows), dtype=np.int64, count=len(rows))
    indptr = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
    indices = np.fromiter((i for row in rows for i in row), dtype=np.int64, count=int(indptr[-1]))
    return Listed(n_in, indptr, indices)


def _only(index: Index, *lists: list[Any]) -> Any:
    """The one value among lists of which all but one are empty."""
    del index
    return next(values[0] for values in lists if values)


@record
class _ApplyPrefix:
    """Hand each position along the scanned axis its prefix out of the folded list."""

    kernel: Kernel
    along: int

    def __call__(self, index: Index, value: Any, folded: list[Any]) -> Any:
        return self.kernel(index, value, folded[0][index[self.along]])


@record
class _CallRow:
    """One call: its kernel, and for each input which register and which item of its list, or None: all.

    Two tuples, since a call may have very many inputs.
    """

    kernel: Kernel
    slots: tuple[int, ...]
    items: tuple[int | None, ...]

    @classmethod
    def of(
        cls,
        call: Tasks,
        number: Mapping[str, int],
        inner: Sequence[int],
        drafts: Mapping[str, Draft],
        position: Mapping[str, int],
        slots: Mapping[int, int],
    ) -> _CallRow:
        read_from: list[int] = []
        items: list[int | None] = []
        read: dict[int, set[int]] = {0: set(inner)}
        for node in call.inputs:
            if node.key not in number and node.key in position:
                read.setdefault(slots[drafts[node.key].number], set()).add(position[node.key])
        item = {
            slot: {place: i for i, place in enumerate(sorted(places))}
            for slot, places in read.items()
        }
        chosen: int | None
        for node in call.inputs:
            if node.key in number:
                slot, chosen = 0, item[0][number[node.key]]
            elif node.key in position:
                slot = slots[drafts[node.key].number]
                chosen = item[slot][position[node.key]]
            else:
                slot, chosen = slots[drafts[node.key].number], None
            read_from.append(slot)
            items.append(chosen)
        return cls(call.kernel(), tuple(read_from), tuple(items))


@record
class _CallTable:
    """The kernel of a stage of calls: every task has a function of its own."""

    rows: tuple[_CallRow, ...]

    def __call__(self, index: Index, *registers: list[Any]) -> Any:
        row = self.rows[index[0]]
        return row.kernel(
            index,
            *[
                registers[slot] if item is None else [registers[slot][item]]
                for slot, item in zip(row.slots, row.items, strict=True)
            ],
        )
