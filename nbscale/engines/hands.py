"""Drives a scheduler whose tasks are run by threads of this process, values being its objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbscale.engines import inner
from nbscale.engines.desk import Desk
from nbscale.engines.driver import Driver
from nbscale.engines.loop import Loop
from nbscale.engines.running import Running
from nbscale.engines.task import Work
from nbscale.graph.job import Grow
from nbscale.scheduler.machine import Machine
from nbscale.scheduler.protocol import (
    Deliver,
    Drop,
    Grown,
    Run,
    SetQueue,
    Stop,
    Stopped,
    TaskDone,
    TaskId,
    WorkerJoined,
    WorkerLeft,
)
from nbscale.store.base import KernelStore

__all__ = ["KernelDriver"]

_GRACE = 0.25
"""Seconds a task of a run that is over may go on before the run ends without it."""

_AHEAD = 0.010
"""Seconds of work handed out ahead to each worker."""

_MOST_AHEAD = 64

_LOOK = 5.0
"""Seconds between two looks whether anything moves."""

_LOOKS = 4
"""So many looks in turn at which all threads wait for tasks that are given out: one is lost."""


class KernelDriver(Driver):
    """One machine, its runs, and a desk where threads fetch their tasks.

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
        self.desk = Desk(lambda: loop.post(self._guarded, self._hear))
        self._store = store
        self._relieve = relieve
        self._ended = ended
        self._watching = False
        self._still = 0
        self._wanted = workers
        self._workers = 0
        self._busy = 0
        self._pace = 0.0
        self._ahead = 2
        super().__init__(loop, limit)

    # From any thread ------------------------------------------------------------------------

    def desert(self, run: Running) -> None:
        """Stop a run for which nobody works any more."""
        self._loop.post(self._guarded, self._desert, run)

    def scale(self, workers: int) -> None:
        """Change how many tasks run at the same time."""
        self._loop.post(self._guarded, self._scale, workers)

    # The way in and out ---------------------------------------------------------------------

    def _guarded(self, call: Callable[..., None], *args: Any) -> None:
        super()._guarded(call, *args)
        # Where the waiter runs the tasks nobody but her could lose one, and there are many such.
        if self._runs and not self._watching and self._relieve is not None:
            self._watching = True
            self._loop.after(_LOOK, self._guarded, self._watch)

    def _watch(self) -> None:
        """End the runs if all threads wait though tasks are given out: a defect, and named."""
        self._watching = False
        desk = self.desk
        waits = self._busy > 0 and len(desk.idle) >= self._workers
        self._still = self._still + 1 if waits and desk.items.empty() and not desk.outcomes else 0
        if self._still >= _LOOKS:
            self._still = 0
            seen = f"all {self._workers} threads wait for tasks, though {self._busy} are given out"
            for run in list(self._runs.values()):
                self._fail(run, run.standstill(seen))

    # Tasks ----------------------------------------------------------------------------------

    def _give(self, action: Run) -> None:
        self._busy += 1
        run = self._runs[action.task.run]
        self.desk.items.put((run.works[action.task.stage], action))

    def _is_idle(self) -> bool:
        return not self._busy

    def _hear(self) -> None:
        """Take the outcomes of tasks that are there; for later ones others get their turn first."""
        desk = self.desk
        desk.heard()
        outcomes = desk.outcomes
        handle = self._machine.handle
        count, seconds = 0, 0.0
        for _ in range(len(outcomes)):
            work, action, size, start, stop, spent, error = outcomes.popleft()
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
                seconds += stop - start
                _, stage, task = action.task
                nbytes = 0 if size is None else size[1]
                note = run.recording
                task += run.info.first
                note.task(error is None, stage, task, action.worker, start, stop, nbytes)
                if spent is not None:
                    spent += (0.0, 0.0)  # nothing is brought, and nobody tells who waits
                    note.steps(stage, spent)
                if size is not None:
                    if work.sizes is not None:
                        work.sizes[action.task.task] = size
                    self._do(handle(TaskDone(action.worker, action.task, size[1])))
                elif error is not None:
                    self._raised(run, action.worker, action.task, error)
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

    # Values ---------------------------------------------------------------------------------

    def _put(self, task: TaskId, value: Any) -> None:
        self._runs[task.run].works[task.stage].put(task.task, value)

    def _drop(self, action: Drop) -> None:
        number, stage, task = action.task
        run = self._runs.get(number)
        if run is not None:
            run.works[stage].table.pop(task, None)

    def _delivered(self, action: Deliver) -> None:
        """The task gave its value away itself, in its own thread: nothing is left to do."""

    # Runs and workers -----------------------------------------------------------------------

    def _grow(self, run: Running, reply: Grow) -> Grown:
        def make(stage: Any, take: Any, wire: Any) -> Work:
            table = self._store.table(run.number, stage.number)
            return Work(run, run.info.run, stage, table, run.works, take, wire)

        return run.grow(reply, make)

    def _joined(self, run: Running) -> None:
        inner.hold()

    def _left(self, run: Running) -> None:
        self._store.close_run(run.number)
        inner.release()

    def _close(self, run: Running, outcome: str, error: BaseException | None) -> None:
        super()._close(run, outcome, error)
        if self._ended is not None:
            self._ended()
        if not self._busy:
            self._scale(self._wanted)

    def _scale(self, workers: int) -> None:
        self._wanted = workers
        while self._workers < self._wanted:
            self._signals.append(WorkerJoined(self._workers))
            self._workers += 1
        # A worker leaves when it has nothing to do: one that leaves a task behind has died of it.
        while not self._busy and self._workers > self._wanted:
            self._workers -= 1
            self._signals.append(WorkerLeft(self._workers))

    def _new_machine(self) -> Machine:
        machine = Machine(self._limit, queue=self._ahead)
        self._workers = self._busy = 0
        while self._workers < self._wanted:
            machine.handle(WorkerJoined(self._workers))
            self._workers += 1
        return machine
