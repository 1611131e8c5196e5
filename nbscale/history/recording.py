"""What a run did: its stages without their programs, and a row for each task that ended.

Engines note it while the run goes on, so what it costs counts: a row is 45 bytes in one growing
buffer, packed in half a microsecond. It holds no value, no program and nothing of the user's.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from nbscale.events import Place
from nbscale.graph.job import Grow
from nbscale.graph.stage import Program, Stage, Step
from nbscale.record import record

__all__ = ["FREE", "MEMORY", "SPILL", "Growth", "Loss", "Operation", "Recording", "Row"]

FREE, MEMORY, SPILL = 0, 1, 2
"""What keeps ready tasks from being given out: nothing, memory, or values on their way to or from
disk."""

_ROW = struct.Struct("<?iqiddq")

_MOST_ROWS = 1_000_000

MOST_STEPS = 64
"""Longer programs are not timed step by step."""


class Row(NamedTuple):
    """A task that ended. Times in seconds of the monotonic clock, sizes in bytes."""

    ok: bool
    stage: int
    task: int
    worker: int
    start: float
    stop: float
    nbytes: int


@record
class Operation:
    """A step of a program, without its kernel. ``reads``: it reads something of the user's."""

    name: str
    place: Place | None
    reads: bool

    @classmethod
    def of(cls, step: Step) -> Operation:
        """What is told of a step."""
        return cls(step.name, step.place, hasattr(step.kernel, "part"))


@record
class Growth:
    """Stages that joined a run together, and what the job wanted to see before it went on."""

    time: float
    stages: tuple[int, ...]
    watches: tuple[tuple[int, int | None], ...]
    release: tuple[int, ...]
    sealed: bool


@record
class Loss:
    """A worker was lost while it ran a task."""

    time: float
    stage: int
    task: int
    worker: int
    cause: str


@dataclasses.dataclass(slots=True)
class Recording:
    """What a run did. Only the loop's thread writes to it, and nobody once the run is over.

    Attributes
    ----------
    began, ended
        Seconds of the monotonic clock; ``ended`` is None while the run goes on.
    workers
        How many tasks may run at the same time.
    limit
        Bytes that the work may use.
    stages, operations
        By number: the stage without its program, and the steps of that.
    joined
        When a stage joined.
    growths
        How the job grew.
    withdrawn
        Stages that were taken back.
    spent
        By stage: seconds in each step, over all tasks that were timed, and last those in which a
        task got its inputs and gave its value away.
    marks
        When what keeps tasks from being given out changed, and to what.
    present
        When a worker came (True) or went.
    losses
        Workers that were lost while they ran a task.
    failed
        The stage and task that ended the run.
    complete
        False once there were more tasks than are recorded.
    """

    began: float = 0.0
    ended: float | None = None
    workers: int = 0
    limit: int = 0
    stages: dict[int, Stage] = dataclasses.field(default_factory=dict)
    operations: dict[int, tuple[Operation, ...]] = dataclasses.field(default_factory=dict)
    joined: dict[int, float] = dataclasses.field(default_factory=dict)
    growths: list[Growth] = dataclasses.field(default_factory=list)
    withdrawn: set[int] = dataclasses.field(default_factory=set)
    spent: dict[int, list[float]] = dataclasses.field(default_factory=dict)
    marks: list[tuple[float, int]] = dataclasses.field(default_factory=list)
    present: list[tuple[float, int, bool]] = dataclasses.field(default_factory=list)
    losses: list[Loss] = dataclasses.field(default_factory=list)
    failed: tuple[int, int] | None = None
    complete: bool = True
    _rows: bytearray = dataclasses.field(default_factory=bytearray, repr=False)

    # What engines note ----------------------------------------------------------------------

    def begin(self, time: float, workers: int, present: Iterable[int], limit: int) -> None:
        """The run begins, for so many workers, of which these are there."""
        self.began, self.workers, self.limit = time, workers, limit
        self.present += [(time, worker, True) for worker in present]

    def grown(self, time: float, grow: Grow) -> None:
        """The job gave stages, or took some back."""
        self.withdrawn.update(grow.retract)
        for stage in grow.stages:
            number, program = stage.number, stage.program
            self.operations[number] = tuple(map(Operation.of, program.steps))
            self.stages[number] = dataclasses.replace(
                stage, program=Program(program.n_inputs, (), ()), shared=()
            )
            self.joined[number] = time
        watches = tuple((watch.stage, watch.first) for watch in grow.watches)
        numbers = tuple(stage.number for stage in grow.stages)
        self.growths.append(Growth(time, numbers, watches, grow.release, grow.sealed))

    def task(
        self, ok: bool, stage: int, task: int, worker: int, start: float, stop: float, nbytes: int
    ) -> None:
        """A task ended, well or with an error."""
        if len(self._rows) < _MOST_ROWS * _ROW.size:
            self._rows += _ROW.pack(ok, stage, task, worker, start, stop, nbytes)
        else:
            self.complete = False

    def steps(self, stage: int, seconds: Sequence[float]) -> None:
        """So long were tasks of a stage at its steps, and last at their inputs and values."""
        spent = self.spent.get(stage)
        if spent is None:
            self.spent[stage] = list(seconds)
        else:
            for number, more in enumerate(seconds):
                spent[number] += more

    def mark(self, time: float, state: int) -> None:
        """From now on that keeps ready tasks from being given out."""
        if (self.marks[-1][1] if self.marks else FREE) != state:
            self.marks.append((time, state))

    def worker(self, time: float, number: int, *, present: bool) -> None:
        """A worker came or went."""
        self.present.append((time, number, present))

    # What is read ---------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._rows) // _ROW.size

    def rows(self) -> Iterator[Row]:
        """The tasks, in the order in which their end was heard of."""
        # What was there at the call: the run may go on.
        return map(Row._make, _ROW.iter_unpack(bytes(self._rows)))

    @property
    def edges(self) -> Mapping[int, tuple[int, ...]]:
        """Which stages a stage reads."""
        return {n: tuple(e.producer for e in stage.edges) for n, stage in self.stages.items()}
