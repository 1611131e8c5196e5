"""Small jobs written by hand, and what collects their results."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from nbscale.engines.base import Engine, RunInfo, Take
from nbscale.events import Observer, Place
from nbscale.graph.axismap import All, AxisMap, Each
from nbscale.graph.job import Failure, Grow, Observation, Reply
from nbscale.graph.stage import Edge, Program, Stage, Step

__all__ = ["Results", "Script", "each", "everything", "over", "plain", "run", "stage"]


def stage(
    number: int,
    grid: int | Sequence[int],
    kernel: Callable[..., Any],
    *edges: Edge,
    name: str = "",
    place: Place | None = None,
    **facts: Any,
) -> Stage:
    """A stage of one operation, ``kernel(index, *inputs)``, over a whole grid.

    Examples
    --------
    >>> stage(0, 3, lambda index: index[0] ** 2).n_tasks
    3
    """
    shape = (grid,) if isinstance(grid, int) else tuple(grid)
    name = name or f"stage {number}"
    step = Step(kernel, tuple(range(len(edges))), tuple(range(len(shape))), name, place)
    return Stage(
        number=number,
        name=name,
        axes=tuple(range(n) for n in shape),
        original_grid=shape,
        program=Program.of(len(edges), [step]),
        edges=edges,
        places=() if place is None else (place,),
        **facts,
    )


def over(producer: Stage, *maps: AxisMap, delivery: Any = "list", pieces: bool = False) -> Edge:
    """An edge along the same axes, by the given maps."""
    return Edge(producer.number, tuple(range(len(maps))), maps, delivery, pieces)


def each(producer: Stage) -> Edge:
    """An edge to the task at the same place."""
    return over(producer, *(Each(n) for n in producer.grid), delivery="one")


def everything(producer: Stage, delivery: Any = "list") -> Edge:
    """An edge of a stage with one task to every task of the producer, of one axis."""
    return over(producer, All(1, producer.n_tasks), delivery=delivery)


Answer: TypeAlias = Reply | Callable[[Any], Reply]


class Script:
    """A job that gives fixed replies, one after the other; each may be made from what was seen."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.seen: list[Observation | Failure | None] = []
        self.sizes: dict[int, dict[int, tuple[int, int]]] = {}

    def step(self, seen: Observation | Failure | None) -> Reply:
        """Give the next reply."""
        self.seen.append(seen)
        answer = self._answers.pop(0)
        return answer(seen) if callable(answer) else answer

    def measured(self, sizes: Mapping[int, Mapping[int, tuple[int, int]]]) -> None:
        """Keep what was told."""
        for number, tasks in sizes.items():
            self.sizes.setdefault(number, {}).update(tasks)


def plain(*stages: Stage) -> Script:
    """A job that is all there at once."""
    return Script(Grow(stages, sealed=True))


class Results:
    """Collects results, by number and index."""

    def __init__(self) -> None:
        self.values: dict[int, dict[tuple[int, ...], Any]] = {}
        self.doubles = 0

    def __call__(self, result: int) -> Take:
        """Begin a result, anew if it was begun before."""
        values: dict[tuple[int, ...], Any] = {}
        self.values[result] = values

        def take(index: tuple[int, ...], value: Any) -> None:
            self.doubles += index in values
            values[index] = value

        return take

    def of(self, result: int) -> list[Any]:
        """The values of a result in the order of their indices."""
        return [value for _, value in sorted(self.values[result].items())]


_numbers = itertools.count(1)


def run(engine: Engine, job: Script, observers: Sequence[Observer] = ()) -> list[Any]:
    """Run a job to its end and return the values of result 0 in order."""
    results = Results()
    info = RunInfo(next(_numbers), "a test")
    engine.run(job, info=info, deliver=results, observers=observers).wait()
    if results.doubles:
        raise AssertionError(f"{results.doubles} values were delivered twice")
    return results.of(0)
