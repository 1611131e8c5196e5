"""Running one task: where its inputs come from, what it gives, and what an error of it says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from nbscale.engines.base import Take
from nbscale.engines.news import Wire
from nbscale.graph.axismap import Each
from nbscale.graph.part import part_text, parts_of
from nbscale.graph.stage import Edge, Stage
from nbscale.history.recording import MOST_STEPS
from nbscale.store.base import Size, Table, measure

__all__ = ["Work", "explain", "index_of", "is_straight", "reads_of", "sizes_of"]

Feed: TypeAlias = Callable[[int], Any]
"""One input of a task, from the task's number."""

# More tasks than that are not measured one by one for later estimates: a table of a million sizes
# costs more than it tells.
_MOST_SIZES = 1 << 16


class Work:
    """A stage of a run, made ready for its tasks to be run by any thread.

    Attributes
    ----------
    stage, table
        The stage, and the values of its tasks.
    run
        The engine's record of the run; opaque here.
    dead
        Set when nobody wants its tasks any more: those not begun are skipped.
    number
        The run's number in events.
    take
        Where values go that the user wants.
    taken
        Marks tasks whose values were given to ``take``: one that is run again gives its value once.
    wire
        Where to tell that tasks begin and end, or None.
    sizes
        Rows and bytes of finished tasks not yet told to the job, or None if it does not care.
    """

    __slots__ = (
        "_feeds",
        "_index",
        "_program",
        "dead",
        "number",
        "run",
        "sizes",
        "stage",
        "table",
        "take",
        "taken",
        "wire",
    )

    def __init__(
        self,
        run: Any,
        number: int,
        stage: Stage,
        table: Table,
        producers: dict[int, Work],
        take: Take | None,
        wire: Wire | None,
    ) -> None:
        self.run = run
        self.number = number
        self.stage = stage
        self.table = table
        self.take = take
        self.taken = bytearray(stage.n_tasks) if take is not None else b""
        self.wire = wire
        self.dead = False
        self.sizes = sizes_of(stage)
        self._program = stage.program
        self._index = index_of(stage)
        self._feeds = [
            _feed(stage, edge, self if edge.producer == stage.number else producers[edge.producer])
            for edge in stage.edges
        ]

    def value(self, task: int) -> Any:
        """The value of a task that is done."""
        return self.table[task]

    def clocks(self) -> list[float] | None:
        """Where the seconds of a task go, step by step; None where that tells nothing more."""
        n = len(self._program.steps)
        return [0.0] * n if 1 < n <= MOST_STEPS else None

    def execute(self, task: int, spent: list[float] | None = None) -> Size:
        """Run a task, put its value where it belongs, and return its rows and bytes."""
        index = self._index(task)
        value = self._program(index, [feed(task) for feed in self._feeds], spent)
        self.put(task, value)
        return measure(value)

    def put(self, task: int, value: Any) -> None:
        """Put the value of a task where it belongs, and give it to whoever takes this stage's."""
        if self.take is not None and not self.taken[task]:
            self.taken[task] = 1  # type: ignore[index]
            self.take(self._index(task), value)
        self.table[task] = value


def sizes_of(stage: Stage) -> dict[int, Size] | None:
    """Where the sizes of a stage's values are noted for its job; None if it does not care."""
    return {} if stage.value_of and stage.n_tasks <= _MOST_SIZES else None


def index_of(stage: Stage) -> Callable[[int], tuple[int, ...]]:
    """The original coordinates of a task."""
    if len(stage.axes) != 1:
        return stage.index
    axis = stage.axes[0]
    if isinstance(axis, range) and axis == range(len(axis)):
        return lambda task: (task,)
    return lambda task: (int(axis[task]),)


def _feed(stage: Stage, edge: Edge, producer: Work) -> Feed:
    """How a task gets the values of one edge."""
    reads = reads_of(stage, edge, producer.stage)
    value: Callable[[int], Any] = producer.table.__getitem__
    if edge.pieces:
        table = producer.table
        piece = stage.flat_original

        if edge.delivery == "one":
            return lambda task: next(table[j][piece(task)] for j in reads(task))
        if edge.delivery == "list":
            return lambda task: _pieces(table, reads(task), piece(task))
        return lambda task: (table[j][n] for n in (piece(task),) for j in reads(task))
    if edge.delivery == "one":
        if is_straight(stage, edge, producer.stage):
            return value
        return lambda task: value(next(iter(reads(task))))
    if edge.delivery == "list":
        return lambda task: list(map(value, reads(task)))
    return lambda task: map(value, reads(task))


def _pieces(table: Table, producers: Iterable[int], piece: int) -> list[Any]:
    return [table[j][piece] for j in producers]


def is_straight(stage: Stage, edge: Edge, producer: Stage) -> bool:
    """Whether a task reads the producer's task of the same flat number."""
    return (
        edge.axes == tuple(range(len(stage.grid)))
        and stage.grid == producer.grid
        and all(isinstance(m, Each) for m in edge.maps)
    )


def reads_of(stage: Stage, edge: Edge, producer: Stage) -> Callable[[int], Iterable[int]]:
    """The producer's tasks that a task reads over an edge, as plain integers."""
    if len(stage.grid) == 1 and edge.axes == (0,):
        inputs = edge.maps[0].inputs
        return lambda task: _plain(inputs(task))
    return lambda task: _plain(stage.reads(task, edge, producer))


def _plain(numbers: Iterable[int]) -> Iterable[int]:
    """Plain integers: NumPy's would be slow keys."""
    return numbers if isinstance(numbers, range) else map(int, numbers)


def explain(
    error: BaseException, stage: Stage, task: int, stages: Mapping[int, Stage] | None = None
) -> None:
    """Add a note to the error of a task: which operation, where the user wrote it, on what.

    Parameters
    ----------
    error
        What the task raised; changed in place.
    stage, task
        The task.
    stages
        The stages it reads, to find out which rows of what file it was at.
    """
    number = error.__dict__.pop("__nbscale_step__", None)
    steps = stage.program.steps
    name, where = stage.name, ""
    if number is not None and number < len(steps):
        step = steps[number]
        name, place = step.name, step.place
        if stage.calls:
            name, place = stage.calls[stage.index(task)[0]]
        where = f" ({place})" if place is not None else ""
    else:
        number = None
    note = f"while running {name}{where}{_on(stage, task, number, stages or {})}"
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)


def _on(stage: Stage, task: int, step: int | None, stages: Mapping[int, Stage]) -> str:
    """What a task was at: rows of a source if it is known, and which part of the whole it makes."""
    source = part_text(parts_of(stage, task, stages, step))
    part = _part(stage, task)
    if not source:
        return f", on {part}" if part else ""
    return f", on {source}" + (f", {part}" if part else "")


def _part(stage: Stage, task: int) -> str:
    """Which part of the whole a task makes, counted as ``partitions[...]`` counts: from 0."""
    index, grid = stage.index(task), stage.original_grid
    calls = stage.substitute is not None or any(
        edge.producer == stage.number for edge in stage.edges
    )
    if calls or all(n == 1 for n in grid):
        return ""  # it makes the whole, or is one of several calls and no part of anything
    if len(grid) == 1:
        return f"partition {index[0]} of 0 to {grid[0] - 1}"
    return f"chunk {index} of {' x '.join(map(str, grid))}, counted from 0"
