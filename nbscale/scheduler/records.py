"""What the machine knows: a record for each run, stage and worker, and columns for tasks.

A task has no object. Its state is a byte in its stage's column, its counts are integers in others,
and what is rare (sizes of values that exist, lives lost, values dropped) is in dictionaries, in
the order in which it came about.
"""

from __future__ import annotations

import dataclasses
import heapq
from array import array
from collections import deque
from collections.abc import Sequence
from typing import Final

from nbscale.graph.stage import Stage
from nbscale.scheduler.protocol import TaskId
from nbscale.scheduler.wiring import Wire

__all__ = [
    "FETCHING",
    "GONE",
    "HELD",
    "LOADING",
    "LOST",
    "PARKED",
    "READY",
    "RETRACTED",
    "RUNNING",
    "SPILLED",
    "SPILLING",
    "STATES",
    "WAITING",
    "Fetch",
    "RunRecord",
    "StageRecord",
    "Watched",
    "WorkerRecord",
]

# Plain integers: they are compared several times for every task.
WAITING: Final = 0
READY: Final = 1
FETCHING: Final = 2
RUNNING: Final = 3
PARKED: Final = 4
HELD: Final = 5
SPILLING: Final = 6
SPILLED: Final = 7
LOADING: Final = 8
LOST: Final = 9
GONE: Final = 10
RETRACTED: Final = 11

STATES: Final = (
    "waiting",
    "ready",
    "fetching",
    "running",
    "parked",
    "held",
    "spilling",
    "spilled",
    "loading",
    "lost",
    "gone",
    "retracted",
)

Entry = tuple[float, int, int]
"""An entry of the queue: position, minus the stage's number, task."""


@dataclasses.dataclass(slots=True)
class Watched:
    """The first tasks of a stage, and how many of them are not in memory yet."""

    first: int
    left: int


@dataclasses.dataclass(slots=True, eq=False)
class StageRecord:
    """A stage, with columns by task number.

    Attributes
    ----------
    stage, number, n
        The stage itself, its number in the run, how many tasks it has.
    position
        Where each task stands in the order of the run.
    state
        One of the states above.
    pending
        For a waiting task: how many of the values it reads do not exist yet (common wires apart).
    uses
        How many tasks that are not done read it (common wires apart).
    size
        Bytes of each value that exists; of a lost one, the bytes it had.
    nbytes
        Sum of ``size``.
    undone, absent
        How many tasks are not done; how many values exist but are not in memory.
    gates, closed
        For each common wire into it: how many producers of the block are missing; how many gates
        are not zero.
    wires_in, wires_out, common_in, common_out
        Its edges, and those of its readers.
    keep, pinned
        Its values stay; and must stay in memory, since somebody looks at them.
    delivered
        For a result: 1 for tasks that were delivered.
    known, out, scratch
        How many tasks were measured, and what is expected of the next.
    busy
        How many of its tasks are given out.
    repeatable
        Its values may be dropped and made again: no user's code takes part.
    head, rest, at
        The task of the sorted list ``rest`` that is in the queue, and the place behind it.
    dropped
        How often a value was dropped to be made again.
    stuck
        Values that could not be spilled.
    retracted
        The job took it back.
    """

    stage: Stage
    number: int
    n: int
    position: array[float]
    state: bytearray
    pending: array[int]
    uses: array[int]
    undone: int
    gates: list[int]
    wires_in: list[Wire]
    common_in: list[Wire]
    keep: bool
    repeatable: bool
    delivered: bytearray | None
    closed: int = 0
    absent: int = 0
    size: dict[int, int] = dataclasses.field(default_factory=dict)
    nbytes: int = 0
    wires_out: list[Wire] = dataclasses.field(default_factory=list)
    common_out: list[Wire] = dataclasses.field(default_factory=list)
    pinned: bool = False
    watches: list[Watched] = dataclasses.field(default_factory=list)
    known: int = 0
    out: int = 0
    scratch: int = 0
    busy: int = 0
    head: int = -1
    rest: Sequence[int] = ()
    at: int = 0
    dropped: dict[int, int] = dataclasses.field(default_factory=dict)
    stuck: dict[int, None] = dataclasses.field(default_factory=dict)
    retracted: bool = False

    def clone(self) -> StageRecord:
        """A copy that shares what never changes."""
        return dataclasses.replace(
            self,
            state=self.state[:],
            pending=self.pending[:],
            uses=self.uses[:],
            gates=self.gates[:],
            delivered=None if self.delivered is None else self.delivered[:],
            size=self.size.copy(),
            wires_out=self.wires_out[:],
            common_out=self.common_out[:],
            watches=[dataclasses.replace(w) for w in self.watches],
            dropped=self.dropped.copy(),
            stuck=self.stuck.copy(),
        )

    def entry(self, task: int) -> Entry:
        """The task's entry in the queue."""
        return self.position[task], -self.number, task

    def take_next(self) -> Entry | None:
        """Move the head of the sorted list on to its next ready task; its entry, if there is one."""
        rest, at, state = self.rest, self.at, self.state
        end = len(rest)
        while at < end:
            task = rest[at]
            at += 1
            if state[task] == READY:
                self.at = at
                self.head = task
                return self.position[task], -self.number, task
        self.at = at
        self.head = -1
        return None


@dataclasses.dataclass(slots=True)
class Fetch:
    """A task whose inputs are being loaded: its reservation, and how many are not there yet."""

    reserved: int
    missing: int


@dataclasses.dataclass(slots=True, eq=False)
class RunRecord:
    """A run.

    Attributes
    ----------
    queue
        Heap of the tasks that could start. Entries of tasks that are no longer ready are left in
        it and skipped; a stage whose tasks are ready from the start has one entry, not a million.
    outside
        Tasks at workers that move, and spills and loads under way.
    undelivered
        Results that were not delivered yet.
    reports
        Reports that wait until the job has answered the one before: (stage, failed task or None).
    asked
        The job owes an answer.
    answering
        The failed task that it is about.
    lives
        Workers lost, by (stage, task).
    outcome, error, culprit
        Set when the run begins to end.
    """

    number: int
    stages: list[StageRecord] = dataclasses.field(default_factory=list)
    queue: list[Entry] = dataclasses.field(default_factory=list)
    outside: int = 0
    undelivered: int = 0
    sealed: bool = False
    generation: int = 0
    reports: deque[tuple[int, int | None]] = dataclasses.field(default_factory=deque)
    asked: bool = True
    answering: tuple[int, int] | None = None
    lives: dict[tuple[int, int], int] = dataclasses.field(default_factory=dict)
    outcome: str = ""
    error: str = ""
    culprit: TaskId | None = None

    def clone(self) -> RunRecord:
        """A copy."""
        return dataclasses.replace(
            self,
            stages=[s.clone() for s in self.stages],
            queue=self.queue[:],
            reports=self.reports.copy(),
            lives=self.lives.copy(),
        )

    def first_ready(self) -> tuple[StageRecord, int] | None:
        """The ready task with the lowest position; it stays in the queue."""
        queue, stages = self.queue, self.stages
        while queue:
            _, minus, task = queue[0]
            record = stages[-minus]
            if record.state[task] == READY:
                return record, task
            self.pop(record, task)
        return None

    def pop(self, record: StageRecord, task: int) -> None:
        """Take the first entry off the queue."""
        if record.head == task:
            entry = record.take_next()
            if entry is not None:
                heapq.heapreplace(self.queue, entry)
                return
        heapq.heappop(self.queue)

    def push(self, record: StageRecord, task: int) -> None:
        """Put a task into the queue."""
        heapq.heappush(self.queue, (record.position[task], -record.number, task))

    def push_sorted(self, record: StageRecord, tasks: Sequence[int]) -> None:
        """Put all ready tasks of a stage, sorted by position, into the queue as one entry.

        Replaces what was left of the list before: no task of that was still ready.
        """
        record.rest, record.at = tasks, 0
        entry = record.take_next()
        if entry is not None:
            heapq.heappush(self.queue, entry)


@dataclasses.dataclass(slots=True, eq=False)
class WorkerRecord:
    """A worker.

    Attributes
    ----------
    queue
        Tasks given to it and the bytes reserved for each, in the order given.
    leftover
        Tasks it may still be at that are no longer its own: told to stop, or given to others
        while it was frozen.
    told
        Those of ``leftover`` that it was told to stop.
    """

    number: int
    queue: dict[TaskId, int] = dataclasses.field(default_factory=dict)
    leftover: dict[TaskId, int] = dataclasses.field(default_factory=dict)
    told: dict[TaskId, None] = dataclasses.field(default_factory=dict)
    frozen: bool = False

    def clone(self) -> WorkerRecord:
        """A copy."""
        return dataclasses.replace(
            self, queue=self.queue.copy(), leftover=self.leftover.copy(), told=self.told.copy()
        )
