"""Drives one scheduler: performs its actions, feeds it signals.

Everything here happens on the loop's thread, but for what says otherwise. The driver decides
nothing: the machine says what runs, the job says what there is to run. Who runs tasks and where
values lie is said by those made from it: ``KernelDriver`` for threads of this process, the pool's
for others.
"""

from __future__ import annotations

import abc
import collections
import time
from collections.abc import Callable, Mapping
from typing import Any

from nbscale.engines import limits
from nbscale.engines.loop import Loop, report_error
from nbscale.engines.running import Running
from nbscale.errors import Stuck
from nbscale.graph.job import Done, Replan, Reply
from nbscale.history.recording import FREE, MEMORY, SPILL
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
    Signal,
    Stop,
    Substitute,
    TaskFailed,
    TaskId,
    WorkerJoined,
    WorkerLeft,
)
from nbscale.scheduler.protocol import (
    Deliver as Delivered,
)

__all__ = ["Driver"]


class Driver(abc.ABC):
    """One machine and its runs.

    Parameters
    ----------
    loop
        Whose thread everything happens on.
    limit
        Bytes that the work may use.
    """

    _wanted: int
    """How many tasks are to run at the same time."""

    def __init__(self, loop: Loop, limit: int) -> None:
        self._loop = loop
        self._limit = limit
        self._can_spill = False
        self._runs: dict[int, Running] = {}
        self._kept_back = FREE
        self._signals: collections.deque[Signal] = collections.deque()
        self._machine = self._new_machine()
        self._perform: Mapping[type[Any], Callable[[Any], None]] = {
            Run: self._give,
            Stop: self._stop,
            Substitute: self._substitute,
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

    def cancel_all(self) -> None:
        """Stop every run."""
        self._loop.post(self._guarded, self._cancel_all)

    # Who runs tasks, and where values lie -----------------------------------------------------

    @abc.abstractmethod
    def _new_machine(self) -> Machine:
        """A machine that knows the workers there are; after a mistake, for the second time."""

    @abc.abstractmethod
    def _give(self, action: Run) -> None:
        """Give a task to its worker."""

    @abc.abstractmethod
    def _stop(self, action: Stop) -> None:
        """Make a worker give up a task."""

    @abc.abstractmethod
    def _put(self, task: TaskId, value: Any) -> None:
        """Put a small value in the place of that of a task; the scheduler says what comes of it."""

    @abc.abstractmethod
    def _drop(self, action: Drop) -> None:
        """A value is needed no more."""

    @abc.abstractmethod
    def _delivered(self, action: Delivered) -> None:
        """Give the user a value."""

    @abc.abstractmethod
    def _is_idle(self) -> bool:
        """Whether nothing is under way that could still change anything."""

    @abc.abstractmethod
    def _grow(self, run: Running, reply: Any) -> Grown:
        """Make the new stages of a run ready."""

    @abc.abstractmethod
    def _joined(self, run: Running) -> None:
        """A run has begun."""

    @abc.abstractmethod
    def _left(self, run: Running) -> None:
        """A run has ended: forget its values."""

    # The way in and out ---------------------------------------------------------------------

    def _guarded(self, call: Callable[..., None], *args: Any) -> None:
        """Do what was posted and all that follows; a mistake of ours ends the runs, named."""
        try:
            call(*args)
            self._go()
            self._mark()
            if self._runs and self._is_idle():
                self._stuck()
            ledger = self._machine.ledger
            for run in self._runs.values():
                run.tell_memory(ledger.held, self._limit)
        except BaseException as error:  # noqa: BLE001 - the runs' callers wait and must be told
            self._break(error)

    def _go(self) -> None:
        signals = self._signals
        while signals:
            signal = signals.popleft()
            if isinstance(signal, (WorkerJoined, WorkerLeft)):
                here = isinstance(signal, WorkerJoined)
                notes = {id(run.recording): run.recording for run in self._runs.values()}
                for note in notes.values():  # parts of one run share it
                    note.worker(time.monotonic(), signal.worker, present=here)
            self._do(self._machine.handle(signal))

    def _mark(self) -> None:
        """Note what keeps tasks that are ready from being given out, when that changes."""
        machine = self._machine
        state = FREE
        if machine.spilling or machine.fetching:
            state = SPILL
        elif machine.blocked is not None:
            state = MEMORY
        if state != self._kept_back:
            self._kept_back = state
            for run in self._runs.values():
                run.recording.mark(time.monotonic(), state)

    def _do(self, actions: list[Action]) -> None:
        perform = self._perform
        for action in actions:
            perform[type(action)](action)

    def _raised(self, run: Running, worker: int, task: TaskId, error: BaseException) -> None:
        """A task raised."""
        run.errors[task] = error
        self._signals.append(TaskFailed(worker, task, isinstance(error, Replan)))

    def _substitute(self, action: Substitute) -> None:
        """A task fails alone: what stands for its error is its value."""
        task = action.task
        run = self._runs[task.run]
        error = run.error_of(task, action.error)
        self._put(task, run.works[task.stage].stage.substitute(error))

    # Runs -----------------------------------------------------------------------------------

    def _open(self, run: Running, reply: Reply, limit: int | None) -> None:
        if run.opened:
            return
        self._runs[run.number] = run
        if limit is not None and limit != self._limit:
            self._limit = limit
            self._signals.append(SetLimit(limit, self._can_spill))
        run.begin()
        now, note = time.monotonic(), run.recording
        machine = self._machine
        if not (run.info.part and note.workers):
            note.begin(
                now, self._wanted, machine.workers, self._limit,
                can_spill=machine.can_spill, cores=limits.cores(),
            )  # fmt: skip
        note.mark(now, self._kept_back)
        self._signals.append(OpenRun(run.number))
        self._joined(run)
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
            self._signals.append(self._grow(run, reply))
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

    # Actions --------------------------------------------------------------------------------

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
        failed = error is not None and action.outcome == "done"
        self._close(run, "failed" if failed else action.outcome, error)

    def _close(self, run: Running, outcome: str, error: BaseException | None) -> None:
        del self._runs[run.number]
        self._left(run)
        run.finish(outcome, error)

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
