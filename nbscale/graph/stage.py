"""Stages: a grid of tasks that run one program, and the edges that feed them.

A stage of a million tasks is one small record. Tasks are numbered in C order over the grid that is
kept; each keeps the coordinates it had before pruning, and its program is called with those.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeAlias

from nbscale.events import Place
from nbscale.graph.axismap import All, AxisMap, Coords, Each
from nbscale.record import record

__all__ = ["Edge", "Program", "Stage", "Step", "original_index"]

Delivery: TypeAlias = Literal["one", "list", "turn"]


@record
class Step:
    """One operation of a program.

    Attributes
    ----------
    kernel
        ``kernel(index, *inputs) -> value``. One whose class says ``plain = True`` holds nothing that
        plain pickle would not bring whole to another process.
    args
        Registers it reads: ``0 .. n_edges-1`` are the task's inputs, then one for each step.
    axes
        The step's coordinate along each of its axes is the task's coordinate along ``axes[a]``.
    name
        The operation in the user's words.
    place
        Where the user wrote it.
    """

    kernel: Callable[..., Any]
    args: tuple[int, ...]
    axes: tuple[int, ...]
    name: str
    place: Place | None = None


@record
class Program:
    """Steps run one after the other in one task; the last one's value is the task's.

    A loop, never a recursion: a fused chain of 100,000 operations is one long list. Registers are
    dropped after their last use, so a chain holds two values at a time.
    """

    n_inputs: int
    steps: tuple[Step, ...]
    last_use: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, n_inputs: int, steps: Sequence[Step]) -> Program:
        """Make a program, working out when each register may be dropped."""
        ends: dict[int, int] = {}
        for number, step in enumerate(steps):
            for register in step.args:
                ends[register] = number
        dropped: list[list[int]] = [[] for _ in steps]
        for register, number in ends.items():
            dropped[number].append(register)
        return cls(n_inputs, tuple(steps), tuple(tuple(d) for d in dropped))

    @property
    def is_plain(self) -> bool:
        """Whether plain pickle, which is fast, brings it to another process."""
        return all(getattr(step.kernel, "plain", False) for step in self.steps)

    def __call__(
        self, index: tuple[int, ...], inputs: list[Any], spent: list[float] | None = None
    ) -> Any:
        """Run the steps on one task's inputs; consumes the list.

        ``spent``, if given, gets the seconds of each step added.

        An exception passes through unchanged but for a note attribute ``__nbscale_step__``: the
        number of the step that raised it.
        """
        registers = inputs
        number = 0
        try:
            for number, step in enumerate(self.steps):
                where = tuple(index[a] for a in step.axes)
                if spent is None:
                    value = step.kernel(where, *[registers[r] for r in step.args])
                else:
                    begin = time.monotonic()
                    value = step.kernel(where, *[registers[r] for r in step.args])
                    spent[number] += time.monotonic() - begin
                registers.append(value)
                for register in self.last_use[number]:
                    registers[register] = None
        except BaseException as error:
            if not hasattr(error, "__nbscale_step__"):
                error.__nbscale_step__ = number  # type: ignore[attr-defined]
            raise
        return registers[-1]


@record
class Edge:
    """What the tasks of a stage read of one producer.

    Attributes
    ----------
    producer
        Number of the producing stage in its job; the stage's own number for a graph of calls.
    axes
        For each axis of the producer, the axis of the consumer that drives it, or -1 for none.
    maps
        For each axis of the producer, the positions (in kept coordinates) that are read.
    delivery
        ``"one"`` value, a ``"list"`` in C order, or an iterator in ``"turn"``.
    pieces
        The producer's values are addressed by the flat original number of the reader, which gets
        its piece of each (an exchange).
    """

    producer: int
    axes: tuple[int, ...]
    maps: tuple[AxisMap, ...]
    delivery: Delivery = "one"
    pieces: bool = False

    @property
    def is_everything(self) -> bool:
        """Every consumer reads every producer: one counter does for the whole edge."""
        return all(isinstance(m, All) for m in self.maps)

    @property
    def is_same(self) -> bool:
        """Consumer and producer have the same coordinates, up to a permutation of axes."""
        return all(isinstance(m, Each) for m in self.maps) and len(set(self.axes)) == len(self.axes)


@record
class Stage:
    """A grid of tasks.

    Attributes
    ----------
    number
        Position in its job; producers have smaller numbers than their consumers.
    name
        The operations fused in it, in the user's words.
    axes
        For each axis the original coordinates that are kept.
    original_grid
        The grid before pruning; flat original numbers address pieces.
    program
        What a task runs.
    edges
        Where its inputs come from, in the order of the program's first registers.
    keep
        Its values are wanted: they stay until the job releases them.
    result
        For a stage that is wanted by the user, which result it is, else None.
    gil_free, user_code
        Facts of the operations in it, for the choice of the engine.
    nbytes
        Estimated bytes of one output, or None.
    keys
        Keys of the nodes in it.
    value_of
        Key of the node whose partitions its values are, or '' for an inner step of one.
    places
        Where the user wrote them.
    shared
        Memory that its program names; whoever runs it must be able to map it.
    once
        Tasks, by their flat original number, that are never run again when they may have begun.
    substitute
        Makes of the error of a task what stands for its value, where tasks fail alone; where it is
        None the error of one ends the run.
    calls
        For a graph of calls: name and place of each, by its original number.
    brought
        Bytes of arguments that calls bring with them.
    """

    number: int
    name: str
    axes: tuple[Coords, ...]
    original_grid: tuple[int, ...]
    program: Program
    edges: tuple[Edge, ...]
    keep: bool = False
    result: int | None = None
    gil_free: bool = True
    user_code: bool = False
    nbytes: float | None = None
    keys: tuple[str, ...] = ()
    value_of: str = ""
    places: tuple[Place, ...] = ()
    shared: tuple[Any, ...] = ()
    once: frozenset[int] = frozenset()
    substitute: Callable[[BaseException], Any] | None = None
    calls: tuple[tuple[str, Place | None], ...] = ()
    brought: int = 0

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of kept coordinates along each axis."""
        return tuple(len(axis) for axis in self.axes)

    @property
    def n_tasks(self) -> int:
        """Number of tasks."""
        return math.prod(self.grid)

    def position(self, task: int) -> tuple[int, ...]:
        """Kept coordinates of a task from its flat number."""
        position = []
        for n in reversed(self.grid):
            task, rest = divmod(task, n)
            position.append(rest)
        return tuple(reversed(position))

    def index(self, task: int) -> tuple[int, ...]:
        """Original coordinates of a task: what its program is called with."""
        return original_index(self.axes, self.position(task))

    def flat_original(self, task: int) -> int:
        """Flat number of a task in the original grid."""
        flat = 0
        for coordinate, n in zip(self.index(task), self.original_grid, strict=True):
            flat = flat * n + coordinate
        return flat

    def reads(self, task: int, edge: Edge, producer: Stage) -> Iterator[int]:
        """Flat numbers of the producer's tasks that this task reads over one edge, in C order."""
        position = self.position(task)
        blocks = [
            m.inputs(position[a] if a >= 0 else 0)
            for a, m in zip(edge.axes, edge.maps, strict=True)
        ]
        return flat_block(blocks, producer.grid)

    def read_by(self, edge: Edge, task: int, producer: Stage) -> Iterator[int]:
        """Flat numbers of this stage's tasks that read a producer's task over one edge."""
        position = producer.position(task)
        blocks: list[Coords] = [range(n) for n in self.grid]
        for coordinate, a, m in zip(position, edge.axes, edge.maps, strict=True):
            if a >= 0:
                blocks[a] = _common(blocks[a], m.consumers(coordinate))
            elif len(m.consumers(coordinate)) == 0:
                return iter(())
        return flat_block(blocks, self.grid)


def _common(one: Coords, other: Coords) -> Coords:
    """Coordinates in both; two axes of a producer may be driven by one axis of the consumer."""
    if isinstance(one, range) and isinstance(other, range):
        return range(max(one.start, other.start), max(one.start, min(one.stop, other.stop)))
    return [int(c) for c in other if c in one]  # type: ignore[return-value]


def original_index(axes: Sequence[Coords], position: Sequence[int]) -> tuple[int, ...]:
    """Original coordinates from positions among the kept ones."""
    return tuple(int(axis[p]) for axis, p in zip(axes, position, strict=True))


def flat_block(blocks: Sequence[Coords], grid: Sequence[int]) -> Iterator[int]:
    """Flat C-order numbers of the product of coordinates in a grid."""
    if len(blocks) == 1:
        return iter(blocks[0])
    strides = [math.prod(grid[a + 1 :]) for a in range(len(grid))]
    return (
        sum(int(c) * s for c, s in zip(coordinates, strides, strict=True))
        for coordinates in itertools.product(*blocks)
    )
