"""Drives a scheduler whose tasks are run by the processes of a pool."""

from __future__ import annotations

import contextlib
import functools
import itertools
import pickle
import signal
import sys
import time
from pathlib import Path
from typing import Any

from nbscale.engines import failure, limits
from nbscale.engines.driver import Driver
from nbscale.engines.local.pool import Pool
from nbscale.engines.local.remote import Remote
from nbscale.engines.local.shortage import ended, is_short, too_much
from nbscale.engines.local.showing import Showing
from nbscale.engines.local.spilling import Spilling
from nbscale.engines.local.watchdog import Watchdog
from nbscale.engines.local.worker import DISTRUST, INLINE
from nbscale.engines.loop import Loop
from nbscale.engines.running import Running
from nbscale.errors import EngineError, RunCancelled, Stuck, WorkerLost
from nbscale.events import TaskEnded, TaskStarted
from nbscale.graph.job import Grow
from nbscale.graph.stage import Stage
from nbscale.history.recording import Loss
from nbscale.scheduler.machine import Machine
from nbscale.scheduler.protocol import (
    NO_TASK,
    Deliver,
    Drop,
    End,
    Frozen,
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
    Thawed,
    Unreadable,
    WorkerJoined,
    WorkerLeft,
)
from nbscale.store.codec import dumps, encode
from nbscale.store.segments import Extent, Segments

__all__ = ["PoolDriver"]

GRACE = 1.0
"""Seconds a task has after SIGINT before its worker is killed."""

_AHEAD = 0.010
"""Seconds of work handed out ahead to each worker."""

_MOST_AHEAD = 2000

_PAUSE = 0.005
"""Seconds a worker has nothing to do before others are asked for some of theirs."""

_WATCH = 0.5
"""Seconds between two looks at workers that are busy: one that is stopped twice is frozen."""

_STARTING = 30.0
"""Seconds after which a pool of which no process is ready begins again: its zygote hangs."""

_MOST_LOST = 3
"""A pool that loses so many workers in turn before they are ready cannot be started."""

_FORGET = 0.02
"""Seconds that workers may keep what nobody needs, for the next mail to take the news along."""

_BLOB = 64 << 10
"""Bytes up to which a program travels in a message."""

_SPARE = 256 << 20
"""Bytes of pages in which nothing lives that are kept for the next use, at most."""

_SPARED = 4
"""Powers of two: that part of the limit is kept of them, if it is less."""

_REST = 2.0
"""Seconds after the end of a run until memory that is kept for the next is given back."""

_SLACK = 5
"""Powers of two: that part of the limit each worker may keep of what its tasks gave back."""

_named = tuple.__new__  # half the time of the constructor of a named tuple


class _Mail:
    """What is to be sent to a worker."""

    __slots__ = ("forget", "interrupt", "recall", "stages", "stop", "tasks")

    def __init__(self) -> None:
        self.stages: list[Any] = []
        self.tasks: list[Any] = []
        self.stop: list[tuple[int, int]] = []
        self.forget: tuple[list[int], list[int]] = ([], [])
        self.recall = 0
        self.interrupt = False

    @property
    def can_wait(self) -> bool:
        """Whether nothing comes of it."""
        return not (self.stages or self.tasks or self.stop or self.recall or self.interrupt)

    def messages(self) -> list[Any]:
        found: list[Any] = list(self.stages)
        if self.forget[0] or self.forget[1]:
            found.append(("forget", *self.forget))
        if self.tasks:
            found.append(("tasks", self.tasks))
        if self.stop:
            found.append(("stop", self.stop))
        if self.recall:
            found.append(("recall", self.recall))
        return found


class PoolDriver(Driver):
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
        self.pool = Pool(
            loop,
            self._worker_joined,
            self._worker_left,
            self._heard,
            self._broken,
            self._renewed,
            self._distrusted,
        )
        self.segments = Segments(min(_SPARE, limit >> _SPARED), self._retired)
        post = functools.partial(loop.post, self._guarded)
        self._returned = functools.partial(post, self.segments.take_back)
        self._spilling = Spilling(self.segments, self._answer, self._retired, post)
        self._showing = Showing(self.pool.show, self._retired, post)
        self._wanted = workers
        self._keys = itertools.count(1)
        self._stages: dict[int, Remote] = {}
        self._mail: dict[int, _Mail] = {}
        self._given: dict[int, dict[tuple[int, int], Extent | None]] = {}
        self._leases: dict[int, list[Extent]] = {}
        self._doomed: dict[int, list[Extent]] = {}  # what killed workers may still write to or see
        self._recalled: set[int] = set()  # workers that were asked for tasks and said nothing since
        self._causes: dict[TaskId, str] = {}  # what the last worker that ran a task died of
        self._busy = 0
        self._pace = 0.0
        self._ahead = 2
        self._oom_kills = limits.oom_kills()
        self._most = limit
        self._looked = 0.0
        self._own: dict[int, int] = {}  # bytes of each worker's own when it came
        self._lost = 0
        self._restarts = 0  # zygotes lost since a run ended
        self._balancing = self._watching = self._dawdling = self._resting = False
        self._suspects: set[int] = set()  # workers that were stopped or dead at the last look
        self._frozen: set[int] = set()
        self._distrust: set[int] = set()  # those whose frames are not what they sent
        self._waiting_since: float | None = None  # for the first worker to be ready
        self._watchdog = Watchdog()
        super().__init__(loop, limit)
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
        if self._runs and not self._watching:
            self._watching = True
            self._loop.after(_WATCH, self._guarded, self._watch)
        self._flush()

    def _flush(self, *, late: bool = False) -> None:
        """Send what is to be sent. What is only to be forgotten waits for other mail."""
        for number in list(self._mail):
            mail = self._mail[number]
            if mail.can_wait and not late:
                if not self._dawdling:
                    self._dawdling = True
                    self._loop.after(_FORGET, self._flush_late)
                continue
            del self._mail[number]
            messages = mail.messages()
            if messages:
                self.pool.send(number, messages)
            if mail.interrupt:
                self.pool.interrupt(number)

    def _flush_late(self) -> None:
        self._dawdling = False
        self._flush(late=True)

    def _to(self, number: int) -> _Mail:
        mail = self._mail.get(number)
        if mail is None:
            mail = self._mail[number] = _Mail()
        return mail

    # Tasks ----------------------------------------------------------------------------------

    def _give(self, action: Run) -> None:
        number, stage, task = action.task
        remote = self._runs[number].works[stage]
        worker = action.worker
        if worker not in self._given:
            return  # several died at once, and the machine is about to be told of this one
        mail = self._to(worker)
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
        if count:
            self._adapt(seconds / count)

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

    def _begin_slowly(self) -> None:
        """Nothing is known of new tasks: one that is long in C code would keep those behind it."""
        self._pace = 0.0
        if self._ahead > 2:
            self._ahead = 2
            self._signals.append(SetQueue(2))

    def _adapt(self, seconds: float) -> None:
        """Hand out so many tasks ahead that each worker has some 10 ms of work, and at least two."""
        self._pace = seconds if self._pace == 0.0 else 0.5 * (self._pace + seconds)
        ahead = int(_AHEAD / self._pace) if self._pace > 0 else _MOST_AHEAD
        ahead = min(max(ahead, 2), _MOST_AHEAD)
        if not 0.8 * self._ahead < ahead < 1.25 * self._ahead:
            self._ahead = ahead
            self._signals.append(SetQueue(ahead))

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
            mail = self._to(laden)
            mail.recall = (len(self._given[laden]) - 1 + idle) // (idle + 1)
            mail.interrupt = True

    def _watch(self) -> None:
        """Look for workers that were stopped, and for a zygote that hangs."""
        self._watching = False
        # Judged by what the system says: one that is silent may be in C code for minutes.
        states = {number: self.pool.state(number) for number in self._given}
        stopped = {n for n, given in self._given.items() if given and states[n] == "T"}
        dead = {number for number, state in states.items() if state in ("", "Z", "X")}
        if dead & self._suspects:
            self.pool.abandon()  # the zygote does not tell of them
            return
        for number in stopped & self._suspects - self._frozen:
            self._frozen.add(number)
            self._recalled.add(number)
            self._signals.append(Frozen(number))
        for number in self._frozen - stopped - self._doomed.keys():
            self._frozen.discard(number)
            self._signals.append(Thawed(number))
        self._suspects = stopped | dead
        self._look_at_memory()
        if self._frozen:
            self._fill()
        if self._given or not self.pool.starting:
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = time.monotonic()
        elif time.monotonic() - self._waiting_since > _STARTING:
            self._waiting_since = None
            self.pool.abandon()
        self._look_for_life()

    def _look_for_life(self) -> None:
        """End runs of which nothing moves: a defect, and better named than waited for."""
        given = {n: len(g) for n, g in self._given.items() if n not in self._frozen}
        starting = self.pool.starting > 0 and not self._spilling.under_way
        amiss = self._watchdog.look(time.monotonic(), given, self.pool.waits, starting=starting)
        for key, text in amiss.items():
            keys = {stage for stage, _ in self._given.get(key, ())} if key is not None else set()
            for run in list(self._runs.values()):
                mine = key is None or any(remote.key in keys for remote in run.works.values())
                if mine and run.failure is None:
                    self._fail(run, run.standstill(text))

    def _look_at_memory(self) -> None:
        """Others may use more now, or less."""
        self._looked = time.monotonic()
        grown = sum(max(0, self.pool.own(n) - own) for n, own in self._own.items())
        limit = limits.room(self._most, self.segments.filled + grown)
        if abs(limit - self._limit) > self._limit >> 3:
            self._limit = limit
            self._signals.append(SetLimit(limit, self._can_spill))

    def _open(self, run: Running, reply: Any, limit: int | None) -> None:
        if limit is not None and limit != self._most:
            self._most, self._looked = limit, 0.0
            self._limit = limit
            self._signals.append(SetLimit(limit, self._can_spill))
        if time.monotonic() - self._looked > _WATCH:
            self._look_at_memory()
        super()._open(run, reply, None)

    def _stop(self, action: Stop) -> None:
        number, stage, task = action.task
        worker = action.worker
        if worker not in self._given or number not in self._runs:
            return  # it is dead, or about to be: see ``_left``
        key = self._runs[number].works[stage].key
        mail = self._to(worker)
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
            run.errors[task] = _lost(run.works[task.stage].stage, cause, told)

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

    def _retired(self, segment: int) -> None:
        for number in self.pool.forget(segment):
            self._to(number).forget[1].append(segment)

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
            if stage.n_tasks > 2 * self._wanted:
                self._begin_slowly()
            return remote

        return run.grow(reply, make)

    def _blob(self, stage: Stage) -> Any:
        """A stage's program as workers get it: bytes, or an extent that all of them map."""
        from nbscale.expr.pickler import dumps  # noqa: PLC0415 - 10 ms that are paid with the first run

        try:
            encoded = encode(stage.program, pickle.dumps if stage.program.is_plain else dumps)
        except Exception as error:
            raise _unsendable(stage, error) from error
        if encoded.nbytes <= _BLOB:
            return encoded.to_bytes()
        extent = self.segments.grant(encoded.nbytes, lasting=True)
        encoded.write(self.segments.view(extent))
        return tuple(extent)

    def _joined(self, run: Running) -> None:
        self.segments.keep(min(_SPARE, self._limit >> _SPARED))
        self._fill()
        self.pool.renew()

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
                    self._to(number).forget[0].append(remote.key)
        if not self._runs and not self._resting:
            self._resting = True
            self._loop.after(_REST, self._guarded, self._rest)

    def _rest(self) -> None:
        """Nothing has run for a while, or so it seems: what is kept for later is given back."""
        self._resting = False
        if not self._runs:
            self.segments.trim(0)

    # Workers --------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Have as many workers as are wanted."""
        try:
            # By what they are now: one may go on that nobody has looked at since.
            frozen = sum(self.pool.state(n) == "T" for n in self._frozen - self._doomed.keys())
            while len(self.pool.numbers) - frozen < self._wanted:
                self.pool.fork()
        except (EngineError, OSError) as error:
            self._unable(error)

    def _unable(self, error: BaseException) -> None:
        """There can be no workers: say so to whoever waits for them."""
        if not isinstance(error, EngineError):
            error = EngineError(f"the pool of processes cannot be started: {error}")
        self._lost = self._restarts = 0
        for run in self._runs.values():
            if run.failure is None:
                self._fail(run, error)

    def _kill(self, number: int) -> None:
        self._doomed.setdefault(number, [])
        self.pool.kill(number)

    def _scale(self, workers: int) -> None:
        self._wanted = workers
        self._fill()
        if not self._busy:
            for number in self.pool.numbers[workers:]:
                self._kill(number)

    def _worker_joined(self, number: int) -> None:
        self._lost = 0
        self._given[number] = {}
        self._leases[number] = []
        self._own[number] = self.pool.own(number)
        self._guarded(self._signals.append, WorkerJoined(number))

    def _worker_left(self, number: int, code: int) -> None:
        killed = number in self._doomed or number in self._given
        self._guarded(self._gone if killed else self._unborn, number, code)

    def _gone(self, number: int, code: int, *, guiltless: bool = False) -> None:
        """A worker has died; ``guiltless``: with the zygote, or by us, and not of what it ran."""
        self._own.pop(number, None)
        kills, before = limits.oom_kills(), self._oom_kills
        self._oom_kills = kills
        short = code == -signal.SIGKILL and number not in self._doomed and kills > before
        self._mail.pop(number, None)
        for known in (self._recalled, self._suspects, self._frozen):
            known.discard(number)
        for extent in self._doomed.pop(number, ()):
            self.segments.release(extent)
        guiltless = guiltless or number in self._distrust or code == DISTRUST
        self._distrust.discard(number)
        given = self._given.pop(number, None)
        if given is not None:
            place = self.pool.at(number)
            at = None if place is None else NO_TASK
            remote = None if place is None else self._stages.get(place[0])
            # None: it was frozen, and its run is over.
            if place is not None and remote is not None and place in given:
                at = TaskId(remote.run.number, remote.stage.number, place[1])
                self._causes[at] = _cause(code)
                now, stage = time.monotonic(), remote.stage.number
                remote.run.recording.losses.append(
                    Loss(now, stage, place[1] + remote.first, number, _cause(code))
                )
            self._busy -= len(given)
            for grant in given.values():
                if grant is not None:
                    self.segments.free(grant)
            for extent in self._leases.pop(number):
                self.segments.release(extent)
            self._signals.append(WorkerLeft(number, at, guiltless, short and not guiltless))
        if self._runs:
            self._fill()

    def _unborn(self, number: int, code: int) -> None:
        """A worker has died before it was ready."""
        self._lost += 1
        if self._lost >= _MOST_LOST:
            why = self.pool.failure
            if why:
                msg = f"no processes can be made for the pool: {why}"
            else:
                last = _cause(code)
                msg = f"the processes of the pool end before they are ready, the last one {last}"
            self._unable(EngineError(msg))
        elif self._runs:
            self._fill()

    def _renewed(self) -> None:
        """There is a zygote with more imports: workers of the old one go when they are idle."""
        self._guarded(self._refresh)

    def _refresh(self) -> None:
        for number in [n for n, given in self._given.items() if not given]:
            if self.pool.is_outdated(number):
                self._dismiss(number)
        if self._runs:
            self._fill()

    def _dismiss(self, number: int) -> None:
        """End a worker that has no tasks, before it may be given one."""
        del self._given[number]
        self._doomed[number] = self._leases.pop(number)
        self.pool.kill(number)
        self._signals.append(WorkerLeft(number))

    def _distrusted(self, number: int) -> None:
        """A frame of a worker was spoiled on its way: another does what it had."""
        self._distrust.add(number)
        self._guarded(self._kill, number)

    def _broken(self, error: BaseException) -> None:
        """The zygote is gone, and all workers with it."""
        self._guarded(self._all_gone, error)

    def _all_gone(self, error: BaseException) -> None:
        for number in [*self._given, *self._doomed]:
            self._gone(number, -signal.SIGKILL, guiltless=True)
        self._lost += 1
        self._restarts += 1
        if self._lost >= _MOST_LOST or self._restarts >= _MOST_LOST:
            self._unable(error)
        elif self._runs:
            self._fill()

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
        machine = Machine(self._limit, can_spill=self._can_spill, queue=self._ahead)
        self._given.clear()
        self._leases.clear()
        self._mail.clear()
        self._busy = 0
        return machine


def _lost(stage: Stage, cause: str, told: str) -> WorkerLost:
    """What is said of a task that cost several workers."""
    places = [str(step.place) for step in stage.program.steps if step.place is not None]
    where = f" ({places[-1]})" if len(places) == 1 else ""
    _, _, told = told.partition(": ")
    return WorkerLost(f"in {stage.name}{where}: {told}; the last one ended {cause}")


def _unsendable(stage: Stage, error: BaseException) -> TypeError:
    """What is said of a program that cannot be sent: which operation it is, and why."""
    from nbscale.expr.pickler import dumps  # noqa: PLC0415 - it was loaded for the attempt that failed

    for step in stage.program.steps:
        try:
            dumps(step.kernel)
        except Exception as mistake:  # noqa: BLE001 - whatever it is, it is told of
            where = "" if step.place is None else f" ({step.place})"
            name, why = f"{step.name}{where}", str(mistake)
            break
    else:
        name, why = stage.name, str(error)
    return TypeError(
        f"{name} cannot be sent to the processes that should run it: {why}. Make what it needs "
        "inside the function, or run it in the kernel with engine='inline'"
    )


def _size(handle: Any) -> int:
    """Bytes of a value that is kept in shared memory, or in pieces."""
    if type(handle) is tuple:
        nbytes: int = handle[2]
        return nbytes
    return sum(map(len, handle))


def _free(segments: Segments, handle: Any) -> None:
    if type(handle) is tuple:
        segments.free(Extent(*handle[:4]))


def _cause(code: int) -> str:
    """What a process died of."""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else -code
        return f"by signal {name}"
    return f"with exit code {code}"
