"""Edges made ready for being asked one task at a time, a million times.

A *wire* is an edge whose two directions are functions of a flat number. A *common* wire is one over
which every reader reads the same block of producers (all of them, or one): it is counted once for
the whole stage, never task by task.
"""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from nbscale.graph.axismap import All, At, AxisMap, Coords, Group, Listed, bounds
from nbscale.graph.intervals import IntArray
from nbscale.graph.stage import Edge, Stage, flat_block
from nbscale.record import record

__all__ = ["Wire", "counts_of_readers", "counts_of_reads", "int_column", "wire"]

Numbers: TypeAlias = Callable[[int], Sequence[int]]


@record(eq=False)
class Wire:
    """One edge between two stages.

    Attributes
    ----------
    producer, consumer
        Numbers of the stages.
    slot
        Which of the consumer's gates it is, for a common wire.
    common
        Every reader reads the same block.
    block
        The producers in it; None for all of them.
    same
        A reader reads the producer of its own flat number, and nothing else does.
    pieces, turn
        How values are delivered.
    reads, readers
        Flat numbers that a reader reads, and that read a producer. Not for common wires.
    """

    producer: int
    consumer: int
    slot: int
    common: bool
    block: dict[int, None] | None
    same: bool
    pieces: bool
    turn: bool
    reads: Numbers
    readers: Numbers

    def covers(self, task: int) -> bool:
        """Whether a producer's task is in the block of a common wire."""
        return self.block is None or task in self.block

    def numbers(self, task: int, n: int) -> Sequence[int]:
        """What a task reads, over a common wire too, of a producer with `n` tasks."""
        if not self.common:
            return self.reads(task)
        return range(n) if self.block is None else tuple(self.block)


def wire(edge: Edge, stage: Stage, producer: Stage, slot: int) -> Wire:
    """Compile an edge of a stage."""
    common = all(isinstance(m, (All, At)) for m in edge.maps) and producer is not stage
    block = None
    if common and not edge.is_everything:
        read = [m.inputs(0) if m.n_out else range(0) for m in edge.maps]
        block = {int(t): None for t in flat_block(read, producer.grid)}
        if len(block) == producer.n_tasks:
            block = None
    straight = edge.axes == tuple(range(len(stage.grid))) and stage.grid == producer.grid
    same = edge.is_same and straight and producer is not stage
    reads: Numbers = _itself
    readers: Numbers = _itself
    if not common:
        reads, readers = _directions(edge, stage, producer, same=same)
        if stage.n_tasks == 1 and not same:
            # The map's own answer takes an inverse as long as the producer: see `Listed`.
            readers = _Only(frozenset(reads(0)))
    return Wire(
        edge.producer,
        stage.number,
        slot,
        common,
        block,
        same,
        edge.pieces,
        edge.delivery == "turn",
        reads,
        readers,
    )


def _directions(
    edge: Edge, stage: Stage, producer: Stage, *, same: bool
) -> tuple[Numbers, Numbers]:
    if same:
        return _itself, _itself
    if len(stage.grid) == 1 and edge.axes == (0,):
        m = edge.maps[0]
        if isinstance(m, Group):
            k, n = m.k, m.n_in
            return lambda i: range(i * k, min(i * k + k, n)), lambda j: (j // k,)
        return _Line(m.inputs), _Line(m.consumers)
    to_producer = _Grid(stage.grid, producer.grid, _reads_by_axis(edge))
    if len(set(edge.axes)) == len(edge.axes) and min(edge.axes) >= 0:
        return to_producer, _Grid(producer.grid, stage.grid, _readers_by_axis(edge, stage.grid))
    return to_producer, lambda task: [int(i) for i in stage.read_by(edge, task, producer)]


def _itself(task: int) -> Sequence[int]:
    return (task,)


class _Only:
    """Who reads a value, where there is but one who might."""

    __slots__ = ("read",)

    def __init__(self, read: frozenset[int]) -> None:
        self.read = read

    def __call__(self, task: int) -> Sequence[int]:
        return (0,) if task in self.read else ()


class _Line:
    """One axis to one axis: the map's own answer, in Python's integers."""

    __slots__ = ("of",)

    def __init__(self, of: Callable[[int], Coords]) -> None:
        self.of = of

    def __call__(self, task: int) -> Sequence[int]:
        found = self.of(task)
        return found if isinstance(found, range) else found.tolist()


_Axis: TypeAlias = tuple[int, Callable[[int], Coords] | None, Coords]


class _Grid:
    """Several axes: the product of what each axis gives.

    For each axis of the answer: the axis of the question that drives it, the map's function, and
    what holds if none drives it.
    """

    __slots__ = ("axes", "sizes", "strides")

    def __init__(self, grid: Sequence[int], answer: Sequence[int], axes: Sequence[_Axis]) -> None:
        self.sizes = tuple(reversed(grid))
        self.strides = [math.prod(answer[a + 1 :]) for a in range(len(answer))]
        self.axes = tuple(axes)

    def __call__(self, task: int) -> Sequence[int]:
        position = []
        for size in self.sizes:
            task, rest = divmod(task, size)
            position.append(rest)
        position.reverse()
        flat = 0
        wide: list[tuple[Coords, int]] = []
        for (driver, of, fixed), stride in zip(self.axes, self.strides, strict=True):
            found = fixed if of is None else of(position[driver])
            if len(found) == 1:
                flat += int(found[0]) * stride
            else:
                wide.append((found, stride))
        if not wide:
            return (flat,)
        if len(wide) == 1:
            found, stride = wide[0]
            if isinstance(found, range):
                begin = found.start * stride + flat
                return range(begin, begin + len(found) * stride, stride)
            return [flat + c * stride for c in found.tolist()]
        blocks = [[int(c) * stride for c in found] for found, stride in wide]
        return [flat + sum(offsets) for offsets in itertools.product(*blocks)]


def _reads_by_axis(edge: Edge) -> list[_Axis]:
    return [
        (a, m.inputs, range(0)) if a >= 0 else (0, None, m.inputs(0) if m.n_out else range(0))
        for a, m in zip(edge.axes, edge.maps, strict=True)
    ]


def _readers_by_axis(edge: Edge, grid: Sequence[int]) -> list[_Axis]:
    by_axis: list[_Axis] = [(0, None, range(n)) for n in grid]
    for axis, (a, m) in enumerate(zip(edge.axes, edge.maps, strict=True)):
        by_axis[a] = (axis, m.consumers, range(0))
    return by_axis


# Counts for whole stages -------------------------------------------------------------------


def int_column(values: IntArray) -> array[int]:
    """A column of 32-bit integers that is quick to index one at a time."""
    column = array("i")
    column.frombytes(np.ascontiguousarray(values, dtype=np.intc).tobytes())
    return column


def counts_of_reads(edge: Edge, stage: Stage) -> IntArray:
    """How many producers each task of a stage reads over an edge, by flat number."""
    by_axis = [np.ones(n, dtype=np.int64) for n in stage.grid]
    factor = 1
    for a, m in zip(edge.axes, edge.maps, strict=True):
        if a >= 0:
            by_axis[a] = by_axis[a] * m.counts()
        else:
            factor *= len(m.inputs(0)) if m.n_out else 0
    return _product(by_axis) * factor


def counts_of_readers(edge: Edge, stage: Stage, producer: Stage) -> IntArray:
    """How many tasks of a stage read each producer over an edge, by flat number."""
    driven = [a for a in edge.axes if a >= 0]
    if len(set(driven)) < len(driven):  # a diagonal: readers are no product of the axes
        total = np.zeros(producer.n_tasks, dtype=np.int64)
        for task in range(stage.n_tasks):
            total[list(stage.reads(task, edge, producer))] += 1
        return total
    by_axis = []
    factor = math.prod(n for a, n in enumerate(stage.grid) if a not in driven)
    for a, m in zip(edge.axes, edge.maps, strict=True):
        readers = _readers(m)
        by_axis.append(readers if a >= 0 else (readers > 0).astype(np.int64))
    return _product(by_axis) * factor


def _readers(m: AxisMap) -> IntArray:
    if isinstance(m, Listed):
        return np.bincount(m.indices, minlength=m.n_in).astype(np.int64)
    lo, hi = bounds(m)
    change = np.bincount(lo, minlength=m.n_in + 1) - np.bincount(hi, minlength=m.n_in + 1)
    return np.cumsum(change)[: m.n_in].astype(np.int64)


def _product(by_axis: Sequence[IntArray]) -> IntArray:
    total = np.ones((), dtype=np.int64)
    for axis in by_axis:
        total = np.multiply.outer(total, axis)
    return np.asarray(total, dtype=np.int64).reshape(-1)
