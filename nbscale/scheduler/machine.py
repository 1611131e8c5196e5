"""The scheduler: signals in, actions out, one transition table, no I/O and no clock.

A task and its value share one state::

                       an input is lost
              +----------------------------------+
              v                                  |
          WAITING --inputs exist--> READY --some are on disk--> FETCHING
            ^  ^                    ^ | ^                          |
            |  |        worker lost | | given out                  | all are in memory
            |  |  (or thought frozen) | v                          |
            |  |                    RUNNING <----------------------+
            |  +--job has answered--  | |
            |           PARKED <------+ |            PARKED: the task raised Replan
            |                           v
            |   +--made again-- LOST <-- HELD --> SPILLING --> SPILLED --> LOADING --> HELD
            |   |                                 (HELD if the disk is full; LOST if unreadable)
            +---+
    From every state but RUNNING, SPILLING and LOADING, which are in other hands: GONE when nobody
    needs the value, RETRACTED when the job took the stage back. GONE may be made again, too.

A value *exists* in HELD, SPILLING, SPILLED, LOADING and LOST: a task that reads it may be ready. Only
when such a task is about to start are values on disk loaded and lost ones made again, so nothing
is brought back before somebody can use it.

Workers hold tasks (``queue``) and left-over tasks (``leftover``): those they were told to stop, and
those that were given to others while they were frozen. A run ends when nothing of it is in other
hands on a worker that moves.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from nbscale.scheduler import policy
from nbscale.scheduler.growth import append_stages, become_ready
from nbscale.scheduler.ledger import Forecast, Ledger, inputs_of
from nbscale.scheduler.protocol import (
    Action,
    Cancel,
    CloseRun,
    Deliver,
    Drop,
    End,
    Fail,
    Frozen,
    Grown,
    Load,
    Loaded,
    OpenRun,
    Report,
    Run,
    SetLimit,
    SetQueue,
    Signal,
    Spill,
    Spilled,
    Stop,
    Stopped,
    TaskDone,
    TaskFailed,
    TaskId,
    Thawed,
    WorkerJoined,
    WorkerLeft,
)
from nbscale.scheduler.records import (
    FETCHING,
    GONE,
    HELD,
    LOADING,
    LOST,
    PARKED,
    READY,
    RETRACTED,
    RUNNING,
    SPILLED,
    SPILLING,
    STATES,
    WAITING,
    Fetch,
    RunRecord,
    StageRecord,
    Watched,
    WorkerRecord,
)
from nbscale.units import format_bytes

__all__ = ["TRANSITIONS", "Machine"]

MOST_LIVES: Final = 2
"""A task that has cost so many workers fails its run."""

# (undone, absent, busy): how the counts of the stage change.
TRANSITIONS: Final[dict[tuple[int, int], tuple[int, int, int]]] = {
    (WAITING, READY): (0, 0, 0),
    (READY, WAITING): (0, 0, 0),
    (READY, FETCHING): (0, 0, 1),
    (READY, RUNNING): (0, 0, 1),
    (FETCHING, RUNNING): (0, 0, 0),
    (FETCHING, READY): (0, 0, -1),
    (RUNNING, HELD): (-1, 0, -1),
    (RUNNING, READY): (0, 0, -1),
    (RUNNING, PARKED): (0, 0, -1),
    (READY, HELD): (-1, 0, 0),
    (PARKED, WAITING): (0, 0, 0),
    (HELD, SPILLING): (0, 1, 0),
    (SPILLING, HELD): (0, -1, 0),
    (SPILLING, SPILLED): (0, 0, 0),
    (SPILLED, LOADING): (0, 0, 0),
    (LOADING, HELD): (0, -1, 0),
    (LOADING, LOST): (0, 0, 0),
    (HELD, LOST): (0, 1, 0),
    (LOST, WAITING): (1, -1, 0),
    (GONE, WAITING): (1, 0, 0),
    (WAITING, GONE): (-1, 0, 0),
    (READY, GONE): (-1, 0, 0),
    (PARKED, GONE): (-1, 0, 0),
    (HELD, GONE): (0, 0, 0),
    (SPILLED, GONE): (0, -1, 0),
    (LOST, GONE): (0, -1, 0),
    (WAITING, RETRACTED): (-1, 0, 0),
    (READY, RETRACTED): (-1, 0, 0),
    (RUNNING, RETRACTED): (-1, 0, -1),
    (PARKED, RETRACTED): (-1, 0, 0),
    (HELD, RETRACTED): (0, 0, 0),
    (SPILLED, RETRACTED): (0, -1, 0),
    (LOST, RETRACTED): (0, -1, 0),
    (GONE, RETRACTED): (0, 0, 0),
}

_N: Final = len(STATES)
_EFFECTS: Final = [TRANSITIONS.get(divmod(k, _N)) for k in range(_N * _N)]


def move(record: StageRecord, task: int, to: int) -> None:
    """Change a task's state as the table says."""
    effect = _EFFECTS[record.state[task] * _N + to]
    if effect is None:
        raise AssertionError(
            f"stage {record.number}, task {task}: no way from {STATES[record.state[task]]} "
            f"to {STATES[to]}"
        )
    record.state[task] = to
    undone, absent, busy = effect
    if undone:
        record.undone += undone
    if absent:
        record.absent += absent
    if busy:
        record.busy += busy


class Machine:
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

    def __init__(
        self,
        limit: int,
        headroom: int | None = None,
        *,
        can_spill: bool = False,
        can_recompute: bool = True,
        queue: int = 1,
    ) -> None:
        self.ledger = Ledger(limit, headroom)
        self.can_spill = can_spill
        self.can_recompute = can_recompute
        self._queue = queue
        self.runs: dict[int, RunRecord] = {}
        self.workers: dict[int, WorkerRecord] = {}
        self.turn: deque[int] = deque()
        self.free: dict[int, WorkerRecord] = {}
        self.fetching: dict[TaskId, Fetch] = {}
        self.fetched: deque[TaskId] = deque()
        self.awaited: dict[TaskId, list[TaskId]] = {}
        self.blocked: TaskId | None = None
        self.overtaken = 0
        self.spilling = 0
        self._victims: list[policy.Victim] = []
        self._patience = 0
        self._actions: list[Action] = []

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
                self.free.pop(worker.number, None)
                self._free_slot(worker)

    # Workers --------------------------------------------------------------------------------

    def _worker_joined(self, signal: WorkerJoined) -> None:
        if signal.worker in self.workers:
            raise ValueError(f"worker {signal.worker} is here already")
        worker = WorkerRecord(signal.worker)
        self.workers[signal.worker] = self.free[signal.worker] = worker

    def _worker_left(self, signal: WorkerLeft) -> None:
        worker = self.workers.pop(signal.worker, None)
        if worker is None:
            return
        self.free.pop(signal.worker, None)
        # Tasks run in the order given, so the first one was running when the worker died.
        suspect = next(iter(worker.queue), None)
        for task, promised in worker.queue.items():
            self.ledger.promised -= promised
            run = self.runs[task.run]
            run.outside -= 1
            self._back_to_ready(run, run.stages[task.stage], task.task)
        for task, promised in worker.leftover.items():
            self.ledger.promised -= promised
            if not worker.frozen and task.run in self.runs:
                self.runs[task.run].outside -= 1
            if worker.frozen and suspect is None and task not in worker.told:
                suspect = task
        if suspect is not None:
            self._blame(suspect)
        self._settle_all()

    def _back_to_ready(self, run: RunRecord, record: StageRecord, task: int) -> None:
        move(record, task, READY)
        run.push(record, task)

    def _blame(self, task: TaskId) -> None:
        """A worker was lost with a task on it."""
        run = self.runs.get(task.run)
        if run is None or run.outcome or run.stages[task.stage].state[task.task] > PARKED:
            return
        key = (task.stage, task.task)
        run.lives[key] = run.lives.get(key, 0) + 1
        if run.lives[key] >= MOST_LIVES:
            stage = run.stages[task.stage].stage
            error = (
                f"WorkerLost: {run.lives[key]} workers in turn died or froze while they ran "
                f"{stage.name!r}, task {task.task + 1} of {stage.n_tasks}"
            )
            self._begin_end(run, "failed", error, task)

    def _frozen(self, signal: Frozen) -> None:
        worker = self.workers.get(signal.worker)
        if worker is None or worker.frozen:
            return
        worker.frozen = True
        self.free.pop(signal.worker, None)
        for task in worker.leftover:
            if task.run in self.runs:
                self.runs[task.run].outside -= 1
        for task, promised in worker.queue.items():
            run = self.runs[task.run]
            run.outside -= 1
            worker.leftover[task] = promised
            self._back_to_ready(run, run.stages[task.stage], task.task)
        worker.queue.clear()
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
            if run is not None and self._still_wanted(run, task):
                # Nobody took it meanwhile.
                del worker.leftover[task]
                worker.queue[task] = promised
                move(run.stages[task.stage], task.task, RUNNING)
            else:
                worker.told[task] = None
                self._actions.append(Stop(worker.number, task))
        self._free_slot(worker)

    def _still_wanted(self, run: RunRecord, task: TaskId) -> bool:
        record = run.stages[task.stage]
        return (
            not run.outcome
            and record.state[task.task] == READY
            and not policy.absent_inputs(run.stages, record, task.task)
        )

    def _free_slot(self, worker: WorkerRecord) -> None:
        if not worker.frozen and len(worker.queue) + len(worker.leftover) < self._queue:
            self.free[worker.number] = worker

    # Tasks ----------------------------------------------------------------------------------

    def _task_done(self, signal: TaskDone) -> None:
        worker = self.workers.get(signal.worker)
        task = signal.task
        promised = None if worker is None else worker.queue.pop(task, None)
        if worker is None or promised is None:
            self._late(worker, task, signal)
            return
        self.ledger.promised -= promised
        if len(worker.queue) + len(worker.leftover) < self._queue:
            self.free[worker.number] = worker
        run = self.runs[task.run]
        run.outside -= 1
        self._finish(run, run.stages[task.stage], task.task, signal)
        if not run.undelivered:
            self._settle(run)

    def _finish(self, run: RunRecord, record: StageRecord, task: int, signal: TaskDone) -> None:
        nbytes = signal.nbytes
        self.ledger.measure(record, nbytes, signal.peak)
        move(record, task, HELD)
        record.nbytes += nbytes
        record.size[task] = nbytes
        self.ledger.held += nbytes
        delivered = record.delivered
        if delivered is not None and not delivered[task]:
            delivered[task] = 1
            run.undelivered -= 1
            self._actions.append(Deliver(signal.task))
        self._appeared(run, record, task)
        self._release_inputs(run, record, task)
        if not policy.is_needed(run.stages, record, task):
            self._let_go(run, record, task)
        elif record.watches:
            self._seen(run, record, task)

    def _late(self, worker: WorkerRecord | None, task: TaskId, done: TaskDone | None) -> None:
        """A task ended that is no longer the worker's own."""
        run = self.runs.get(task.run)
        promised = None if worker is None else worker.leftover.pop(task, None)
        if worker is not None and promised is not None:
            self.ledger.promised -= promised
            worker.told.pop(task, None)
            if run is not None and not worker.frozen:
                run.outside -= 1
            self._free_slot(worker)
        if done is not None:
            record = None if run is None else run.stages[task.stage]
            if record is None or not HELD <= record.state[task.task] < LOST:
                wanted = run is not None and promised is not None and not run.outcome
                if run and record and wanted and record.state[task.task] == READY:
                    self._finish(run, record, task.task, done)
                else:
                    self._actions.append(Drop(task))
        if run is not None:
            self._settle(run)

    def _task_failed(self, signal: TaskFailed) -> None:
        worker = self.workers.get(signal.worker)
        task = signal.task
        promised = None if worker is None else worker.queue.pop(task, None)
        if worker is None or promised is None:
            self._late(worker, task, None)
            return
        self.ledger.promised -= promised
        self._free_slot(worker)
        run = self.runs[task.run]
        run.outside -= 1
        if signal.replan:
            move(run.stages[task.stage], task.task, PARKED)
            run.reports.append((task.stage, task.task))
            self._report(run)
        else:
            self._begin_end(run, "failed", "", task)

    def _stopped(self, signal: Stopped) -> None:
        worker = self.workers.get(signal.worker)
        promised = None if worker is None else worker.queue.pop(signal.task, None)
        if worker is None or promised is None:
            self._late(worker, signal.task, None)
            return
        # It gave up a task unasked: somebody else may have it.
        self.ledger.promised -= promised
        self._free_slot(worker)
        run = self.runs[signal.task.run]
        run.outside -= 1
        self._back_to_ready(run, run.stages[signal.task.stage], signal.task.task)

    # Values that come and go ----------------------------------------------------------------

    def _appeared(self, run: RunRecord, record: StageRecord, task: int) -> None:
        """A value exists that did not: count it off for whoever reads it."""
        stages = run.stages
        for w in record.wires_out:
            reader = stages[w.consumer]
            state, pending = reader.state, reader.pending
            for i in (task,) if w.same else w.readers(task):
                s = state[i]
                if s == WAITING:
                    left = pending[i] - 1
                    pending[i] = left
                    if not left and not reader.closed:
                        move(reader, i, READY)
                        run.push(reader, i)
                elif s == PARKED:
                    pending[i] -= 1
        for w in record.common_out:
            if w.covers(task):
                reader = stages[w.consumer]
                reader.gates[w.slot] -= 1
                if not reader.gates[w.slot]:
                    reader.closed -= 1
                    if not reader.closed:
                        become_ready(run, reader)

    def _vanished(self, run: RunRecord, record: StageRecord, task: int) -> None:
        """A value that existed does not any more: whoever reads it must wait for it again."""
        stages = run.stages
        for w in record.wires_out:
            reader = stages[w.consumer]
            for i in w.readers(task):
                s = reader.state[i]
                if s <= READY or s == PARKED:
                    reader.pending[i] += 1
                    if s == READY:
                        move(reader, i, WAITING)
        for w in record.common_out:
            if w.covers(task):
                self._close(stages[w.consumer], w.slot)

    def _close(self, reader: StageRecord, slot: int) -> None:
        reader.gates[slot] += 1
        if reader.gates[slot] > 1:
            return
        reader.closed += 1
        if reader.closed == 1 and reader.undone:
            at = reader.state.find(READY)
            while at >= 0:
                move(reader, at, WAITING)
                at = reader.state.find(READY, at + 1)

    def _release_inputs(self, run: RunRecord, record: StageRecord, task: int) -> None:
        """A task reads its inputs no more."""
        stages = run.stages
        for w in record.wires_in:
            producer = stages[w.producer]
            uses = producer.uses
            for j in (task,) if w.same else w.reads(task):
                left = uses[j] - 1
                uses[j] = left
                if not left and not policy.is_needed(stages, producer, j):
                    self._let_go(run, producer, j)
        if record.common_in and not record.undone:
            for w in record.common_in:
                producer = stages[w.producer]
                for j in list(policy.block_of(w, producer)):
                    if not policy.is_needed(stages, producer, j):
                        self._let_go(run, producer, j)

    def _let_go(self, run: RunRecord, record: StageRecord, task: int) -> None:
        """Nobody needs a value: drop it, or do not make it."""
        state = record.state[task]
        if state in (HELD, SPILLED, LOST):
            nbytes = record.size.pop(task)
            record.nbytes -= nbytes
            if state == HELD:
                self.ledger.held -= nbytes
            if state != LOST:
                self._actions.append(Drop(TaskId(run.number, record.number, task)))
            move(record, task, GONE)
            for w in record.common_out:
                if w.covers(task):
                    self._close(run.stages[w.consumer], w.slot)
        elif state <= FETCHING or state == PARKED:
            self._abandon(run, record, task)

    def _abandon(self, run: RunRecord, record: StageRecord, task: int) -> None:
        """Give up tasks nobody needs, and what was to be made for them alone. Never recurses."""
        stack = [(record, task)]
        while stack:
            record, task = stack.pop()
            state = record.state[task]
            if state == FETCHING:
                self._unfetch(TaskId(run.number, record.number, task))
                move(record, task, READY)
            elif state >= HELD:
                self._let_go(run, record, task)
                continue
            elif state == RUNNING:
                continue
            move(record, task, GONE)
            for producer, j in self._inputs_left(run, record, task):
                stack.append((producer, j))

    def _inputs_left(
        self, run: RunRecord, record: StageRecord, task: int
    ) -> list[tuple[StageRecord, int]]:
        """Take a task off the uses of its inputs; return those nobody needs now."""
        stages = run.stages
        found = []
        for w in record.wires_in:
            producer = stages[w.producer]
            for j in w.reads(task):
                producer.uses[j] -= 1
                if not policy.is_needed(stages, producer, j):
                    found.append((producer, j))
        if not record.undone:
            for w in record.common_in:
                producer = stages[w.producer]
                found += [
                    (producer, j)
                    for j in policy.block_of(w, producer)
                    if not policy.is_needed(stages, producer, j)
                ]
        return found

    def _make_again(self, run: RunRecord, record: StageRecord, task: int) -> None:
        """A value that is lost or gone is needed: run its task again, and those below it."""
        stages = run.stages
        stack = [(record, task)]
        while stack:
            record, task = stack.pop()
            state = record.state[task]
            if state == LOST:
                record.nbytes -= record.size.pop(task)
                self._vanished(run, record, task)
            elif state != GONE:
                continue
            move(record, task, WAITING)
            pending = 0
            for w in record.wires_in:
                producer = stages[w.producer]
                for j in w.reads(task):
                    producer.uses[j] += 1
                    if not HELD <= producer.state[j] <= LOST:
                        pending += 1
                        stack.append((producer, j))
            for w in record.common_in:
                producer = stages[w.producer]
                if record.gates[w.slot]:
                    stack += [(producer, j) for j in policy.block_of(w, producer)]
            record.pending[task] = pending
            self._maybe_ready(run, record, task)

    def _maybe_ready(self, run: RunRecord, record: StageRecord, task: int) -> None:
        if not record.pending[task] and not record.closed:
            move(record, task, READY)
            run.push(record, task)

    # Spilling and loading -------------------------------------------------------------------

    def _spilled(self, signal: Spilled) -> None:
        run = self.runs.get(signal.task.run)
        if run is None:
            return
        record, task = run.stages[signal.task.stage], signal.task.task
        if record.state[task] != SPILLING:
            return
        run.outside -= 1
        size = record.size[task]
        self.spilling -= size
        if signal.ok:
            move(record, task, SPILLED)
            self.ledger.held -= size
        else:
            move(record, task, HELD)
            record.stuck[task] = None
        if self._is_over(run, record, task):
            return
        if not signal.ok:
            self._arrived(run, record, task)
        elif signal.task in self.awaited or record.pinned:
            self._load(run, record, task)

    def _loaded(self, signal: Loaded) -> None:
        run = self.runs.get(signal.task.run)
        if run is None:
            return
        record, task = run.stages[signal.task.stage], signal.task.task
        if record.state[task] != LOADING:
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
        for reader in self.awaited.pop(signal.task, []):
            if reader in self.fetching:
                self._unfetch(reader)
                self._back_to_ready(run, run.stages[reader.stage], reader.task)
        if record.pinned:
            self._make_again(run, record, task)

    def _is_over(self, run: RunRecord, record: StageRecord, task: int) -> bool:
        """After a spill or load: whether the value was given up meanwhile. Drops it if so."""
        if run.outcome:
            self._settle(run)
            return True
        if record.retracted:
            self._take_back(run, record, task)
            self._settle(run)
            return True
        if not policy.is_needed(run.stages, record, task):
            self._let_go(run, record, task)
            self._settle(run)
            return True
        return False

    def _arrived(self, run: RunRecord, record: StageRecord, task: int) -> None:
        """A value is in memory again."""
        for reader in self.awaited.pop(TaskId(run.number, record.number, task), []):
            fetch = self.fetching.get(reader)
            if fetch is not None:
                fetch.missing -= 1
                if not fetch.missing:
                    self.fetched.append(reader)
        if record.watches:
            self._seen(run, record, task)

    def _load(self, run: RunRecord, record: StageRecord, task: int) -> None:
        move(record, task, LOADING)
        self.ledger.held += record.size[task]
        run.outside += 1
        self._actions.append(Load(TaskId(run.number, record.number, task)))

    def _fetch(
        self,
        run: RunRecord,
        record: StageRecord,
        task: int,
        absent: list[tuple[StageRecord, int]],
        peak: int,
    ) -> None:
        """Bring a task's inputs into memory; it has its reservation and starts when all are."""
        name = TaskId(run.number, record.number, task)
        move(record, task, FETCHING)
        self.ledger.promised += peak
        self.fetching[name] = Fetch(peak, len(absent))
        for producer, j in absent:
            self.awaited.setdefault(TaskId(run.number, producer.number, j), []).append(name)
            if producer.state[j] == SPILLED:
                self._load(run, producer, j)

    def _unfetch(self, name: TaskId) -> None:
        self.ledger.promised -= self.fetching.pop(name).reserved
        for value, readers in list(self.awaited.items()):
            if name in readers:
                readers.remove(name)
                if not readers:
                    del self.awaited[value]

    # Runs -----------------------------------------------------------------------------------

    def _open_run(self, signal: OpenRun) -> None:
        if signal.run in self.runs:
            raise ValueError(f"run {signal.run} is open already")
        self.runs[signal.run] = RunRecord(signal.run)
        self.turn.append(signal.run)

    def _grown(self, signal: Grown) -> None:
        run = self.runs.get(signal.run)
        if run is None or run.outcome:
            return
        self._check_retracted(run, signal)
        new = append_stages(run, signal.stages)
        run.generation += 1
        for number, first in signal.watches:
            self._watch(run, run.stages[number], first)
        for number in signal.retract:
            run.stages[number].retracted = True
        for number in signal.retract:
            self._retract(run, run.stages[number])
        for number in signal.release:
            self._release(run, run.stages[number])
        for record in reversed(new):
            self._drop_unneeded(run, record)
        for record in new:
            self._revive_inputs(run, record)
        for record in new:
            if not record.closed:
                become_ready(run, record)
        run.sealed = signal.sealed
        run.asked = False
        if run.answering is not None:
            stage, task = run.answering
            run.answering = None
            if run.stages[stage].state[task] == PARKED:
                move(run.stages[stage], task, WAITING)
                self._maybe_ready(run, run.stages[stage], task)
        self._report(run)
        self._settle(run)

    def _check_retracted(self, run: RunRecord, signal: Grown) -> None:
        for number in signal.retract:
            record = run.stages[number]
            for w in record.wires_out + record.common_out:
                if w.consumer not in signal.retract and not run.stages[w.consumer].retracted:
                    raise ValueError(
                        f"stage {number} is retracted, but stage {w.consumer} that reads it is not"
                    )

    def _watch(self, run: RunRecord, record: StageRecord, first: int) -> None:
        if not record.keep:
            raise ValueError(f"stage {record.number} is watched but not kept")
        record.pinned = True
        first = min(first, record.n)
        watched = Watched(first, 0)
        for task in range(first):
            state = record.state[task]
            watched.left += state != HELD
            if state == SPILLED:
                self._load(run, record, task)
            elif state in (LOST, GONE):
                self._make_again(run, record, task)
        if watched.left:
            record.watches.append(watched)
        else:
            run.reports.append((record.number, None))

    def _seen(self, run: RunRecord, record: StageRecord, task: int) -> None:
        """A value of a watched stage is in memory."""
        for watched in list(record.watches):
            if task < watched.first:
                watched.left -= 1
                if not watched.left:
                    record.watches.remove(watched)
                    run.reports.append((record.number, None))
                    self._report(run)

    def _report(self, run: RunRecord) -> None:
        """Ask the job, unless it owes an answer."""
        while run.reports and not run.asked and not run.outcome:
            stage, task = run.reports.popleft()
            record = run.stages[stage]
            if record.retracted or (task is not None and record.state[task] != PARKED):
                continue
            run.asked = True
            failed = None
            if task is not None:
                failed = TaskId(run.number, stage, task)
                run.answering = (stage, task)
            self._actions.append(Report(run.number, stage, failed))

    def _release(self, run: RunRecord, record: StageRecord) -> None:
        record.keep = record.pinned = False
        record.watches.clear()
        for task in range(record.n):
            if not policy.is_needed(run.stages, record, task):
                self._let_go(run, record, task)

    def _drop_unneeded(self, run: RunRecord, record: StageRecord) -> None:
        if record.keep or record.delivered is not None or record.retracted:
            return
        stages = run.stages
        if any(w.block is None and stages[w.consumer].undone for w in record.common_out):
            return
        for task, uses in enumerate(record.uses):
            unmade = record.state[task] == WAITING
            if not uses and unmade and not policy.is_needed(stages, record, task):
                self._abandon(run, record, task)

    def _revive_inputs(self, run: RunRecord, record: StageRecord) -> None:
        """Values that an earlier step of the job used up and a new stage reads are made again."""
        for w in record.wires_in + record.common_in:
            producer = run.stages[w.producer]
            at = producer.state.find(GONE)
            while at >= 0:
                if policy.is_needed(run.stages, producer, at):
                    self._make_again(run, producer, at)
                at = producer.state.find(GONE, at + 1)

    def _retract(self, run: RunRecord, record: StageRecord) -> None:
        record.keep = record.pinned = False
        record.watches.clear()
        if record.delivered is not None:
            run.undelivered -= record.n - sum(record.delivered)
            record.delivered = None
        for worker in self.workers.values():
            mine = [t for t in worker.queue if t.run == run.number and t.stage == record.number]
            for name in mine:
                self._stop(worker, name)
        for task in range(record.n):
            self._take_back(run, record, task)

    def _take_back(self, run: RunRecord, record: StageRecord, task: int) -> None:
        """Drop a value of a retracted stage, or do not make it."""
        state = record.state[task]
        if state in (SPILLING, LOADING, RETRACTED):
            return
        if state == FETCHING:
            self._unfetch(TaskId(run.number, record.number, task))
            move(record, task, READY)
        if HELD <= state <= LOST:
            nbytes = record.size.pop(task)
            record.nbytes -= nbytes
            if state == HELD:
                self.ledger.held -= nbytes
            if state != LOST:
                self._actions.append(Drop(TaskId(run.number, record.number, task)))
        move(record, task, RETRACTED)
        if state <= PARKED:
            for producer, j in self._inputs_left(run, record, task):
                if not producer.retracted:
                    self._let_go(run, producer, j)

    def _stop(self, worker: WorkerRecord, name: TaskId) -> None:
        worker.leftover[name] = worker.queue.pop(name)
        worker.told[name] = None
        self._actions.append(Stop(worker.number, name))

    def _set_limit(self, signal: SetLimit) -> None:
        self.ledger.limit = signal.limit
        self.can_spill = signal.can_spill

    def _set_queue(self, signal: SetQueue) -> None:
        self.queue = signal.tasks

    # Ends -----------------------------------------------------------------------------------

    def _cancel(self, signal: Cancel | CloseRun) -> None:
        run = self.runs.get(signal.run)
        if run is not None:
            self._begin_end(run, "cancelled")

    def _fail(self, signal: Fail) -> None:
        run = self.runs.get(signal.run)
        if run is not None:
            self._begin_end(run, "failed", "", self._asked_about(run))

    def _asked_about(self, run: RunRecord) -> TaskId | None:
        return None if run.answering is None else TaskId(run.number, *run.answering)

    def _begin_end(
        self, run: RunRecord, outcome: str, error: str = "", culprit: TaskId | None = None
    ) -> None:
        """Stop everything of a run; it ends when nothing of it is in other hands."""
        if run.outcome:
            return
        run.outcome, run.error, run.culprit = outcome, error, culprit
        run.queue.clear()
        run.reports.clear()
        self.turn.remove(run.number)
        for worker in self.workers.values():
            for name in [t for t in worker.queue if t.run == run.number]:
                self._stop(worker, name)
        for name in [t for t in self.fetching if t.run == run.number]:
            self._unfetch(name)
        self.fetched = deque(t for t in self.fetched if t.run != run.number)
        if self.blocked is not None and self.blocked.run == run.number:
            self.blocked = None
        self._settle(run)

    def _settle_all(self) -> None:
        for run in list(self.runs.values()):
            self._settle(run)

    def _settle(self, run: RunRecord) -> None:
        """End a run whose work is done, and one that was to end and has nothing outside."""
        if not run.outcome:
            over = run.sealed and not run.undelivered and not run.asked and not run.reports
            if over and not any(record.watches for record in run.stages):
                self._begin_end(run, "done")
            return
        if run.outside or run.number not in self.runs:
            return
        for record in run.stages:
            for task, nbytes in record.size.items():
                state = record.state[task]
                if state == HELD:
                    self.ledger.held -= nbytes
                if state in (HELD, SPILLED):
                    self._actions.append(Drop(TaskId(run.number, record.number, task)))
        del self.runs[run.number]
        self._actions.append(End(run.number, run.outcome, run.error, run.culprit))

    # Giving out -----------------------------------------------------------------------------

    def _dispatch(self) -> None:
        while self.free:
            if self.fetched:
                name = self.fetched.popleft()
                fetch = self.fetching.pop(name, None)
                if fetch is not None:
                    run = self.runs[name.run]
                    self._start(run, run.stages[name.stage], name.task, fetch.reserved, name)
            elif not self._give_out():
                return

    def _give_out(self) -> bool:
        """Start one task, or bring its inputs; False if nothing can be done now."""
        if self.fetching and len(self.fetching) >= self._free_slots():
            return False
        if self.blocked is not None:
            return self._unblock(self.blocked)
        for _ in range(len(self.turn)):
            run = self.runs[self.turn[0]]
            head = run.first_ready()
            if head is None:
                self.turn.rotate(-1)
                continue
            record, task = head
            absent = policy.absent_inputs(run.stages, record, task)
            if absent and self._remake(run, absent):
                return True
            inputs = inputs_of(run.stages, record, task)
            forecast = self.ledger.predict(record, task, inputs)
            if self._fits(record, forecast, absent):
                self._go(run, record, task, forecast, absent)
                self.turn.rotate(-1)
                return True
            self.blocked, self.overtaken = TaskId(run.number, record.number, task), 0
            return self._unblock(self.blocked)
        return False

    def _free_slots(self) -> int:
        return sum(self._queue - len(w.queue) - len(w.leftover) for w in self.free.values())

    def _remake(self, run: RunRecord, absent: list[tuple[StageRecord, int]]) -> bool:
        """Begin to make the lost among the inputs again; their reader waits meanwhile."""
        lost = [(producer, j) for producer, j in absent if producer.state[j] == LOST]
        for producer, j in lost:
            self._make_again(run, producer, j)
        return bool(lost)

    def _fits(
        self, record: StageRecord, forecast: Forecast, absent: list[tuple[StageRecord, int]]
    ) -> bool:
        if absent:
            to_load = sum(p.size[j] for p, j in absent if p.state[j] == SPILLED)
            if forecast.peak + to_load > self.ledger.room:
                return False
        return self.ledger.allows(record, forecast)

    def _go(
        self,
        run: RunRecord,
        record: StageRecord,
        task: int,
        forecast: Forecast,
        absent: list[tuple[StageRecord, int]],
    ) -> None:
        if absent:
            self._fetch(run, record, task, absent, forecast.peak)
        else:
            name = TaskId(run.number, record.number, task)
            self._start(run, record, task, forecast.peak, name)
            self.ledger.promised += forecast.peak

    def _start(
        self, run: RunRecord, record: StageRecord, task: int, promised: int, name: TaskId
    ) -> None:
        """Give a task to the worker that has been free for longest; its memory is promised."""
        number, worker = next(iter(self.free.items()))
        move(record, task, RUNNING)
        worker.queue[name] = promised
        run.outside += 1
        del self.free[number]
        if len(worker.queue) + len(worker.leftover) < self._queue:
            self.free[number] = worker
        self._actions.append(Run(number, name))

    # Memory ---------------------------------------------------------------------------------

    def _unblock(self, name: TaskId) -> bool:
        """Try the head of the queue that did not fit; make room for it; else let others pass."""
        run = self.runs[name.run]
        record, task = run.stages[name.stage], name.task
        if record.state[task] != READY:
            self.blocked = None
            return True
        absent = policy.absent_inputs(run.stages, record, task)
        if absent and self._remake(run, absent):
            return True
        inputs = inputs_of(run.stages, record, task)
        forecast = self.ledger.predict(record, task, inputs)
        alone = not self.fetching and not any(r.outside for r in self.runs.values())
        if not self._fits(record, forecast, absent):
            self._make_room(run, record, task, forecast, absent, alone=alone)
            if not self._fits(record, forecast, absent):
                if not alone:
                    return self._let_pass(run, name)
                if self.spilling:
                    return False
                if forecast.inputs + forecast.known * forecast.output > self.ledger.limit:
                    self._begin_end(run, "failed", self._too_large(record, task, forecast), name)
                    return True
        self.blocked = None
        self._go(run, record, task, forecast, absent)
        return True

    def _too_large(self, record: StageRecord, task: int, forecast: Forecast) -> str:
        output = f" and makes {format_bytes(forecast.output)}" if forecast.known else ""
        return (
            f"TaskMemoryError: {record.stage.name!r}, task {task + 1} of {record.n}, reads "
            f"{format_bytes(forecast.inputs)}{output} at once, but the memory limit is "
            f"{format_bytes(self.ledger.limit)}; use smaller partitions or chunks, or raise "
            "memory_limit"
        )

    def _make_room(
        self,
        run: RunRecord,
        record: StageRecord,
        task: int,
        forecast: Forecast,
        absent: list[tuple[StageRecord, int]],
        *,
        alone: bool,
    ) -> None:
        """Spill or drop values that are needed after a task, or any if nothing else runs."""
        to_load = sum(p.size[j] for p, j in absent if p.state[j] == SPILLED)
        missing = forecast.peak + to_load - self.ledger.room - self.spilling
        if missing <= 0 or not (self.can_spill or self.can_recompute):
            return
        pins = self._pins()
        pins.add_inputs(run, record, task)
        position = record.position[task]
        queue = policy.victims(self.runs, pins, spill=self.can_spill)
        while queue and missing > 0:
            when, run_number, stage, j = queue.pop()
            if when <= position and not alone:
                return
            owner = self.runs[run_number]
            missing -= self._evict(owner, owner.stages[stage], j)

    def _pins(self) -> policy.Pins:
        pins = policy.Pins()
        given = [t for w in self.workers.values() for t in w.queue]
        for name in [*given, *self.fetching]:
            run = self.runs[name.run]
            pins.add_inputs(run, run.stages[name.stage], name.task)
        return pins

    def _evict(self, run: RunRecord, record: StageRecord, task: int) -> int:
        """Let a value leave memory; return its bytes, or 0 if it cannot."""
        name = TaskId(run.number, record.number, task)
        nbytes = record.size[task]
        if self.can_spill and task not in record.stuck:
            move(record, task, SPILLING)
            run.outside += 1
            self.spilling += nbytes
            self._actions.append(Spill(name))
            return nbytes
        if not (self.can_recompute and policy.may_be_dropped(record, task)):
            return 0
        if not policy.can_be_made_again(run.stages, record, task, self.ledger):
            return 0
        record.dropped[task] = record.dropped.get(task, 0) + 1
        self.ledger.held -= nbytes
        move(record, task, LOST)
        self._actions.append(Drop(name))
        return nbytes

    def _let_pass(self, blocked_run: RunRecord, blocked: TaskId) -> bool:
        """Start a task behind the head of the queue, if the head does not lose by it."""
        for number in list(self.turn):
            run = self.runs[number]
            at = (blocked.stage, blocked.task) if run is blocked_run else (-1, -1)
            with contextlib.closing(policy.candidates(run, at)) as queue:  # type: ignore[type-var]
                for record, task in queue:
                    if policy.absent_inputs(run.stages, record, task):
                        continue
                    inputs = inputs_of(run.stages, record, task)
                    forecast = self.ledger.predict(record, task, inputs)
                    if not self.ledger.allows(record, forecast):
                        continue
                    frees = policy.frees_more_than_it_makes(run.stages, record, task, forecast)
                    if not frees and self.overtaken >= policy.MOST_OVERTAKEN:
                        continue
                    self.overtaken += not frees
                    self._go(run, record, task, forecast, [])
                    return True
        return False


_HANDLERS: Final[dict[type, Callable[[Machine, Any], None]]] = {
    TaskDone: Machine._task_done,  # noqa: SLF001 - the class's own methods
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
    Cancel: Machine._cancel,  # noqa: SLF001
    Fail: Machine._fail,  # noqa: SLF001
    CloseRun: Machine._cancel,  # noqa: SLF001
    SetLimit: Machine._set_limit,  # noqa: SLF001
    SetQueue: Machine._set_queue,  # noqa: SLF001
}
