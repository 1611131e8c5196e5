"""A run under way: its stages made ready, what the job and the observers are told, its verdict."""

from __future__ import annotations

import errno
import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from nbscale.engines.base import Deliver, RunInfo, Take, Ticket
from nbscale.engines.news import Wire
from nbscale.engines.task import explain
from nbscale.errors import (
    EngineError,
    NbscaleError,
    RunCancelled,
    SpillFull,
    Stuck,
    TaskMemoryError,
    WorkerLost,
)
from nbscale.events import (
    Advised,
    Event,
    MemoryHeld,
    RunEnded,
    RunStarted,
    StageAdded,
    StageWithdrawn,
)
from nbscale.graph.job import Done, Failure, Grow, Job, Observation, Replan, Reply
from nbscale.graph.stage import Stage
from nbscale.history.advice import advice
from nbscale.history.recording import Recording
from nbscale.scheduler.protocol import End, Grown, Report, TaskId

__all__ = ["Running"]

_numbers = itertools.count(1)

_TELL_MEMORY = 0.1
"""Seconds between two events of a run that tell of memory."""

_ADVISE = 2.0
"""Seconds between two looks for advice."""

Make: TypeAlias = Callable[[Stage, Take | None, Wire | None], Any]
"""Makes a stage ready: a ``Work``, or what takes its place where values lie elsewhere."""


class Running:
    """A run under way. Made by any thread; afterwards only the loop's thread changes it.

    Attributes
    ----------
    number
        Its number in the machine; the number in events is that of its info.
    info
        What it is called.
    works
        Its stages.
    failure
        What ends it, if that is no task's error.
    errors
        What its tasks raised.
    stopping
        Tasks that were told to stop and did not answer yet, with their worker.
    deserted
        Nobody works for it any more: what was handed out will never be answered.
    opened, over
        It has begun; it has ended.
    recording
        What it does is noted there.
    """

    def __init__(
        self,
        job: Job,
        info: RunInfo,
        deliver: Deliver,
        wire: Wire | None,
        engine: str,
        ticket: Ticket,
    ) -> None:
        self.number = next(_numbers)
        self.works: dict[int, Any] = {}
        self.failure: BaseException | None = None
        self.errors: dict[TaskId, BaseException] = {}
        self.stopping: dict[TaskId, int] = {}
        self.deserted = self.opened = self.over = False
        self.recording = Recording() if info.recording is None else info.recording
        self._job = job
        self.info = info
        self._deliver = deliver
        self._wire = wire
        self._engine = engine
        self._ticket = ticket
        self._watches: dict[int, int] = {}
        self._memory_told = 0.0
        self._look_again = time.monotonic() + _ADVISE
        self._advised = False
        self._seen: int | None = None  # the stage that the job was shown last

    def _tell(self, event: Event) -> None:
        if self._wire is not None:
            self._wire.put(event)

    def begin(self) -> None:
        """Say that it begins."""
        self.opened = True
        info = self.info
        self._memory_told = now = time.monotonic()
        if not info.part:
            self._tell(
                RunStarted(
                    info.run, now, info.what, self._engine, info.reason, info.place, info.depth
                )
            )

    def grow(self, grow: Grow, make: Make) -> Grown:
        """Make new stages ready and forget those taken back; return what the machine is told."""
        if self.info.part and self.recording.stages:
            self.recording.extended(grow.stages[0])
        else:
            self.recording.grown(time.monotonic(), grow, self._seen)
        for number in grow.retract:
            self.works[number].dead = True
            self._watches.pop(number, None)
            self._tell(StageWithdrawn(self.info.run, number))
        for stage in grow.stages:
            self._add(stage, make)
        watches = []
        for watch in grow.watches:
            n = self.works[watch.stage].stage.n_tasks
            first = n if watch.first is None else min(watch.first, n)
            self._watches[watch.stage] = first
            watches.append((watch.stage, first))
        return Grown(
            self.number, grow.stages, tuple(watches), grow.sealed, grow.release, grow.retract
        )

    def _add(self, stage: Stage, make: Make) -> None:
        run, number = self.info.run, stage.number
        take = None if stage.result is None else self._deliver(stage.result)
        self.works[number] = make(stage, take, self._wire)
        edges = tuple(edge.producer for edge in stage.edges)
        tasks = self.info.first + stage.n_tasks
        self._tell(StageAdded(run, number, stage.name, tasks, edges, stage.places))

    def step(self, report: Report) -> Reply:
        """Show the job what the machine reports; return what it says, or the error it raised."""
        seen: Observation | Failure
        if report.failed is not None:
            error = self.errors.pop(report.failed)
            if not isinstance(error, Replan):
                raise error
            seen = Failure(report.stage, report.failed.task, error)
        else:
            value = self.works[report.stage].value
            first = self._watches[report.stage]
            self._seen = report.stage
            seen = Observation(report.stage, tuple(value(i) for i in range(first)))
        try:
            self.tell_sizes()
            return self._job.step(seen)
        except BaseException as error:  # noqa: BLE001 - the caller of the run must be told
            return Done(error)

    def tell_sizes(self) -> None:
        """Tell the job the sizes of tasks that ended since the last time."""
        sizes = {number: work.sizes for number, work in self.works.items() if work.sizes}
        if sizes:
            self._job.measured(sizes)
            for number in sizes:
                self.works[number].sizes = {}

    def kill(self) -> None:
        """Nobody wants its tasks any more: those not begun are skipped."""
        for work in self.works.values():
            work.dead = True

    def verdict(self, end: End) -> BaseException | None:
        """The exception that the caller gets for an end."""
        if end.outcome == "done":
            return self.failure  # such as: the last value could not be given away
        if end.outcome == "cancelled":
            return RunCancelled("the run was stopped before it ended")
        if end.task is not None:
            self.recording.failed = (end.task.stage, end.task.task + self.info.first)
        if end.task is not None and end.task in self.errors:
            return self.error_of(end.task, end.error)
        return self.failure if self.failure is not None else _named(end.error)

    def error_of(self, task: TaskId, told: str) -> BaseException:
        """What a task raised, or what the machine says of its end."""
        error = self.errors.pop(task, None)
        if error is None:
            return _named(told)
        stages = {number: work.stage for number, work in self.works.items()}
        explain(error, stages[task.stage], task.task, stages)
        return error

    def mistake(self, error: BaseException) -> NbscaleError:
        """What the caller gets when nbscale itself made a mistake, or lacks descriptors."""
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            scarce = EngineError(
                f"no descriptors are left for {self.info.what!r} ({error}): each large value takes "
                "two; use smaller partitions, close files, or raise the limit (ulimit -n)"
            )
            scarce.__cause__ = error
            return scarce
        failure = Stuck(
            f"nbscale made a mistake while running {self.info.what!r} "
            f"({_said(error)}); your data is not affected. Please report this"
        )
        failure.__cause__ = error
        return failure

    def standstill(self, seen: str = "") -> Stuck:
        """What the caller gets when nothing runs and nothing ends.

        ``seen`` says by what that was found out.
        """
        state = ", ".join(
            f"stage {n} ({work.stage.name}): {len(work.table)} of {work.stage.n_tasks} values"
            for n, work in self.works.items()
        )
        state = ": " + "; ".join(filter(None, [seen, state])) if seen or state else ""
        return Stuck(
            f"nothing can move any more in {self.info.what!r}{state}. This is a mistake of nbscale's; "
            "please report it with this text. What was running was stopped, and you can go on"
        )

    def tell_memory(self, held: int, budget: int) -> None:
        """Tell the observers what values hold and may hold, in bytes, ten times a second at most."""
        if self._wire is not None:
            now = time.monotonic()
            if now - self._memory_told >= _TELL_MEMORY:
                self._memory_told = now
                self._tell(MemoryHeld(self.info.run, now, held, budget))
                if now >= self._look_again:
                    self._look_again = now + _ADVISE
                    self._advise(now)

    def _advise(self, now: float) -> None:
        """Tell the observers what would make the run quicker, once."""
        if self._wire is not None and not self._advised:
            text = advice(self.recording, self._engine, now)
            if text:
                self._advised = True
                self._tell(Advised(self.info.run, now, text))

    def finish(self, outcome: str, error: BaseException | None) -> None:
        """It is over: tell the observers, then whoever waits."""
        self.over = True
        self.kill()
        self.errors.clear()
        self.works = {}  # they refer to this run: as a cycle they would keep what they hold
        message = "" if error is None else _said(error)
        if not self.info.part:
            self.recording.ended = now = time.monotonic()
            self.recording.outcome = outcome
            self._advise(now)
            self._tell(RunEnded(self.info.run, now, outcome, message))
        self._ticket.finish(error)


def _named(told: str) -> NbscaleError:
    """The error that the machine names."""
    name, _, message = told.partition(": ")
    kind = _NAMED.get(name)
    return kind(message) if kind is not None else NbscaleError(told or "the run failed")


def _said(error: BaseException) -> str:
    """The text of an exception, which may be the user's and raise itself."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - whoever waits must be told that it is over
        return type(error).__name__


_NAMED: Mapping[str, type[NbscaleError]] = {
    kind.__name__: kind for kind in (SpillFull, TaskMemoryError, WorkerLost, Stuck)
}
