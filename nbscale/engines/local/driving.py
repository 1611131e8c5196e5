"""Drives a scheduler whose tasks are run by the processes of a pool."""

from __future__ import annotations

import contextlib
import functools
import itertools
import pickle
import sys
from pathlib import Path
from typing import Any

from nbscale.engines import failure
from nbscale.engines.local.blame import lost, unsendable
from nbscale.engines.local.crew import Crew
from nbscale.engines.local.pace import Pace
from nbscale.engines.local.remote import Remote
from nbscale.engines.local.shortage import ended, is_short, too_much
from nbscale.engines.local.showing import Showing
from nbscale.engines.local.spilling import Spilling
from nbscale.engines.local.terms import INLINE
from nbscale.engines.loop import Loop
from nbscale.engines.running import Running
from nbscale.errors import RunCancelled, Stuck
from nbscale.events import TaskEnded, TaskStarted
from nbscale.graph.job import Grow
from nbscale.graph.stage import Stage
from nbscale.scheduler.machine import Machine
from nbscale.scheduler.protocol import (
    Deliver,
    Drop,
    End,
    Grown,
    Kill,
    Load,
    Loaded,
    Run,
    SetLimit,
    SetQueue,
    Spill,
    Spilled,
    Stop,
    Stopped,
    Substitute,
    TaskDone,
    TaskFailed,
    TaskId,
    TasksDone,
    Unreadable,
)
from nbscale.store.codec import dumps, encode
from nbscale.store.segments import Extent, Segments

__all__ = ["PoolDriver"]

GRACE = 1.0
"""Seconds a task has after SIGINT before its worker is killed."""

_PAUSE = 0.005
"""Seconds a worker has nothing to do before others are asked for some of theirs."""

_BLOB = 64 << 10
"""Bytes up to which a program travels in a message."""

_REST = 2.0
"""Seconds after the end of a run until memory that is kept for the next is given back."""

_SLACK = 5
"""Powers of two: that part of the limit each worker may keep of what its tasks gave back."""

_named = tuple.__new__  # half the time of the constructor of a named tuple


class PoolDriver(Crew):
    """One machine, its runs, and a pool of processes.

    Parameters
    ----------
    loop
        Whose thread everything happens on.
    limit
        Bytes that the work may use.
    workers
        How many processes run tasks.
    """

    def __init__(self, loop: Loop, limit: int, workers: int) -> None:
        self._keys = itertools.count(1)
        self._pace = Pace()
        self._balancing = self._resting = False
        super().__init__(loop, limit, workers)
        post = functools.partial(loop.post, self._guarded)
        self._returned = functools.partial(post, self.segments.take_back)
        self._spilling = Spilling(self.segments, self._answer, self._retired, post)
        self._showing = Showing(self.pool.show, self._retired, post)
        self._perform = {
            **self._perform,
            Kill: lambda action: self._kill(action.worker),
            Spill: self._spill,
            Load: self._load,
        }

    # From any thread ------------------------------------------------------------------------

    def start(self) -> None:
        """Start the processes; returns at once."""
        self._loop.post(self._guarded, self._fill)

    def close(self, closed: Any) -> None:
        """End the processes and give everything back, then call ``closed``."""
        self._loop.post(self._close_all, closed)

    def scale(self, workers: int) -> None:
        """Change how many processes run tasks."""
        self._loop.post(self._guarded, self._scale, workers)

    def spill_to(self, folder: Path | None) -> None:
        """Write values to a folder that do not fit in memory, or to none, from now on."""
        self._loop.post(self._guarded, self._spill_to, folder)

    # The way in and out ---------------------------------------------------------------------

    def _guarded(self, call: Any, *args: Any) -> None:
        super()._guarded(call, *args)
        if self._busy and not self._balancing and self._uneven():
            self._balancing = True
            self._loop.after(_PAUSE, self._guarded, self._balance)
        self._mail.send()

    # Tasks ----------------------------------------------------------------------------------

    def _give(self, action: Run) -> None:
        number, stage, task = action.task
        remote = self._runs[number].works[stage]
        worker = action.worker
        if worker not in self._given:
            return  # several died at once, and the machine is about to be told of this one
        mail = self._mail.to(worker)
        if worker not in remote.known:
            remote.settle_pieces(self._limit)
            remote.known.add(worker)
            mail.stages.append(self._introduced(remote, worker))
        inputs: Any = ()
        if remote.feeds:
            inputs = remote.inputs(task)
            for refs in inputs:
                if type(refs) is not bytes:
                    self._show(refs, worker)
        grant = room = None
        expected = remote.expected
        if expected is not None and expected > INLINE:
            grant = self._grant(remote, expected)
            room = tuple(grant)
            self.pool.show(worker, grant.segment, self.segments.fd(grant.segment))
        self._given[worker][remote.key, task] = grant
        self._busy += 1
        fence = self._fence(remote, action) if remote.stage.user_code else 0
        mail.tasks.append((remote.key, task, remote.index(task), inputs, room, fence))

    def _fence(self, remote: Remote, action: Run) -> int:
        """Bytes at which a task of the user's gets a MemoryError, instead of the kernel its end.

        Half as much again as was foreseen, and never less than a quarter of the limit more; the
        whole limit where nothing is known of its like.
        """
        foreseen = self._machine.workers[action.worker].queue.get(action.task, 0)
        if not remote.is_measured:
            return max(foreseen, self._limit)
        return max(foreseen + foreseen // 2, foreseen + self._limit // 4)

    def _introduced(self, remote: Remote, worker: int) -> Any:
        """The message that tells a worker of a stage."""
        blob, stage = remote.blob, remote.stage
        if type(blob) is tuple:
            self._show(blob, worker)
        self._showing.show(stage.shared, worker)
        deliveries = tuple(edge.delivery for edge in stage.edges)
        slack = self._limit >> _SLACK
        return ("stage", remote.key, blob, deliveries, remote.in_pieces, stage.user_code, slack)

    def _show(self, refs: Any, worker: int) -> None:
        """Give a worker the descriptors of what its references lie in."""
        if type(refs) is list:
            for ref in refs:
                if type(ref) is tuple:
                    self._show(ref, worker)
        elif type(refs) is tuple:
            if len(refs) == 2:
                self._show(refs[0], worker)
            elif len(refs) == 3:
                self.pool.show(worker, refs[0], self._spilling.fd(refs[0]))
            else:
                self.pool.show(worker, refs[0], self.segments.fd(refs[0]))

    def _grant(self, remote: Remote, expected: float) -> Extent:
        """Memory for what a task will make."""
        return self.segments.grant(int(expected * 1.1) + 4096, lasting=remote.is_lasting)

    def _is_idle(self) -> bool:
        return not (self._busy or self.pool.starting or self._spilling.under_way)

    def _heard(self, number: int, messages: list[Any]) -> None:
        self._guarded(self._hear, number, messages)

    def _hear(self, number: int, messages: list[Any]) -> None:
        if number not in self._given or number in self._doomed:
            return  # it is being replaced
        self._recalled.discard(number)
        self._watchdog.heard(number)
        for message in messages:
            kind = message[0]
            if kind == "done":
                self._take(number, message[1])
            elif kind == "spent":
                for key, spent in message[1]:
                    remote = self._stages.get(key)
                    if remote is not None:
                        remote.run.recording.steps(remote.stage.number, spent)
            elif kind == "released":
                for extent in message[1]:
                    self._unlease(number, Extent(*extent))
            elif kind == "print":
                _, _, stream, text = message
                with contextlib.suppress(Exception):  # whatever took the place of the stream
                    getattr(sys, stream).write(text)
        if self._given.get(number) == {} and self.pool.is_outdated(number):
            self._dismiss(number)
            if self._runs:
                self._fill()  # at once: while no other comes, it would look as if nothing could move

    def _take(self, number: int, items: list[Any]) -> None:
        """Take what became of tasks."""
        given = self._given[number]
        done: list[TaskDone] = []
        count, seconds = 0, 0.0
        for item in items:
            key, task = item[0], item[1]
            remote = self._stages[key]
            grant = given.pop((key, task))
            self._busy -= 1
            name = _named(TaskId, (remote.run.number, remote.stage.number, task))
            if len(item) == 9:
                count += 1
                seconds += item[3] - item[2]
                if task in remote.table:
                    # Another was first: what is done already may be why that value goes.
                    done = self._hand_over(done)
                remote.run.recording.task(
                    True,
                    remote.stage.number,
                    task + remote.first,
                    number,
                    item[2],
                    item[3],
                    item[5],
                )
                self._keep(remote, number, item, grant)
                done.append(TaskDone(number, name, item[5], item[7]))
            else:
                if grant is not None:
                    self.segments.free(grant)
                if item[-1] is not None:
                    self._lease(number, item[-1])
                if len(item) == 7:
                    error = failure.unpack(item[4])
                    remote.run.recording.task(
                        False, remote.stage.number, task + remote.first, number, item[2], item[3], 0
                    )
                    self._tell(remote, task, number, item[2], item[3], 0, error)
                    if is_short(error):
                        self._ran_out(remote.run, number, name, error, item[5])
                    else:
                        self._raised(remote.run, number, name, error)
                    continue
                if len(item) == 4:
                    self._spilling.unreadable(item[2])
                self._signals.append(Stopped(number, name))
        self._hand_over(done)
        if count and self._pace.took(seconds / count):
            self._signals.append(SetQueue(self._pace.ahead))

    def _ran_out(
        self, run: Running, worker: int, task: TaskId, error: BaseException, peak: int
    ) -> None:
        """There was not enough memory for a task: it is tried again alone, and then told of."""
        if self._machine.is_last_attempt(task):
            foreseen = self._machine.foreseen(task)
            run.errors[task] = too_much(error, peak, foreseen, self._limit)
        self._signals.append(TaskFailed(worker, task, memory=True))

    def _hand_over(self, done: list[TaskDone]) -> list[TaskDone]:
        """Tell the scheduler of tasks that are done; an empty list for the next."""
        if done:
            self._do(self._machine.handle(TasksDone(tuple(done))))
        return []

    def _keep(self, remote: Remote, number: int, item: Any, grant: Extent | None) -> None:
        """Put the value of a task that is done into its table."""
        _, task, start, stop, rows, nbytes, kept, _, held = item
        value = kept
        if type(kept) is tuple:
            value = self._stored(number, kept, grant, remote.is_lasting)
        elif grant is not None:
            self.segments.free(grant)
        if held is not None:
            self._lease(number, held)
        if remote.wire is not None:
            self._tell(remote, task, number, start, stop, nbytes, None)
        if remote.sizes is not None:
            remote.sizes[task] = (rows, nbytes)
        remote.expect(len(value) if type(value) is bytes else _size(value))
        if task in remote.table:
            _free(self.segments, value)  # another worker was first
        else:
            remote.table[task] = value

    def _stored(self, number: int, kept: Any, grant: Extent | None, lasting: bool) -> Any:
        """The handle of a value, from where its worker says that it put it."""
        if kept[0] == "grant":
            assert grant is not None
            extent = self.segments.shrink(grant, kept[1])
        else:
            if grant is not None:
                self.segments.free(grant)
            segment, fd = self.pool.receive(number)
            assert segment == kept[3]
            extent = self.segments.adopt(segment, fd, kept[1], lasting=lasting)
        return (*extent, True) if kept[2] == "pieces" else tuple(extent)

    def _tell(
        self,
        remote: Remote,
        task: int,
        worker: int,
        start: float,
        stop: float,
        nbytes: int,
        error: BaseException | None,
    ) -> None:
        wire = remote.wire
        if wire is not None:
            stage, run = remote.stage.number, remote.number
            task += remote.first
            name = None if error is None else type(error).__name__
            wire.put(TaskStarted(run, stage, task, worker, start))
            wire.put(TaskEnded(run, stage, task, worker, start, stop, nbytes, name))

    def _uneven(self) -> bool:
        """Whether a worker has nothing to do while tasks wait at another."""
        given = self._given
        return not all(given.values()) and any(
            len(tasks) > 1 and number not in self._recalled for number, tasks in given.items()
        )

    def _balance(self) -> None:
        """Some have nothing to do: have tasks back that wait behind one that takes long."""
        self._balancing = False
        idle = sum(not given for given in self._given.values())
        asked = self._recalled
        askable = [number for number in self._given if number not in asked]
        laden = max(askable, key=lambda number: len(self._given[number]), default=None)
        if idle and laden is not None and len(self._given[laden]) > 1:
            asked.add(laden)  # until it says something: in C code it may not for minutes
            mail = self._mail.to(laden)
            mail.recall = (len(self._given[laden]) - 1 + idle) // (idle + 1)
            mail.interrupt = True

    def _stop(self, action: Stop) -> None:
        number, stage, task = action.task
        worker = action.worker
        if worker not in self._given or number not in self._runs:
            return  # it is dead, or about to be: see ``_left``
        key = self._runs[number].works[stage].key
        mail = self._mail.to(worker)
        mail.interrupt = True
        if not mail.stop:
            self._loop.after(GRACE, self._guarded, self._overdue, worker, mail.stop)
        mail.stop.append((key, task))

    def _overdue(self, worker: int, told: list[tuple[int, int]]) -> None:
        """Tasks that were told to stop had their time."""
        given = self._given.get(worker)
        if given is not None and any(task in given for task in told):
            self._kill(worker)

    def _end(self, action: End) -> None:
        if action.task is not None:
            self._name_cause(action.task, action.error)
        run = self._runs[action.run]
        if action.error.startswith("SpillFull") and run.failure is None:
            run.failure = self._spilling.full(action.error)
        super()._end(action)
        self._restarts = 0
        for at in [at for at in self._causes if at.run == action.run]:
            del self._causes[at]

    def _substitute(self, action: Substitute) -> None:
        self._name_cause(action.task, action.error)
        super()._substitute(action)

    def _name_cause(self, task: TaskId, told: str) -> None:
        """If a task will not give a value since workers died of it: say what they died of."""
        run = self._runs[task.run]
        cause = self._causes.pop(task, None)
        if told.startswith("TaskMemoryError"):
            run.errors[task] = ended(self._limit)
        elif cause is not None and task not in run.errors:
            run.errors[task] = lost(run.works[task.stage].stage, cause, told)

    # Values ---------------------------------------------------------------------------------

    def _put(self, task: TaskId, value: Any) -> None:
        self._runs[task.run].works[task.stage].table[task.task] = dumps(value)

    def _drop(self, action: Drop) -> None:
        number, stage, task = action.task
        run = self._runs.get(number)
        if run is not None:
            run.works[stage].drop(task)

    def _delivered(self, action: Deliver) -> None:
        number, stage, task = action.task
        run = self._runs[number]
        try:
            run.works[stage].give(task)
        except BaseException as error:  # noqa: BLE001 - such as: there is no room for it
            self._fail(run, error)

    def _spill_to(self, folder: Path | None) -> None:
        self._spilling.write_to(folder)
        self._can_spill = folder is not None
        self._signals.append(SetLimit(self._limit, self._can_spill))

    def _answer(self, signal: Spilled | Loaded | Unreadable) -> None:
        self._signals.append(signal)

    def _spill(self, action: Spill) -> None:
        self._spilling.spill(action.task, self._runs[action.task.run].works[action.task.stage])

    def _load(self, action: Load) -> None:
        self._spilling.load(action.task, self._runs[action.task.run].works[action.task.stage])

    def _lease(self, number: int, held: list[Any]) -> None:
        for one in held:
            extent = Extent(*one)
            try:
                self.segments.hold(extent)
            except Stuck:  # it was frozen meanwhile, and what it sees is no longer what it was
                self._kill(number)
                return
            self._leases[number].append(extent)

    def _unlease(self, number: int, extent: Extent) -> None:
        self._leases[number].remove(extent)
        self.segments.release(extent)

    # Runs -----------------------------------------------------------------------------------

    def _grow(self, run: Running, reply: Grow) -> Grown:
        def make(stage: Stage, take: Any, wire: Any) -> Remote:
            blob = self._blob(stage)
            forget = self._spilling.forget
            remote = Remote(
                run, next(self._keys), stage, self.segments, self._returned, take, wire, forget
            )
            self._stages[remote.key] = remote
            remote.blob = blob
            if stage.n_tasks > 2 * self._wanted and self._pace.begin_slowly():
                self._signals.append(SetQueue(self._pace.ahead))
            return remote

        return run.grow(reply, make)

    def _blob(self, stage: Stage) -> Any:
        """A stage's program as workers get it: bytes, or an extent that all of them map."""
        from nbscale.expr.pickler import dumps  # noqa: PLC0415 - 10 ms that are paid with the first run

        try:
            encoded = encode(stage.program, pickle.dumps if stage.program.is_plain else dumps)
        except Exception as error:
            raise unsendable(stage, error) from error
        if encoded.nbytes <= _BLOB:
            return encoded.to_bytes()
        extent = self.segments.grant(encoded.nbytes, lasting=True)
        encoded.write(self.segments.view(extent))
        return tuple(extent)

    def _left(self, run: Running) -> None:
        keys = {remote.key for remote in run.works.values()}
        for number in self._frozen:
            if any(key in keys for key, _ in self._given[number]):
                self._kill(number)  # what it has is of no use any more, and would be taken for new
        for remote in run.works.values():
            remote.close()
            del self._stages[remote.key]
            for number in remote.known:
                if number in self._given:
                    self._mail.to(number).forget[0].append(remote.key)
        if not self._runs and not self._resting:
            self._resting = True
            self._loop.after(_REST, self._guarded, self._rest)

    def _rest(self) -> None:
        """Nothing has run for a while, or so it seems: what is kept for later is given back."""
        self._resting = False
        if not self._runs:
            self.segments.trim(0)

    # Workers --------------------------------------------------------------------------------

    def _close_all(self, closed: Any) -> None:
        try:
            self._mail.clear()
            for run in list(self._runs.values()):
                self._close(run, "cancelled", RunCancelled("the engine was closed"))
            self._spilling.close()
            self.pool.close()
            self.segments.close()
            self._showing.close()
        finally:
            closed()

    def _new_machine(self) -> Machine:
        """After a mistake nobody knows what workers are at: they are replaced."""
        for number in self.pool.numbers:
            self._kill(number)
        for number, given in self._given.items():
            grants = [grant for grant in given.values() if grant is not None]
            self.segments.nbytes -= sum(grant.nbytes for grant in grants)
            self._doomed.setdefault(number, []).extend(grants + self._leases[number])
        for known in (self._recalled, self._suspects, self._frozen):
            known.clear()
        machine = Machine(self._limit, can_spill=self._can_spill, queue=self._pace.ahead)
        self._given.clear()
        self._leases.clear()
        self._mail.clear()
        self._busy = 0
        return machine


def _size(handle: Any) -> int:
    """Bytes of a value that is kept in shared memory, or in pieces."""
    if type(handle) is tuple:
        nbytes: int = handle[2]
        return nbytes
    return sum(map(len, handle))


def _free(segments: Segments, handle: Any) -> None:
    if type(handle) is tuple:
        segments.free(Extent(*handle[:4]))
