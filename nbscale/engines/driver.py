"""Drives one scheduler for the engines inside the kernel: performs its actions, feeds it signals.

Everything here happens on the loop's thread, but for what says otherwise. The driver decides
nothing: the machine says what runs, the job says what there is to run.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping
from typing import Any

from nbscale.engines import inner
from nbscale.engines.desk import Desk
from nbscale.engines.loop import Loop, report_error
from nbscale.engines.running import Running
from nbscale.errors import Stuck
from nbscale.graph.job import Done, Replan, Reply
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
    WorkerJoined,
    WorkerLeft,
)
from nbscale.scheduler.protocol import (
    Deliver as Delivered,
)
from nbscale.store.base import KernelStore

__all__ = ["Driver"]

_GRACE = 0.25
"""Seconds a task of a run that is over may go on before the run ends without it."""

_AHEAD = 0.010
"""Seconds of work handed out ahead to each worker."""

_MOST_AHEAD = 64


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
                work.table.pop(action.task.task, None)
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
        inner.hold()
        self._runs[run.number] = run
        if limit is not None and limit != self._limit:
            self._limit = limit
            self._signals.append(SetLimit(limit))
        run.begin()
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
            self._signals.append(run.grow(reply, self._store))
        except BaseException as error:  # noqa: BLE001 - such as: the result would not fit
            self._fail(run, error)

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
            run.kill()
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
        self._reply(run, run.step(action))

    def _end(self, action: End) -> None:
        run = self._runs[action.run]
        error = run.verdict(action)
        try:
            run.tell_sizes()
        except BaseException as mistake:  # noqa: BLE001 - the caller of the run must be told
            error = error if error is not None else mistake
        self._signals.append(CloseRun(run.number))
        self._close(run, action.outcome, error)

    def _close(self, run: Running, outcome: str, error: BaseException | None) -> None:
        del self._runs[run.number]
        self._store.close_run(run.number)
        inner.release()
        run.finish(outcome, error)
        if self._ended is not None:
            self._ended()
        if not self._busy:
            self._scale(self._wanted)

    # What must not happen -------------------------------------------------------------------

    def _stuck(self) -> None:
        """Nothing runs and nothing ends: a defect, and better named than waited for."""
        for run in list(self._runs.values()):
            self._fail(run, run.standstill())
        self._go()
        if self._runs:
            self._break(Stuck("the scheduler does not even let its runs fail"))

    def _break(self, error: BaseException) -> None:
        """The scheduler or the driver made a mistake: end every run with it, and begin afresh."""
        if not self._runs:
            report_error(error)
        for run in list(self._runs.values()):
            self._close(run, "failed", run.mistake(error))
        self._signals.clear()
        self._machine = self._new_machine()

    def _new_machine(self) -> Machine:
        machine = Machine(self._limit, queue=self._ahead)
        self._workers = self._busy = 0
        while self._workers < self._wanted:
            machine.handle(WorkerJoined(self._workers))
            self._workers += 1
        return machine
