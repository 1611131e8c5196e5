"""From nodes to stages: constructors, pruning, fusion.

Three passes, each linear in the number of nodes and blind to the number of tasks:

1. **draft**: every node becomes one or a few drafts, a draft being a stage with one step, by its
   family alone;
2. **prune**: from the wanted drafts backwards, only the coordinates somebody reads are kept;
3. **fuse**: a draft whose only readers sit in one group, each reading it at their own
   coordinates, joins that group; a group becomes one stage with one program.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nbscale.events import Place
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
from nbscale.graph.axismap import All, At, AxisMap, Coords, Each, Group, Listed, Ranges, reindex
from nbscale.graph.stage import Delivery, Edge, Program, Stage, Step

__all__ = ["Draft", "Drafts", "Emitted", "Link", "Wanted", "fuse", "lower", "prune"]

FAN_IN = 8

_WHOLE = frozenset({"load", "map", "final", "apply", "merge"})
"""Parts whose values are the partitions of their node, not a step on the way."""


@dataclasses.dataclass(frozen=True, slots=True)
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
    prefix: tuple[Draft, int] | None = None
    """For the fold of a scan: the draft that reads it and the axis it is scanned along. A prefix
    depends on nothing behind it, so the fold of the first k needs the first k summaries only."""

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
                draft = self._new(node, "load", node.grid, node.load(), ())
                draft.nbytes = node.nbytes()
                return draft
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
        for call in calls:
            self.of[call.key] = draft
            self.position[call.key] = number[call.key]

    def _wanted_of(
        self, call: Tasks, producer: Draft, number: Mapping[str, int]
    ) -> Sequence[int]:
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
    indices = np.fromiter(
        (i for row in rows for i in row), dtype=np.int64, count=int(indptr[-1])
    )
    return Listed(n_in, indptr, indices)


def _only(index: Index, *lists: list[Any]) -> Any:
    """The one value among lists of which all but one are empty."""
    del index
    return next(values[0] for values in lists if values)


@dataclasses.dataclass(frozen=True, slots=True)
class _ApplyPrefix:
    """Hand each position along the scanned axis its prefix out of the folded list."""

    kernel: Kernel
    along: int

    def __call__(self, index: Index, value: Any, folded: list[Any]) -> Any:
        return self.kernel(index, value, folded[0][index[self.along]])


@dataclasses.dataclass(frozen=True, slots=True)
class _CallRow:
    """One call: its kernel, and for each input which register and which items of its list."""

    kernel: Kernel
    inputs: tuple[tuple[int, int | None], ...]

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
        inputs: list[tuple[int, int | None]] = []
        by_slot: dict[int, list[int]] = {}
        for node in call.inputs:
            if node.key not in number and node.key in position:
                by_slot.setdefault(slots[drafts[node.key].number], []).append(position[node.key])
        for node in call.inputs:
            if node.key in number:
                inputs.append((0, inner.index(number[node.key])))
            elif node.key in position:
                slot = slots[drafts[node.key].number]
                inputs.append((slot, sorted(set(by_slot[slot])).index(position[node.key])))
            else:
                inputs.append((slots[drafts[node.key].number], None))
        return cls(call.kernel(), tuple(inputs))


@dataclasses.dataclass(frozen=True, slots=True)
class _CallTable:
    """The kernel of a stage of calls: every task has a function of its own."""

    rows: tuple[_CallRow, ...]

    def __call__(self, index: Index, *registers: list[Any]) -> Any:
        row = self.rows[index[0]]
        return row.kernel(
            index,
            *[
                registers[slot] if item is None else [registers[slot][item]]
                for slot, item in row.inputs
            ],
        )


# Pruning ------------------------------------------------------------------------------------

Kept = tuple[Coords, ...]


def _full(grid: Iterable[int]) -> Kept:
    return tuple(range(n) for n in grid)


def prune(drafts: Sequence[Draft], wanted: Mapping[int, Kept]) -> dict[int, Kept]:
    """For each draft that is needed, the coordinates somebody reads.

    ``wanted`` gives, by number, what is read from outside. Consumers come before producers.
    """
    kept: dict[int, Kept] = dict(wanted)
    for draft in reversed(drafts):
        own = kept.get(draft.number)
        if own is None or any(len(axis) == 0 for axis in own):
            kept.pop(draft.number, None)
            continue
        for link in draft.links:
            if link.producer is draft:
                own = (_closure(link.maps[0], own[0]),)
                kept[draft.number] = own
        for link in draft.links:
            if link.producer is draft:
                continue
            needed = tuple(
                m.restrict(own[a] if a >= 0 else range(m.n_out))[1]
                for a, m in zip(link.axes, _maps(draft, link, kept), strict=True)
            )
            number = link.producer.number
            if number in kept:
                needed = tuple(map(_union, kept[number], needed))
            kept[number] = needed
    return kept


def _maps(draft: Draft, link: Link, kept: Mapping[int, Kept]) -> tuple[AxisMap, ...]:
    """The maps of a link; a fold leaves out the summaries behind the last prefix that is read."""
    if draft.prefix is None:
        return link.maps
    reader, along = draft.prefix
    read = kept[reader.number][along]
    n = link.maps[along].n_in
    if len(read) == 0 or int(read[-1]) + 1 == n:
        return link.maps
    shorter = Ranges(n, [0], [int(read[-1]) + 1])
    return tuple(shorter if a == along else m for a, m in enumerate(link.maps))


def _union(one: Coords, other: Coords) -> Coords:
    if isinstance(one, range) and isinstance(other, range):
        if not one or not other:
            return one or other
        if max(one.start, other.start) <= min(one.stop, other.stop):
            return range(min(one.start, other.start), max(one.stop, other.stop))
    merged = np.union1d(np.asarray(one, dtype=np.int64), np.asarray(other, dtype=np.int64))
    if len(merged) and merged[-1] - merged[0] + 1 == len(merged):
        return range(int(merged[0]), int(merged[-1]) + 1)
    return merged


def _closure(reads: AxisMap, wanted: Coords) -> Coords:
    """Everything a graph of calls needs for the wanted ones: they read smaller numbers only."""
    if len(wanted) == reads.n_out:
        return wanted
    needed = np.zeros(reads.n_out, dtype=bool)
    needed[np.asarray(wanted, dtype=np.int64)] = True
    for i in range(reads.n_out - 1, -1, -1):
        if needed[i]:
            needed[np.asarray(reads.inputs(i), dtype=np.int64)] = True
    return np.flatnonzero(needed)


# Fusion -------------------------------------------------------------------------------------


@dataclasses.dataclass(slots=True)
class _Group:
    """Drafts that become one stage. ``axes[n]``: the root's axis for each axis of draft n."""

    root: Draft
    axes: dict[int, tuple[int, ...]]


def fuse(
    drafts: Sequence[Draft], kept: Mapping[int, Kept], apart: set[int]
) -> list[tuple[Draft, list[Draft], dict[int, tuple[int, ...]]]]:
    """Groups as (root, members in order, axes of each), producers before their readers.

    Drafts numbered in ``apart`` stay the last of their group: their values are wanted.
    """
    readers: dict[int, list[tuple[Draft, Link]]] = {}
    for draft in drafts:
        if draft.number in kept:
            for link in draft.links:
                readers.setdefault(link.producer.number, []).append((draft, link))
    group_of: dict[int, _Group] = {}
    groups: list[_Group] = []
    for draft in reversed(drafts):
        if draft.number not in kept:
            continue
        joined = None
        if draft.number not in apart:
            joined = _group_to_join(draft, readers.get(draft.number, []), group_of)
        if joined is None:
            group = _Group(draft, {draft.number: tuple(range(len(draft.grid)))})
            groups.append(group)
        else:
            group, axes = joined
            group.axes[draft.number] = axes
        group_of[draft.number] = group
    by_number = {draft.number: draft for draft in drafts}
    groups.reverse()
    groups.sort(key=lambda group: group.root.number)
    return [
        (group.root, [by_number[n] for n in sorted(group.axes)], group.axes) for group in groups
    ]


def _group_to_join(
    draft: Draft, readers: Sequence[tuple[Draft, Link]], group_of: Mapping[int, _Group]
) -> tuple[_Group, tuple[int, ...]] | None:
    """The one group all readers are in, if each reads the draft at its own coordinates."""
    found: tuple[_Group, tuple[int, ...]] | None = None
    for reader, link in readers:
        if reader is draft or not link.fusible:
            return None
        group = group_of[reader.number]
        axes = tuple(group.axes[reader.number][a] for a in link.axes)
        if found is not None and (found[0] is not group or found[1] != axes):
            return None
        found = (group, axes)
    return found


# Emission -----------------------------------------------------------------------------------


@dataclasses.dataclass(slots=True)
class Emitted:
    """Stages a job has already, by draft, with the coordinates they hold."""

    stages: list[Stage] = dataclasses.field(default_factory=list)
    kept: dict[tuple[str, str], tuple[int, Kept]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """A node whose values are wanted: for the user (``result``) or to be read later."""

    node: Node
    result: int | None = None


def lower(
    wanted: Sequence[Wanted],
    emitted: Emitted,
    places: Mapping[str, Place],
    hold: Iterable[Node] = (),
    drafts: Drafts | None = None,
) -> list[Stage]:
    """New stages for the wanted nodes, numbered on from those emitted.

    Nodes in ``hold`` that turn out to be computed on the way stay, for stages that come later.
    """
    drafts = drafts if drafts is not None else Drafts()
    targets = [w.node for w in wanted]
    drafts.add(targets)
    holding = [node for node in hold if node.key in drafts.of]
    roots = {drafts.of[node.key].number: drafts.of[node.key] for node in targets}
    have = {
        draft.number: emitted.kept[draft.key]
        for draft in drafts.order
        if draft.key in emitted.kept and draft.number not in roots
    }
    while True:
        order = [draft for draft in drafts.order if draft.number not in have]
        kept = prune(order, {number: _full(draft.grid) for number, draft in roots.items()})
        # Where an earlier step holds some coordinates but not all: make it again, whole.
        short = [
            number
            for number, (_, axes) in have.items()
            if number in kept and not all(map(_covers, axes, kept[number]))
        ]
        if not short:
            break
        for number in short:
            del have[number]
    apart = set(roots) | {drafts.of[node.key].number for node in holding}
    results = {drafts.of[w.node.key].number: w.result for w in wanted if w.result is not None}
    return _emit(order, kept, apart, results, have, emitted, places)


def _covers(have: Coords, need: Coords) -> bool:
    if isinstance(have, range) and isinstance(need, range):
        return not need or (have.start <= need.start and need.stop <= have.stop)
    return bool(np.isin(np.asarray(need), np.asarray(have)).all())


def _emit(
    order: Sequence[Draft],
    kept: Mapping[int, Kept],
    apart: set[int],
    results: Mapping[int, int],
    have: Mapping[int, tuple[int, Kept]],
    emitted: Emitted,
    places: Mapping[str, Place],
) -> list[Stage]:
    stages: list[Stage] = []
    number_of: dict[int, int] = {n: stage for n, (stage, _) in have.items()}
    coords = {**kept, **{n: axes for n, (_, axes) in have.items()}}
    for root, members, axes in fuse(order, kept, apart):
        number = len(emitted.stages) + len(stages)
        number_of[root.number] = number
        edges, program = _program(members, axes, kept, coords, number_of, places)
        nodes = list(dict.fromkeys(m.node for m in members))
        stage = Stage(
            number=number,
            name=" + ".join(dict.fromkeys(n.label for n in nodes[-6:])),
            axes=kept[root.number],
            original_grid=root.grid,
            program=program,
            edges=edges,
            keep=root.number in apart and root.number not in results,
            result=results.get(root.number),
            gil_free=all(n.gil_free for n in nodes),
            user_code=any(n.user_code for n in nodes),
            nbytes=_nbytes(members),
            keys=tuple(n.key for n in nodes),
            value_of=root.node.key if root.part in _WHOLE else "",
            places=tuple(dict.fromkeys(places[n.key] for n in nodes if n.key in places)),
        )
        stages.append(stage)
        if stage.keep:
            emitted.kept[root.key] = (number, stage.axes)
    emitted.stages.extend(stages)
    return stages


def _nbytes(members: Sequence[Draft]) -> float | None:
    """Bytes of one output of a group that begins at a source; others are learned while running."""
    sizes: dict[int, float] = {}
    for draft in members:
        if draft.nbytes is not None:
            sizes[draft.number] = draft.nbytes
            continue
        inputs = [sizes.get(link.producer.number) for link in draft.links]
        known = [size for size in inputs if size is not None]
        if not known or len(known) != len(inputs):
            continue
        sizes[draft.number] = sum(known) * draft.node.growth
    return sizes.get(members[-1].number)


def _program(
    members: Sequence[Draft],
    axes: Mapping[int, tuple[int, ...]],
    kept: Mapping[int, Kept],
    coords: Mapping[int, Kept],
    number_of: Mapping[int, int],
    places: Mapping[str, Place],
) -> tuple[tuple[Edge, ...], Program]:
    inside = {draft.number for draft in members}
    edges: list[Edge] = []
    known: dict[Any, int] = {}
    arguments: list[list[tuple[bool, int]]] = []
    for draft in members:
        own = axes[draft.number]
        row: list[tuple[bool, int]] = []
        for link in draft.links:
            if link.producer.number in inside and link.producer is not draft:
                row.append((True, link.producer.number))
                continue
            edge = _edge(link, draft, own, kept, coords, number_of)
            # Equal edges into one register: x + x reads x once. Iterators are used up, so not they.
            same_as = edge if edge.delivery == "one" else (len(edges), edge.producer)
            if same_as not in known:
                known[same_as] = len(edges)
                edges.append(edge)
            row.append((False, known[same_as]))
        arguments.append(row)
    register = {draft.number: len(edges) + i for i, draft in enumerate(members)}
    steps = [
        Step(
            draft.kernel,
            tuple(register[n] if is_inside else n for is_inside, n in row),
            axes[draft.number],
            draft.node.label,
            places.get(draft.node.key),
        )
        for draft, row in zip(members, arguments, strict=True)
    ]
    return tuple(edges), Program.of(len(edges), steps)


def _edge(
    link: Link,
    reader: Draft,
    own: tuple[int, ...],
    kept: Mapping[int, Kept],
    coords: Mapping[int, Kept],
    number_of: Mapping[int, int],
) -> Edge:
    outputs = kept[reader.number]
    maps: list[AxisMap] = []
    for a, m, have in zip(
        link.axes, _maps(reader, link, kept), coords[link.producer.number], strict=True
    ):
        rows = outputs[a] if a >= 0 else range(m.n_out)
        if len(rows) == m.n_out and len(have) == m.n_in:
            maps.append(m)
            continue
        restricted, needed = m.restrict(rows)
        maps.append(reindex(restricted, needed, have))
    driven = tuple(own[a] if a >= 0 else -1 for a in link.axes)
    number = number_of[link.producer.number]
    return Edge(number, driven, tuple(maps), link.delivery, link.pieces)
