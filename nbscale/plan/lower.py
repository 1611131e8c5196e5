"""From nodes to stages: draft, prune, fuse, number.

Linear in the number of nodes and blind to the number of tasks:

1. every node becomes drafts (``draft.py``);
2. from the wanted drafts backwards, only the coordinates somebody reads are kept;
3. a draft whose only readers sit in one group, each reading it at their own coordinates, joins
   that group; a group becomes one stage with one program.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nbscale.events import Place
from nbscale.expr.node import Index, Kernel, Node, Stack, Tasks
from nbscale.graph.axismap import AxisMap, Coords, Ranges, reindex
from nbscale.graph.part import Part, part_at
from nbscale.graph.stage import Edge, Program, Stage, Step
from nbscale.plan.draft import Draft, Drafts, Link
from nbscale.record import record

__all__ = ["Emitted", "Wanted", "fuse", "lower", "prune"]

_WHOLE = frozenset({"load", "map", "final", "apply", "merge"})
"""Parts whose values are the partitions of their node, not a step on the way."""


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
            if any(len(axis) == 0 for axis in needed):
                continue
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
        if math.prod(reader.grid) != math.prod(draft.grid):
            return None  # a single value for many readers: not once more in each of them
        group = group_of[reader.number]
        axes = tuple(group.axes[reader.number][a] for a in link.axes)
        if axes != tuple(range(len(axes))) and any(own.pieces for own in draft.links):
            return None  # pieces are addressed by the stage's own numbering, which would be turned
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


@record
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
    # A call is one task of a stage of calls: what is wanted of it gets a stage of its own.
    wanted = [
        Wanted(Stack((w.node,)), w.result) if isinstance(w.node, Tasks) else w for w in wanted
    ]
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
    # A call that is made once is lost with no reader of it, and stays for steps to come.
    apart |= {draft.number for draft in order if draft.once}
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
            once=root.once,
            calls=_named(root.calls, places),
        )
        stages.append(stage)
        if stage.keep:
            emitted.kept[root.key] = (number, stage.axes)
    emitted.stages.extend(stages)
    return stages


def _named(
    calls: Sequence[Node], places: Mapping[str, Place]
) -> tuple[tuple[str, Place | None], ...]:
    """Name and place of each call. What is the same is kept once: there may be very many."""
    known: dict[tuple[str, Place | None], tuple[str, Place | None]] = {}
    found = ((call.label, places.get(call.key)) for call in calls)
    return tuple(known.setdefault(one, one) for one in found)


def _nbytes(members: Sequence[Draft]) -> float | None:
    """Bytes of one output, where nodes know it or it follows; others are learned while running."""
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
            if link.producer.number not in coords:
                continue
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
            _padded(draft, coords),
            tuple(register[n] if is_inside else n for is_inside, n in row),
            axes[draft.number],
            draft.node.label,
            places.get(draft.node.key),
        )
        for draft, row in zip(members, arguments, strict=True)
    ]
    return tuple(edges), Program.of(len(edges), steps)


def _padded(draft: Draft, coords: Mapping[int, Kept]) -> Kernel:
    """The kernel, given nothing of the producers of which no task that is kept reads anything."""
    absent = tuple(i for i, link in enumerate(draft.links) if link.producer.number not in coords)
    return _Padded(draft.kernel, absent) if absent else draft.kernel


@record
class _Padded:
    """Calls a kernel with an empty list in the place of every input that is absent."""

    kernel: Kernel
    absent: tuple[int, ...]

    def __call__(self, index: Index, *inputs: Any) -> Any:
        given = list(inputs)
        for place in self.absent:
            given.insert(place, [])
        return self.kernel(index, *given)

    def part(self, index: Index) -> Part | None:
        return part_at(self.kernel, index)


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
