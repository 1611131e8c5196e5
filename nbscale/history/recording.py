"""What a run did: its stages without their programs, and a row for each task that ended.

Engines note it while the run goes on, so what it costs counts: a row is 45 bytes in one growing
buffer, packed in half a microsecond. It holds no value, no program and nothing of the user's.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from nbscale.events import Place
from nbscale.graph.job import Grow
from nbscale.graph.stage import Program, Stage, Step
from nbscale.record import record

__all__ = ["FREE", "MEMORY", "SPILL", "Growth", "Loss", "Operation", "Recording", "Row", "Totals"]

FREE, MEMORY, SPILL = 0, 1, 2
"""What keeps ready tasks from being given out: nothing, memory, or values on their way to or from
disk."""

_ROW = struct.Struct("<?iqiddq")

_COLUMNS = np.dtype(
    [
        ("ok", "?"), ("stage", "<i4"), ("task", "<i8"), ("worker", "<i4"),
        ("start", "<f8"), ("stop", "<f8"), ("nbytes", "<i8"),
    ]
)  # fmt: skip
"""The same, for NumPy."""

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


class Totals(NamedTuple):
    """Of all tasks that ended: how many, their seconds, their bytes, when the first began."""

    tasks: int
    busy: float
    nbytes: int
    first: float


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
    """Stages that joined a run together, after the job had seen a stage that it had asked about."""

    time: float
    after: int | None
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
    workers, cores
        How many tasks may run at the same time, and on how many processors.
    limit, can_spill
        Bytes that the work may use, and whether values may leave memory for disk.
    stages, operations
        By number: the stage without its program, and the steps of that.
    joined
        When a stage joined.
    growths
        How the job grew.
    withdrawn
        Stages that were taken back.
    spent
        By stage: seconds in each step, over all tasks that were timed; then those in which tasks got
        their inputs and gave their values away; then those of all these in which they waited for a
        processor.
    marks
        When what keeps tasks from being given out changed, and to what.
    present
        When a worker came (True) or went.
    losses
        Workers that were lost while they ran a task.
    outcome
        As in the event of its end; '' while the run goes on.
    failed
        The stage and task that ended the run.
    complete
        False once there were more tasks than are recorded.
    """

    began: float = 0.0
    ended: float | None = None
    workers: int = 0
    cores: int = 1
    limit: int = 0
    can_spill: bool = False
    stages: dict[int, Stage] = dataclasses.field(default_factory=dict)
    operations: dict[int, tuple[Operation, ...]] = dataclasses.field(default_factory=dict)
    joined: dict[int, float] = dataclasses.field(default_factory=dict)
    growths: list[Growth] = dataclasses.field(default_factory=list)
    withdrawn: set[int] = dataclasses.field(default_factory=set)
    spent: dict[int, list[float]] = dataclasses.field(default_factory=dict)
    marks: list[tuple[float, int]] = dataclasses.field(default_factory=list)
    present: list[tuple[float, int, bool]] = dataclasses.field(default_factory=list)
    losses: list[Loss] = dataclasses.field(default_factory=list)
    outcome: str = ""
    failed: tuple[int, int] | None = None
    complete: bool = True
    _rows: bytearray = dataclasses.field(default_factory=bytearray, repr=False)

    # What engines note ----------------------------------------------------------------------

    def begin(
        self,
        time: float,
        workers: int,
        present: Iterable[int],
        limit: int,
        *,
        can_spill: bool = False,
        cores: int = 1,
    ) -> None:
        """The run begins, for so many workers, of which these are there."""
        self.cores = cores
        self.began, self.workers, self.limit, self.can_spill = time, workers, limit, can_spill
        self.present += [(time, worker, True) for worker in present]

    def grown(self, time: float, grow: Grow, after: int | None = None) -> None:
        """The job gave stages, or took some back, after it had seen one."""
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
        self.growths.append(Growth(time, after, numbers, watches, grow.release, grow.sealed))

    def extended(self, stage: Stage) -> None:
        """A stage of one axis has more tasks: those of another that is told of as the same."""
        had = self.stages[stage.number]
        n = had.n_tasks + stage.n_tasks
        self.stages[stage.number] = dataclasses.replace(
            had, axes=(range(n),), original_grid=(n,), brought=had.brought + stage.brought
        )

    def task(
        self, ok: bool, stage: int, task: int, worker: int, start: float, stop: float, nbytes: int
    ) -> None:
        """A task ended, well or with an error."""
        if len(self._rows) < _MOST_ROWS * _ROW.size:
            self._rows += _ROW.pack(ok, stage, task, worker, start, stop, nbytes)
        else:
            self.complete = False

    def steps(self, stage: int, seconds: Sequence[float]) -> None:
        """Take note of the seconds of tasks of a stage; see ``spent``."""
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

    def waited(self, stage: int) -> float:
        """Which part of its time the tasks of a stage have waited for a processor."""
        *others, waited = self.spent.get(stage, (0.0,))
        whole = sum(others)
        return min(1.0, waited / whole) if whole else 0.0

    # What is read ---------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._rows) // _ROW.size

    def rows(self) -> Iterator[Row]:
        """The tasks, in the order in which their end was heard of."""
        # What was there at the call: the run may go on.
        return map(Row._make, _ROW.iter_unpack(bytes(self._rows)))

    def totals(self) -> Totals:
        """Sums over the tasks."""
        # What was there at the call: the run may go on.
        rows = np.frombuffer(bytes(self._rows), dtype=_COLUMNS)
        if not len(rows):
            return Totals(0, 0.0, 0, self.began)
        busy = float((rows["stop"] - rows["start"]).sum())
        return Totals(len(rows), busy, int(rows["nbytes"].sum()), float(rows["start"].min()))

    @property
    def edges(self) -> Mapping[int, tuple[int, ...]]:
        """Which stages a stage reads."""
        return {n: tuple(e.producer for e in stage.edges) for n, stage in self.stages.items()}
