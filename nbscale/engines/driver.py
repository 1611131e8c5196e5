"""Drives one scheduler for the engines inside the kernel: performs its actions, feeds it signals.

Everything here happens on the loop's thread, but for what says otherwise. The driver decides
nothing: the machine says what runs, the job says what there is to run.
"""

from __future__ import annotations

import collections
import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any

from nbscale.engines import inner
from nbscale.engines.base import Deliver, RunInfo, Ticket
from nbscale.engines.desk import Desk
from nbscale.engines.loop import Loop, report_error
from nbscale.engines.news import Wire
from nbscale.engines.task import Work, explain
from nbscale.errors import NbscaleError, RunCancelled, Stuck, TaskMemoryError, WorkerLost
from nbscale.events import RunEnded, RunStarted, StageAdded
from nbscale.graph.job import Done, Failure, Grow, Job, Observation, Replan, Reply
from nbscale.graph.stage import Stage
from nbscale.scheduler.machine import Machine
from nbscale.scheduler.protocol import (
    Action,
    Cancel,
    CloseRun,
    Drop,
    End,
    Fail,
    Grown,
    OpenRun,
    Report,
    Run,
    SetLimit,
    SetQueue,
    Signal,
    Stop,
    Stopped,
    TaskDone,
    TaskFailed,
    TaskId,
    WorkerJoined,
    WorkerLeft,
)
from nbscale.scheduler.protocol import (
    Deliver as Delivered,
)
from nbscale.store.base import KernelStore

__all__ = ["Driver", "Running"]

_GRACE = 0.25
"""Seconds a task of a run that is over may go on before the run ends without it."""

_AHEAD = 0.010
"""Seconds of work handed out ahead to each worker."""

_MOST_AHEAD = 256


_numbers = itertools.count(1)


class Running:
    """A run under way.

    Attributes
    ----------
    number
        Its number in the machine; the number in events is ``info.run``.
    works
        Its stages.
    watches
        First how many tasks of a stage the job waits for.
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
        self.job = job
        self.info = info
        self.deliver = deliver
        self.wire = wire
        self.engine = engine
        self.ticket = ticket
        self.works: dict[int, Work] = {}
        self.watches: dict[int, int] = {}
        self.failure: BaseException | None = None
        self.errors: dict[TaskId, BaseException] = {}
        self.stopping: dict[TaskId, int] = {}
        self.deserted = False
        self.opened = False
        self.over = False

    def tell(self, event: Any) -> None:
        """Tell the observers, if there are any."""
        if self.wire is not None:
            self.wire.put(event)


class Driver:
    """One machine, its runs and its workers.

    Parameters
    ----------
    loop
        Whose thread everything happens on.
    limit
        Bytes that the work may use.
    workers
        How many tasks run at the same time.
    store
        Where values are kept.
    relieve
        Called with a run whose tasks do not stop: others must take the places of their threads.
    ended
        Called when a run has ended.
    """

    def __init__(
        self,
        loop: Loop,
        limit: int,
        workers: int,
        store: KernelStore,
        relieve: Callable[[Running], None] | None = None,
        ended: Callable[[], None] | None = None,
    ) -> None:
        self._loop = loop
        self.desk = Desk(lambda: loop.post(self._guarded, self._hear))
        self._limit = limit
        self._store = store
        self._relieve = relieve
        self._ended = ended
        self._runs: dict[int, Running] = {}
        self._signals: collections.deque[Signal] = collections.deque()
        self._wanted = workers
        self._workers = 0
        self._busy = 0
        self._pace = 0.0
        self._ahead = 2
        self._machine = self._new_machine()
        self._perform: Mapping[type[Any], Callable[[Any], None]] = {
            Stop: self._stop,
            Drop: self._drop,
            Delivered: self._delivered,
            Report: self._report,
            End: self._end,
        }

    # From any thread ------------------------------------------------------------------------

    def open(self, run: Running, reply: Reply, limit: int | None = None) -> None:
        """Begin a run with its job's first reply, under a new limit if one is given.

        Does nothing if it has begun.
        """
        self._loop.post(self._guarded, self._open, run, reply, limit)

    def cancel(self, run: Running) -> None:
        """Stop a run."""
        self._loop.post(self._guarded, self._cancel, run)

    def desert(self, run: Running) -> None:
        """Stop a run for which nobody works any more."""
        self._loop.post(self._guarded, self._desert, run)

    def scale(self, workers: int) -> None:
        """Change how many tasks run at the same time."""
        self._loop.post(self._guarded, self._scale, workers)

    def cancel_all(self) -> None:
        """Stop every run."""
        self._loop.post(self._guarded, self._cancel_all)

    # The way in and out ---------------------------------------------------------------------

    def _guarded(self, call: Callable[..., None], *args: Any) -> None:
        """Do what was posted and all that follows; a mistake of ours ends the runs, named."""
        try:
            call(*args)
            self._go()
            if self._runs and not self._busy:
                self._stuck()
        except BaseException as error:  # noqa: BLE001 - the runs' callers wait and must be told
            self._break(error)

    def _go(self) -> None:
        signals = self._signals
        while signals:
            for action in self._machine.handle(signals.popleft()):
                self._do(action)

    def _do(self, action: Action) -> None:
        if type(action) is Run:
            _, stage, _ = action.task
            self._busy += 1
            self.desk.items.put((self._runs[action.task.run].works[stage], action))
        else:
            self._perform[type(action)](action)

    def _hear(self) -> None:
        """Take the outcomes of tasks that are there; for later ones others get their turn first."""
        desk = self.desk
        desk.heard()
        outcomes = desk.outcomes
        handle = self._machine.handle
        count, seconds = 0, 0.0
        for _ in range(len(outcomes)):
            work, action, size, took, error = outcomes.popleft()
            run: Running = work.run
            if run.over:
                continue
            if work.dead:
                if run.stopping.pop(action.task, None) is not None:
                    self._busy -= 1
                    self._signals.append(Stopped(action.worker, action.task))
            else:
                self._busy -= 1
                count += 1
                seconds += took
                if size is not None:
                    if work.sizes is not None:
                        work.sizes[action.task.task] = size
                    for following in handle(TaskDone(action.worker, action.task, size[1])):
                        self._do(following)
                elif error is not None:
                    run.errors[action.task] = error
                    replan = isinstance(error, Replan)
                    self._signals.append(TaskFailed(action.worker, action.task, replan))
            if self._signals:
                self._go()
        if count:
            self._adapt(seconds / count)
        if outcomes:
            desk.tell()

    def _adapt(self, seconds: float) -> None:
        """Hand out so many tasks ahead that each worker has some 10 ms of work, and at least two."""
        self._pace = seconds if self._pace == 0.0 else 0.5 * (self._pace + seconds)
        ahead = int(_AHEAD / self._pace) if self._pace > 0 else _MOST_AHEAD
        ahead = min(max(ahead, 2), _MOST_AHEAD)
        if ahead != self._ahead:
            self._ahead = ahead
            self._signals.append(SetQueue(ahead))

    # Runs -----------------------------------------------------------------------------------

    def _open(self, run: Running, reply: Reply, limit: int | None) -> None:
        if run.opened:
            return
        run.opened = True
        inner.hold()
        self._runs[run.number] = run
        if limit is not None and limit != self._limit:
            self._limit = limit
            self._signals.append(SetLimit(limit))
        info = run.info
        run.tell(
            RunStarted(info.run, time.monotonic(), info.what, run.engine, info.reason, info.place)
        )
        self._signals.append(OpenRun(run.number))
        self._reply(run, reply)

    def _reply(self, run: Running, reply: Reply) -> None:
        """Pass on to the machine what the job said."""
        if isinstance(reply, Done):
            if reply.error is not None:
                self._fail(run, reply.error)
            else:
                self._signals.append(Grown(run.number, sealed=True))
            return
        try:
            self._signals.append(self._grown(run, reply))
        except BaseException as error:  # noqa: BLE001 - such as: the result would not fit
            self._fail(run, error)

    def _grown(self, run: Running, grow: Grow) -> Grown:
        for number in grow.retract:
            self._kill(run.works[number])
            run.watches.pop(number, None)
        for stage in grow.stages:
            self._add(run, stage)
        watches = []
        for watch in grow.watches:
            stage = run.works[watch.stage].stage
            first = stage.n_tasks if watch.first is None else min(watch.first, stage.n_tasks)
            run.watches[watch.stage] = first
            watches.append((watch.stage, first))
        return Grown(
            run.number, grow.stages, tuple(watches), grow.sealed, grow.release, grow.retract
        )

    def _add(self, run: Running, stage: Stage) -> None:
        number = run.info.run
        take = None if stage.result is None else run.deliver(stage.result)
        table = self._store.table(run.number, stage.number)
        run.works[stage.number] = Work(run, number, stage, table, run.works, take, run.wire)
        edges = tuple(edge.producer for edge in stage.edges)
        run.tell(StageAdded(number, stage.number, stage.name, stage.n_tasks, edges, stage.places))

    def _kill(self, work: Work) -> None:
        work.dead = True
        work.table.clear()

    def _fail(self, run: Running, error: BaseException) -> None:
        run.failure = error
        self._signals.append(Fail(run.number))

    def _cancel(self, run: Running) -> None:
        if not run.over:
            self._signals.append(Cancel(run.number))

    def _cancel_all(self) -> None:
        for run in self._runs.values():
            self._cancel(run)

    def _desert(self, run: Running) -> None:
        run.deserted = True
        self._cancel(run)
        self._count_stopped(run)

    def _count_stopped(self, run: Running) -> None:
        """Take every task that was told to stop for stopped."""
        for task, worker in run.stopping.items():
            self._busy -= 1
            self._signals.append(Stopped(worker, task))
        run.stopping.clear()

    def _scale(self, workers: int) -> None:
        self._wanted = workers
        while self._workers < self._wanted:
            self._signals.append(WorkerJoined(self._workers))
            self._workers += 1
        # A worker leaves when it has nothing to do: one that leaves a task behind has died of it.
        while not self._busy and self._workers > self._wanted:
            self._workers -= 1
            self._signals.append(WorkerLeft(self._workers))

    # Actions --------------------------------------------------------------------------------

    def _stop(self, action: Stop) -> None:
        run = self._runs[action.task.run]
        work = run.works[action.task.stage]
        if run.deserted:
            self._busy -= 1
            self._signals.append(Stopped(action.worker, action.task))
            return
        if not work.dead:  # so it was not taken back: the run itself ends
            for each in run.works.values():
                each.dead = True
            self._loop.after(_GRACE, self._guarded, self._overdue, run)
        run.stopping[action.task] = action.worker

    def _overdue(self, run: Running) -> None:
        """Tasks of a run that ends were given their time: end it without them."""
        if run.over:
            return
        if self._relieve is not None:
            self._relieve(run)
        self._count_stopped(run)

    def _drop(self, action: Drop) -> None:
        number, stage, task = action.task
        run = self._runs.get(number)
        if run is not None:
            run.works[stage].table.pop(task, None)

    def _delivered(self, action: Delivered) -> None:
        """The task gave its value away itself, in its own thread: nothing is left to do."""

    def _report(self, action: Report) -> None:
        run = self._runs[action.run]
        seen: Observation | Failure
        if action.failed is not None:
            error = run.errors.pop(action.failed)
            if not isinstance(error, Replan):
                raise error
            seen = Failure(action.stage, action.failed.task, error)
        else:
            table = run.works[action.stage].table
            seen = Observation(
                action.stage, tuple(table[i] for i in range(run.watches[action.stage]))
            )
        self._tell_sizes(run)
        try:
            reply = run.job.step(seen)
        except BaseException as error:  # noqa: BLE001 - the caller of the run must be told
            reply = Done(error)
        self._reply(run, reply)

    def _tell_sizes(self, run: Running) -> None:
        sizes = {number: work.sizes for number, work in run.works.items() if work.sizes}
        if sizes:
            run.job.measured(sizes)
            for work in run.works.values():
                if work.sizes:
                    work.sizes = {}

    def _end(self, action: End) -> None:
        run = self._runs[action.run]
        error = self._verdict(run, action)
        try:
            self._tell_sizes(run)
        except BaseException as mistake:  # noqa: BLE001 - the caller of the run must be told
            error = error if error is not None else mistake
        self._signals.append(CloseRun(run.number))
        self._close(run, action.outcome, error)

    def _verdict(self, run: Running, action: End) -> BaseException | None:
        """The exception that the caller gets."""
        if action.outcome == "done":
            return None
        if action.outcome == "cancelled":
            return RunCancelled("the run was stopped before it ended")
        if action.task is not None and action.task in run.errors:
            error = run.errors[action.task]
            explain(error, run.works[action.task.stage], action.task.task)
            return error
        if run.failure is not None:
            return run.failure
        name, _, message = action.error.partition(": ")
        kind = _NAMED.get(name)
        return kind(message) if kind is not None else NbscaleError(action.error or "it failed")

    def _close(self, run: Running, outcome: str, error: BaseException | None) -> None:
        run.over = True
        del self._runs[run.number]
        for work in run.works.values():
            work.dead = True
        self._store.close_run(run.number)
        run.errors.clear()
        inner.release()
        message = "" if error is None else f"{type(error).__name__}: {error}"
        run.tell(RunEnded(run.info.run, time.monotonic(), outcome, message))
        run.ticket.finish(error)
        if self._ended is not None:
            self._ended()
        if not self._busy:
            self._scale(self._wanted)

    # What must not happen -------------------------------------------------------------------

    def _stuck(self) -> None:
        """Nothing runs and nothing ends: a defect, and better named than waited for."""
        for run in list(self._runs.values()):
            state = ", ".join(
                f"stage {n} ({work.stage.name}): {len(work.table)} of {work.stage.n_tasks} values"
                for n, work in run.works.items()
            )
            self._fail(run, Stuck(f"nothing can move any more in {run.info.what!r}: {state}"))
        self._go()
        if self._runs:
            self._break(Stuck("the scheduler does not even let its runs fail"))

    def _break(self, error: BaseException) -> None:
        """The scheduler or the driver made a mistake: end every run with it, and begin afresh."""
        if not self._runs:
            report_error(error)
        for run in list(self._runs.values()):
            failure = Stuck(
                f"nbscale made a mistake while running {run.info.what!r} "
                f"({type(error).__name__}: {error}); nothing of your data is lost, please report it"
            )
            failure.__cause__ = error
            self._close(run, "failed", failure)
        self._signals.clear()
        self._machine = self._new_machine()

    def _new_machine(self) -> Machine:
        machine = Machine(self._limit, queue=self._ahead)
        self._workers = self._busy = 0
        while self._workers < self._wanted:
            machine.handle(WorkerJoined(self._workers))
            self._workers += 1
        return machine


_NAMED: Mapping[str, type[NbscaleError]] = {
    kind.__name__: kind for kind in (TaskMemoryError, WorkerLost, Stuck)
}
