"""The scheduler: signals in, actions out, no I/O and no clock.

The states of a task, their drawing and the table of ways between them are in ``states``. The
machine is made of layers, each of which calls only those below it::

    machine   signals                          what workers, stores and users say
    giving    P1-P4, the ledger                which task runs next, what leaves memory for it
    runs      growth, watches, retraction      what a job's answers do, how a run ends
    values    counts                           how values come and go

Workers hold tasks (``queue``) and left-over tasks (``leftover``): those they were told to stop, and
those that were given to others while they were frozen. A worker that was told to stop a task gets
nothing before it has answered: it might get the same task again, and nobody could tell which of the
two its answer is about. A run ends when nothing of it is in other hands on a worker that moves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from nbscale.scheduler.giving import Giving
from nbscale.scheduler.ledger import inputs_of
from nbscale.scheduler.protocol import (
    Action,
    Cancel,
    CloseRun,
    Deliver,
    Drop,
    Fail,
    Frozen,
    Grown,
    Kill,
    Loaded,
    OpenRun,
    SetLimit,
    SetQueue,
    Signal,
    Spilled,
    Stop,
    Stopped,
    Substitute,
    TaskDone,
    TaskFailed,
    TaskId,
    TasksDone,
    Thawed,
    Unreadable,
    WorkerJoined,
    WorkerLeft,
)
from nbscale.scheduler.records import RunRecord, StageRecord, WorkerRecord
from nbscale.scheduler.runs import cannot_repeat
from nbscale.scheduler.states import (
    GONE,
    HELD,
    LOADING,
    LOST,
    PARKED,
    READY,
    RUNNING,
    SPILLED,
    SPILLING,
    WAITING,
    exists,
    move,
)

__all__ = ["Machine"]

MOST_LIVES: Final = 2
"""A task that has cost so many workers fails its run."""


class Machine(Giving):
    """Decides which task runs where and when, for any number of runs at once.

    Parameters
    ----------
    limit
        Bytes that the work may use.
    headroom
        Bytes kept free of it; None for the ledger's default.
    can_spill
        Values can be written to disk: ``Spill`` and ``Load`` are understood.
    can_recompute
        Values of built-in operations may be dropped and made again.
    queue
        How many tasks a worker gets at once.

    Notes
    -----
    ``handle`` costs a few microseconds for each task that ends, whatever the size of the graph:
    the counts of its inputs and readers are changed and the next task is given out. Appending a
    stage costs vectorised passes over it. About 20 bytes a task.
    """

    def handle(self, signal: Signal) -> list[Action]:
        """Take note of what happened; say what to do now, in this order.

        Signals about runs and workers that are over are ignored: they may have been under way.

        Raises
        ------
        ValueError
            The signal contradicts what went before: a run opened twice, stages out of order.
        """
        actions: list[Action] = []
        self._actions = actions
        _HANDLERS[type(signal)](self, signal)
        if self.free:
            self._dispatch()
        return actions

    @property
    def queue(self) -> int:
        """How many tasks a worker gets at once; a smaller number calls none back."""
        return self._queue

    @queue.setter
    def queue(self, tasks: int) -> None:
        if tasks != self._queue:
            self._queue = max(1, tasks)
            for worker in self.workers.values():
                worker.most = min(worker.most, self._queue)
                self.free.pop(worker.number, None)
                self._free_slot(worker)

    def foreseen(self, task: TaskId) -> int:
        """Bytes that a task is expected to need."""
        record = self.runs[task.run].stages[task.stage]
        return self.ledger.peak(record, inputs_of(record, task.task))

    def is_last_attempt(self, task: TaskId) -> bool:
        """Whether a task that runs out of memory now is not tried once more."""
        run = self.runs.get(task.run)
        if run is None:
            return False
        return (task.stage, task.task) in run.alone or self._runs_once(task)

    def _set_queue(self, signal: SetQueue) -> None:
        self.queue = signal.tasks

    def _set_limit(self, signal: SetLimit) -> None:
        self.ledger.set_limit(signal.limit)
        self.can_spill = signal.can_spill

    # Runs -----------------------------------------------------------------------------------

    def _open_run(self, signal: OpenRun) -> None:
        if signal.run in self.runs:
            raise ValueError(f"run {signal.run} is open already")
        if not self.runs:
            self.disk_full = False
        self.runs[signal.run] = RunRecord(signal.run)
        self.turn.append(signal.run)

    def _grown(self, signal: Grown) -> None:
        run = self.runs.get(signal.run)
        if run is not None and not run.outcome:
            self._grow(run, signal)

    def _cancel(self, signal: Cancel | CloseRun) -> None:
        run = self.runs.get(signal.run)
        if run is not None:
            self._begin_end(run, "cancelled")

    def _fail(self, signal: Fail) -> None:
        run = self.runs.get(signal.run)
        if run is not None:
            asked_about = None
            if run.answering is not None:
                asked_about = TaskId(run.number, *run.answering)
            self._begin_end(run, "failed", "", asked_about)

    # Workers --------------------------------------------------------------------------------

    def _worker_joined(self, signal: WorkerJoined) -> None:
        if signal.worker in self.workers:
            raise ValueError(f"worker {signal.worker} is here already")
        worker = WorkerRecord(signal.worker, most=min(self._queue, 2))
        self.workers[signal.worker] = self.free[signal.worker] = worker

    def _worker_left(self, signal: WorkerLeft) -> None:
        worker = self.workers.pop(signal.worker, None)
        if worker is None:
            return
        self.free.pop(signal.worker, None)
        at = signal.at
        lost = self._lost_with(worker, at)
        if signal.guiltless:
            suspect = None
        elif at is None:
            # Tasks run in the order given, so the first one was running when the worker died.
            suspect = next(iter(worker.queue), None)
        else:
            suspect = at if at in worker.queue else None
        for task, promised in worker.queue.items():
            self.ledger.promised -= promised
            run = self.runs[task.run]
            run.outside -= 1
            self._ready_again(run, run.stages[task.stage], task.task)
        for task, promised in worker.leftover.items():
            self.ledger.promised -= promised
            if not worker.frozen and task.run in self.runs:
                self.runs[task.run].outside -= 1
            hid = suspect is None and worker.frozen and not signal.guiltless
            if hid and task not in worker.told and at in (None, task):
                suspect = task
        for task in lost:
            self._lose(task)
        if suspect is not None:
            self._blame(suspect, memory=signal.memory)
        self._settle_all()

    def _lost_with(self, worker: WorkerRecord, at: TaskId | None) -> list[TaskId]:
        """Tasks a dead worker may have begun, in the order given, that are not run again."""
        if not any(self._runs_once(task) for task in worker.queue):
            return []
        begun = list(worker.queue)
        if at is not None:
            begun = begun[: begun.index(at) + 1] if at in worker.queue else []
        return [task for task in begun if self._runs_once(task)]

    def _runs_once(self, task: TaskId) -> bool:
        once = self.runs[task.run].stages[task.stage].once
        return bool(once) and task.task in once

    def _lose(self, task: TaskId) -> None:
        """A task was lost with its worker and is not run again."""
        run = self.runs.get(task.run)
        if run is None or run.outcome or run.stages[task.stage].state[task.task] > PARKED:
            return
        stage = run.stages[task.stage].stage
        self._failed_for_good(
            run,
            task,
            f"WorkerLost: the worker that had {stage.name!r}, task {task.task + 1} of "
            f"{stage.n_tasks}, died or froze; the task may have begun, and is to be run only once",
        )

    def _failed_for_good(self, run: RunRecord, task: TaskId, error: str) -> None:
        """A task will not give a value: it fails alone, or its run with it."""
        record = run.stages[task.stage]
        if record.stage.substitute is None:
            self._begin_end(run, "failed", error, task)
            return
        self._actions.append(Substitute(task, error))
        self._finish(run, record, TaskDone(-1, task, 0))

    def _ready_again(self, run: RunRecord, record: StageRecord, task: int) -> None:
        """A task that was given out is to be given out anew, if it is still needed."""
        move(record, task, READY)
        if not record.is_needed(task):
            self._let_go(run, record, task)
        elif self.evicted and self._waits(record, task):
            move(record, task, WAITING)
        else:
            run.push(record, task)

    def _waits(self, record: StageRecord, task: int) -> bool:
        """Whether what a task reads is being made again: its pieces could not be read from disk."""
        pending = sum(
            not exists(producer.state[j]) for w, producer in record.ins for j in w.reads(task)
        )
        record.pending[task] = pending
        return bool(pending or record.closed)

    def _blame(self, task: TaskId, *, memory: bool) -> None:
        """A worker was lost with a task on it."""
        run = self.runs.get(task.run)
        if run is None or run.outcome or run.stages[task.stage].state[task.task] > PARKED:
            return
        key = (task.stage, task.task)
        run.lives[key] = run.lives.get(key, 0) + 1
        stage = run.stages[task.stage].stage
        # Another may be at it by now: where its end ends nothing else, it may still succeed.
        at_work = (
            stage.substitute is not None and run.stages[task.stage].state[task.task] == RUNNING
        )
        if memory and not at_work and key in run.alone:
            self._failed_for_good(run, task, "TaskMemoryError: its worker was ended")
        elif memory:
            run.alone[key] = None
        elif run.lives[key] >= MOST_LIVES and not at_work:
            self._failed_for_good(
                run,
                task,
                f"WorkerLost: {run.lives[key]} workers in turn died or froze while they ran "
                f"{stage.name!r}, task {task.task + 1} of {stage.n_tasks}",
            )

    def _frozen(self, signal: Frozen) -> None:
        worker = self.workers.get(signal.worker)
        if worker is None or worker.frozen:
            return
        self.free.pop(signal.worker, None)
        if any(map(self._runs_once, worker.queue)):
            # Should it move again, it would begin what another has begun by then.
            worker.doomed = True
            self._actions.append(Kill(worker.number))
            return
        worker.frozen = True
        for task in worker.leftover:
            if task.run in self.runs:
                self.runs[task.run].outside -= 1
        given, worker.queue = worker.queue, {}
        worker.leftover.update(given)
        for task in given:
            run = self.runs[task.run]
            run.outside -= 1
            self._ready_again(run, run.stages[task.stage], task.task)
        self._settle_all()

    def _thawed(self, signal: Thawed) -> None:
        worker = self.workers.get(signal.worker)
        if worker is None or not worker.frozen:
            return
        worker.frozen = False
        for task, promised in list(worker.leftover.items()):
            run = self.runs.get(task.run)
            if run is not None:
                run.outside += 1
            if task in worker.told:
                continue
            if run is not None and self._may_go_on(run, task):
                # Nobody took it meanwhile.
                del worker.leftover[task]
                worker.queue[task] = promised
                move(run.stages[task.stage], task.task, RUNNING)
            else:
                worker.told[task] = None
                self._actions.append(Stop(worker.number, task))
        self._free_slot(worker)

    def _may_go_on(self, run: RunRecord, task: TaskId) -> bool:
        record = run.stages[task.stage]
        ready = not run.outcome and record.state[task.task] == READY
        return ready and not self._absent(record, task.task)

    def _free_slot(self, worker: WorkerRecord) -> None:
        stays = not (worker.frozen or worker.doomed or worker.leftover)
        if stays and len(worker.queue) < worker.most:
            self.free[worker.number] = worker

    # Tasks ----------------------------------------------------------------------------------

    def _task_done(self, signal: TaskDone) -> None:
        task = signal.task
        run = self._take_from(signal.worker, task)
        if run is None:
            self._late(signal.worker, task, signal)
            return
        self._finish(run, run.stages[task.stage], signal)
        if not run.undelivered:
            self._settle(run)

    def _tasks_done(self, signal: TasksDone) -> None:
        for done in signal.done:
            self._task_done(done)

    def _take_from(self, number: int, task: TaskId) -> RunRecord | None:
        """Take a task that ended off a worker; None if it was not the worker's own."""
        worker = self.workers.get(number)
        if worker is None:
            return None
        queue = worker.queue
        promised = queue.pop(task, None)
        if promised is None:
            return None
        self.ledger.promised -= promised
        worker.most = self._queue
        if len(queue) < worker.most and not (worker.leftover or worker.doomed):
            self.free[number] = worker
        run = self.runs[task.run]
        run.outside -= 1
        return run

    def _finish(self, run: RunRecord, record: StageRecord, done: TaskDone) -> None:
        name = done.task
        task = name.task
        nbytes = done.nbytes
        peak = done.peak
        if peak and record.reads:
            peak = max(1, peak - inputs_of(record, task))  # they are foreseen by themselves
        self.ledger.measure(record, nbytes, peak)
        move(record, task, HELD)
        if self.anew:
            self.anew.pop(name, None)
        delivered = record.delivered
        if delivered is not None and not delivered[task]:
            delivered[task] = 1
            run.undelivered -= 1
            self._actions.append(Deliver(name))
        if record.reads:
            self._release_inputs(run, record, task)
        if not (record.uses[task] or record.common_outs or record.is_needed(task)):
            move(record, task, GONE)
            self._actions.append(Drop(name))
            return
        record.size[task] = nbytes
        if nbytes:
            record.nbytes += nbytes
            self.ledger.held += nbytes
        self._appeared(run, record, task)
        if not record.uses[task] and not record.is_needed(task):
            self._let_go(run, record, task)
        elif record.watches:
            self._seen(run, record, task)

    def _late(self, number: int, task: TaskId, done: TaskDone | None) -> None:
        """A task ended that is no longer the worker's own."""
        run = self.runs.get(task.run)
        worker = self.workers.get(number)
        promised = None if worker is None else worker.leftover.pop(task, None)
        if worker is not None and promised is not None:
            self.ledger.promised -= promised
            worker.told.pop(task, None)
            if run is not None and not worker.frozen:
                run.outside -= 1
            self._free_slot(worker)
        if done is not None:
            self._late_value(run, done)
        if run is not None:
            self._settle(run)

    def _late_value(self, run: RunRecord | None, done: TaskDone) -> None:
        """Take the value if it is still to be made; drop it if there is no other in its place."""
        task = done.task
        if run is not None:
            record = run.stages[task.stage]
            state = record.state[task.task]
            if state == READY and not run.outcome:
                self._finish(run, record, done)
                return
            if exists(state) and state != LOST:
                return
        self._actions.append(Drop(task))

    def _task_failed(self, signal: TaskFailed) -> None:
        task = signal.task
        run = self._take_from(signal.worker, task)
        if run is None:
            self._late(signal.worker, task, None)
        elif signal.memory and not self.is_last_attempt(task):
            run.alone[task.stage, task.task] = None
            self._ready_again(run, run.stages[task.stage], task.task)
        elif not signal.replan:
            self._failed_for_good(run, task, "")
            self._settle(run)
        elif self._runs_once(task):
            error = cannot_repeat(run.stages[task.stage], task.task, "asked for another plan")
            self._begin_end(run, "failed", error, task)
        else:
            record = run.stages[task.stage]
            move(record, task.task, PARKED)
            if record.is_needed(task.task):
                run.reports.append((task.stage, task.task))
                self._report(run)
            else:
                self._let_go(run, record, task.task)

    def _stopped(self, signal: Stopped) -> None:
        task = signal.task
        run = self._take_from(signal.worker, task)
        if run is None:
            self._late(signal.worker, task, None)
        else:  # it gave up a task unasked: somebody else may have it
            self._ready_again(run, run.stages[task.stage], task.task)

    # Values on disk -------------------------------------------------------------------------

    def _spilled(self, signal: Spilled) -> None:
        run, record, task = self._value(signal.task)
        if run is None or record is None or record.state[task] != SPILLING:
            return
        run.outside -= 1
        size = record.size[task]
        self.spilling -= size
        self.disk_full = not signal.ok
        if signal.ok:
            move(record, task, SPILLED)
            self.ledger.held -= size
        else:
            move(record, task, HELD)
            record.stuck[task] = None
        if self._is_over(run, record, task):
            return
        if not signal.ok or (record.pieces and not record.pinned):
            self._arrived(run, record, task)
        elif signal.task in self.awaited or record.pinned:
            self._load(run, record, task)

    def _loaded(self, signal: Loaded) -> None:
        run, record, task = self._value(signal.task)
        if run is None or record is None or record.state[task] != LOADING:
            return
        run.outside -= 1
        if signal.ok:
            move(record, task, HELD)
            if not self._is_over(run, record, task):
                self._arrived(run, record, task)
            return
        self.ledger.held -= record.size[task]
        move(record, task, LOST)
        record.stuck[task] = None
        if self._is_over(run, record, task):
            return
        if task in record.once:
            self._begin_end(run, "failed", cannot_repeat(record, task, "cannot be read again"))
            return
        for reader in self.awaited.pop(signal.task, []):
            if reader in self.fetching:
                stage = run.stages[reader.stage]
                self._unfetch(run, stage, reader.task)
                run.push(stage, reader.task)
        if record.pinned:
            self._again(run, record, task)

    def _unreadable(self, signal: Unreadable) -> None:
        run, record, task = self._value(signal.task)
        if run is None or record is None or run.outcome or record.state[task] != SPILLED:
            return
        move(record, task, LOST)
        record.stuck[task] = None
        for name in [n for n in self.fetching if n.run == run.number]:
            reader = run.stages[name.stage]
            if (record, task) in reader.absent_inputs(name.task):
                self._unfetch(run, reader, name.task)
                run.push(reader, name.task)

    def _value(self, name: TaskId) -> tuple[RunRecord | None, StageRecord | None, int]:
        run = self.runs.get(name.run)
        return run, None if run is None else run.stages[name.stage], name.task

    def _is_over(self, run: RunRecord, record: StageRecord, task: int) -> bool:
        """After a spill or load: whether the value was given up meanwhile. Drops it if so."""
        if record.retracted:
            self._take_back(run, record, task)
        elif not run.outcome:
            if record.is_needed(task):
                return False
            self._let_go(run, record, task)
        self._settle(run)
        return True

    def _arrived(self, run: RunRecord, record: StageRecord, task: int) -> None:
        """A value is again where its readers find it."""
        for reader in self.awaited.pop(record.name(run.number, task), []):
            fetch = self.fetching.get(reader)
            if fetch is not None:
                fetch.missing -= 1
                if not fetch.missing:
                    self.fetched.append(reader)
        if record.watches:
            self._seen(run, record, task)


_HANDLERS: Final[dict[type, Callable[[Machine, Any], None]]] = {
    TaskDone: Machine._task_done,  # noqa: SLF001 - the class's own methods
    TasksDone: Machine._tasks_done,  # noqa: SLF001
    OpenRun: Machine._open_run,  # noqa: SLF001
    Grown: Machine._grown,  # noqa: SLF001
    TaskFailed: Machine._task_failed,  # noqa: SLF001
    Stopped: Machine._stopped,  # noqa: SLF001
    WorkerJoined: Machine._worker_joined,  # noqa: SLF001
    WorkerLeft: Machine._worker_left,  # noqa: SLF001
    Frozen: Machine._frozen,  # noqa: SLF001
    Thawed: Machine._thawed,  # noqa: SLF001
    Spilled: Machine._spilled,  # noqa: SLF001
    Loaded: Machine._loaded,  # noqa: SLF001
    Unreadable: Machine._unreadable,  # noqa: SLF001
    Cancel: Machine._cancel,  # noqa: SLF001
    Fail: Machine._fail,  # noqa: SLF001
    CloseRun: Machine._cancel,  # noqa: SLF001
    SetLimit: Machine._set_limit,  # noqa: SLF001
    SetQueue: Machine._set_queue,  # noqa: SLF001
}
