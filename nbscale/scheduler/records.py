"""What the machine knows: a record for each run, stage and worker, and columns for tasks.

A task has no object. Its state is a byte in its stage's column, its counts are integers in others,
and what is rare (sizes of values that exist, lives lost, values dropped) is in dictionaries, in
the order in which it came about.
"""

from __future__ import annotations

import dataclasses
import functools
import heapq
import operator
from array import array
from collections import deque
from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

from nbscale.graph.stage import Stage
from nbscale.scheduler.protocol import TaskId
from nbscale.scheduler.states import HELD, READY, SPILLED
from nbscale.scheduler.wiring import Wire

__all__ = ["Entry", "Fetch", "Link", "RunRecord", "StageRecord", "Watched", "WorkerRecord"]

Entry: TypeAlias = tuple[float, int, int]
"""An entry of the queue: position, minus the stage's number, task."""

Link: TypeAlias = "tuple[Wire, StageRecord]"
"""A wire and the stage at its other end."""


R = TypeVar("R")


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
        See ``states``.
    pending
        For a waiting task: how many of the values it reads do not exist yet (common wires apart).
    uses
        How many tasks that are not done read it (common wires apart).
    undone, absent, busy
        How many tasks are not done; how many values exist but are not in memory; how many tasks
        are given out.
    size, nbytes
        Bytes of each value that exists, a lost one included; their sum.
    gates, closed
        For each common wire into it: how many producers of the block are missing; how many gates
        are not zero.
    ins, outs, common_ins, common_outs
        Its edges, and those of its readers.
    narrow, wide
        ``outs`` by the values they read, where they read few; the others.
    keep, pinned
        Its values stay; and must stay in memory, since the job looks at them.
    repeatable
        Its values may be dropped and made again: no user's code takes part.
    delivered
        For a result: 1 for tasks that were delivered.
    simple, reads, pieces
        A value is needed exactly as long as it has uses; its tasks read something; its readers read
        pieces of its values, which they find on disk, too.
    watches
        What the job asked to be told.
    known, out, scratch
        How many tasks were measured, and what is expected of the next.
    head, rest, at
        The task of the sorted list ``rest`` that is in the queue, and the place behind it.
    dropped
        How often a value was dropped to be made again.
    stuck
        Values that could not be written to disk, or not read.
    retracted
        The job took it back.
    once
        Tasks that are not run again when they may have begun.
    """

    stage: Stage
    number: int
    n: int
    position: array[float]
    state: bytearray
    pending: array[int]
    uses: array[int]
    undone: int
    keep: bool
    delivered: bytearray | None
    repeatable: bool
    absent: int = 0
    busy: int = 0
    size: dict[int, int] = dataclasses.field(default_factory=dict)
    nbytes: int = 0
    gates: list[int] = dataclasses.field(default_factory=list)
    closed: int = 0
    ins: list[Link] = dataclasses.field(default_factory=list)
    outs: list[Link] = dataclasses.field(default_factory=list)
    common_ins: list[Link] = dataclasses.field(default_factory=list)
    common_outs: list[Link] = dataclasses.field(default_factory=list)
    narrow: dict[int, list[Link]] = dataclasses.field(default_factory=dict)
    wide: list[Link] = dataclasses.field(default_factory=list)
    pinned: bool = False
    simple: bool = False
    reads: bool = False
    pieces: bool = False
    watches: list[Watched] = dataclasses.field(default_factory=list)
    known: int = 0
    out: int = 0
    scratch: int = 0
    head: int = -1
    rest: Sequence[int] = ()
    at: int = 0
    dropped: dict[int, int] = dataclasses.field(default_factory=dict)
    stuck: dict[int, None] = dataclasses.field(default_factory=dict)
    retracted: bool = False
    once: frozenset[int] = frozenset()

    def entry(self, task: int) -> Entry:
        """The task's entry in the queue."""
        return self.position[task], -self.number, task

    def name(self, run: int, task: int) -> TaskId:
        """The task's name."""
        return TaskId(run, self.number, task)

    def simplify(self) -> None:
        """Find out what need not be looked at for each task."""
        self.simple = not self.keep and self.delivered is None and not self.common_outs
        self.reads = bool(self.ins or self.common_ins)
        outs = self.outs + self.common_outs
        self.pieces = bool(outs) and all(w.pieces for w, _ in outs)

    def is_needed(self, task: int) -> bool:
        """Whether somebody wants a value: to keep it, to have it delivered, or to read it."""
        if self.uses[task] or self.keep:
            return True
        if self.delivered is not None and not self.delivered[task]:
            return True
        if not self.common_outs:
            return False
        return any(reader.undone and w.covers(task) for w, reader in self.common_outs)

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

    def absent_inputs(self, task: int) -> list[tuple[StageRecord, int]]:
        """Values a ready task reads that exist but are not where it can read them, each once."""
        found: dict[tuple[int, int], StageRecord] = {}
        for w, producer in self.ins + self.common_ins:
            if producer.absent:
                there = (HELD, SPILLED) if producer.pieces else (HELD,)
                for j in w.numbers(task, producer.n):
                    if producer.state[j] not in there:
                        found[producer.number, j] = producer
        return [(producer, j) for (_, j), producer in found.items()]

    def clone(self) -> StageRecord:
        """A copy that shares what never changes; its links still lead to the old records."""
        copy = _shallow(self)
        copy.state = self.state[:]
        copy.pending = self.pending[:]
        copy.uses = self.uses[:]
        copy.gates = self.gates[:]
        copy.delivered = None if self.delivered is None else self.delivered[:]
        copy.size = self.size.copy()
        copy.watches = [Watched(w.first, w.left) for w in self.watches]
        copy.dropped = self.dropped.copy()
        copy.stuck = self.stuck.copy()
        return copy

    def lead_to(self, link: Link, values: Sequence[int] | None) -> None:
        """Add a reader: of a few values, so that the others need not look at it, or of many."""
        self.outs.append(link)
        if values is None:
            self.wide.append(link)
            return
        for task in values:
            self.narrow.setdefault(task, []).append(link)

    def outs_of(self, task: int) -> list[Link]:
        """Links to those that may read a value."""
        found = self.narrow.get(task)
        return self.wide if found is None else self.wide + found

    def relink(self, stages: Sequence[StageRecord]) -> None:
        """Lead the links of a clone to clones."""
        if self.ins:
            self.ins = [(w, stages[w.producer]) for w, _ in self.ins]
        if self.outs:
            self.outs = [(w, stages[w.consumer]) for w, _ in self.outs]
            self.wide = [(w, stages[w.consumer]) for w, _ in self.wide]
            self.narrow = {
                task: [(w, stages[w.consumer]) for w, _ in links]
                for task, links in self.narrow.items()
            }
        if self.common_ins:
            self.common_ins = [(w, stages[w.producer]) for w, _ in self.common_ins]
        if self.common_outs:
            self.common_outs = [(w, stages[w.consumer]) for w, _ in self.common_outs]


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
    stages
        By number.
    queue
        Heap of the tasks that could start. Entries of tasks that are no longer ready are left in
        it and skipped; a stage whose tasks are ready from the start has one entry, not a million.
    outside
        Tasks at workers that move, and spills and loads under way.
    undelivered
        Results that were not delivered yet.
    sealed
        No stage will be added, unless a task asks for a new plan.
    generation
        How often stages were added.
    reports
        Reports that wait until the job has answered the one before: (stage, failed task or None).
    asked
        The job owes an answer.
    answering
        The failed task that it is about.
    lives
        Workers lost, by (stage, task).
    once
        It has tasks that are not run again when they may have begun.
    alone
        Tasks that ran out of memory and run with nothing beside them, as (stage, task).
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
    once: bool = False
    alone: dict[tuple[int, int], None] = dataclasses.field(default_factory=dict)
    outcome: str = ""
    error: str = ""
    culprit: TaskId | None = None

    def take_first(self) -> tuple[StageRecord, int] | None:
        """The ready task with the lowest position, off the queue; None if nothing is ready."""
        queue, stages = self.queue, self.stages
        while queue:
            _, minus, task = queue[0]
            record = stages[-minus]
            entry = record.take_next() if record.head == task else None
            if entry is None:
                heapq.heappop(queue)
            else:
                heapq.heapreplace(queue, entry)
            if record.state[task] == READY:
                return record, task
        return None

    def first_list(self) -> StageRecord | None:
        """The stage whose sorted list is all there is in the queue; None if there is more."""
        if len(self.queue) != 1:
            return None
        _, minus, task = self.queue[0]
        record = self.stages[-minus]
        return record if record.head == task else None

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

    def clone(self) -> RunRecord:
        """A copy."""
        copy = _shallow(self)
        copy.stages = [record.clone() for record in self.stages]
        copy.queue = self.queue[:]
        copy.reports = self.reports.copy()
        copy.lives = self.lives.copy()
        copy.alone = self.alone.copy()
        for record in copy.stages:
            record.relink(copy.stages)
        return copy


@dataclasses.dataclass(slots=True, eq=False)
class WorkerRecord:
    """A worker.

    Attributes
    ----------
    queue
        Tasks given to it and the bytes promised to each, in the order given.
    leftover
        Tasks it may still be at that are no longer its own: told to stop, or given to others
        while it was frozen.
    told
        Those of ``leftover`` that it was told to stop.
    frozen
        It does not move.
    most
        It gets up to so many tasks at once. A larger number counts from its next task that is done:
        one that is at a long task must not keep more and more behind it.
    doomed
        It is to be killed: it gets nothing more.
    """

    number: int
    queue: dict[TaskId, int] = dataclasses.field(default_factory=dict)
    leftover: dict[TaskId, int] = dataclasses.field(default_factory=dict)
    told: dict[TaskId, None] = dataclasses.field(default_factory=dict)
    frozen: bool = False
    most: int = 1
    doomed: bool = False

    def clone(self) -> WorkerRecord:
        """A copy."""
        copy = _shallow(self)
        copy.queue = self.queue.copy()
        copy.leftover = self.leftover.copy()
        copy.told = self.told.copy()
        return copy


def _shallow(record: R) -> R:
    """A copy that shares every value; `dataclasses.replace` takes twenty times as long."""
    kind: Any = type(record)
    copy: R = kind(*_all_of(kind)(record))
    return copy


@functools.cache
def _all_of(kind: Any) -> operator.attrgetter[tuple[Any, ...]]:
    """Gets all fields, in the order in which the constructor takes them."""
    return operator.attrgetter(*(field.name for field in dataclasses.fields(kind)))
