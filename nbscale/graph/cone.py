"""The cone of a task: the stages that it is made from, and of each only what it reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from nbscale.graph.axismap import AxisMap, Coords, reindex
from nbscale.graph.stage import Stage

__all__ = ["cone"]

_Kept = tuple[Coords, ...]
"""Along each axis of a stage, the positions that somebody reads."""


def cone(stages: Mapping[int, Stage], number: int, task: int) -> tuple[tuple[Stage, ...], Stage]:
    """Restrict stages to what one task reads, however far back.

    Parameters
    ----------
    stages
        By number; producers have smaller numbers.
    number, task
        The task.

    Returns
    -------
    before
        The stages it is made from, numbered from 0. Those that it reads itself are results, in the
        order of their numbers.
    stage
        One with that task alone.

    Examples
    --------
    >>> from nbscale.graph.axismap import Each
    >>> from nbscale.graph.stage import Edge, Program
    >>> nothing = Program(0, (), ())
    >>> a = Stage(0, "a", (range(9),), (9,), nothing, ())
    >>> b = Stage(1, "b", (range(9),), (9,), nothing, (Edge(0, (0,), (Each(9),)),))
    >>> before, stage = cone({0: a, 1: b}, 1, 7)
    >>> before[0].axes, stage.axes, before[0].result
    ((range(7, 8),), (range(7, 8),), 0)
    """
    target = stages[number]
    own: _Kept = tuple(range(p, p + 1) for p in target.position(task))
    kept: dict[int, _Kept] = {}
    _want(target, own, kept)
    for n in sorted(stages, reverse=True):
        if n in kept:
            kept[n] = _closed(stages[n], kept[n])
            _want(stages[n], kept[n], kept)
    order = sorted(kept)
    place = {n: at for at, n in enumerate(order)}
    read = list(dict.fromkeys(sorted(edge.producer for edge in target.edges)))
    before = []
    for at, n in enumerate(order):
        result = read.index(n) if n in read else None
        made = _restricted(stages[n], kept[n], kept, place)
        before.append(dataclasses.replace(made, number=at, result=result, keep=False))
    last = _restricted(target, own, kept, place)
    return tuple(before), dataclasses.replace(last, number=len(order), result=None, keep=False)


def _want(reader: Stage, own: _Kept, kept: dict[int, _Kept]) -> None:
    """Add what some tasks of a stage read."""
    for edge in reader.edges:
        needed = tuple(
            m.restrict(own[a] if a >= 0 else range(m.n_out))[1]
            for a, m in zip(edge.axes, edge.maps, strict=True)
        )
        have = kept.get(edge.producer)
        kept[edge.producer] = needed if have is None else tuple(map(_union, have, needed))


def _closed(stage: Stage, own: _Kept) -> _Kept:
    """Calls read other calls of their stage: those belong to it, and what they read in turn."""
    for edge in stage.edges:
        if edge.producer == stage.number:
            waiting = [int(i) for i in own[0]]
            seen = set(waiting)
            while waiting:
                for j in map(int, edge.maps[0].inputs(waiting.pop())):
                    if j not in seen:
                        seen.add(j)
                        waiting.append(j)
            own = (np.array(sorted(seen), dtype=np.int64),)
    return own


def _union(one: Coords, other: Coords) -> Coords:
    return np.union1d(np.asarray(one, dtype=np.int64), np.asarray(other, dtype=np.int64))


def _restricted(
    stage: Stage, own: _Kept, kept: Mapping[int, _Kept], place: Mapping[int, int]
) -> Stage:
    axes = tuple(map(_chosen, stage.axes, own))
    edges = []
    for edge in stage.edges:
        maps: list[AxisMap] = []
        for a, m, have in zip(edge.axes, edge.maps, kept[edge.producer], strict=True):
            restricted, needed = m.restrict(own[a] if a >= 0 else range(m.n_out))
            maps.append(reindex(restricted, needed, have))
        edges.append(dataclasses.replace(edge, producer=place[edge.producer], maps=tuple(maps)))
    return dataclasses.replace(stage, axes=axes, edges=tuple(edges))


def _chosen(axis: Coords, positions: Coords) -> Coords:
    if isinstance(axis, range) and isinstance(positions, range):
        return axis[positions.start : positions.stop : positions.step] if positions else range(0)
    chosen: Coords = np.asarray(axis, dtype=np.int64)[np.asarray(positions, dtype=np.int64)]
    return chosen
