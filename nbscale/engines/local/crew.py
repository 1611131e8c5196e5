"""The crew of a pool: workers that come, freeze, die and are replaced, and what they hold."""

from __future__ import annotations

import abc
import signal
import time
from collections.abc import Callable
from typing import Any

from nbscale.engines import limits
from nbscale.engines.driver import Driver
from nbscale.engines.local.blame import cause_of
from nbscale.engines.local.mail import Mails
from nbscale.engines.local.pool import Pool
from nbscale.engines.local.remote import Remote
from nbscale.engines.local.spilling import Spilling
from nbscale.engines.local.terms import DISTRUST
from nbscale.engines.local.watchdog import Watchdog
from nbscale.engines.loop import Loop
from nbscale.engines.running import Running
from nbscale.errors import EngineError
from nbscale.history.recording import Loss
from nbscale.scheduler.protocol import (
    NO_TASK,
    Frozen,
    SetLimit,
    TaskId,
    Thawed,
    WorkerJoined,
    WorkerLeft,
)
from nbscale.store.segments import Extent, Segments

__all__ = ["Crew"]

_WATCH = 0.5
"""Seconds between two looks at workers that are busy: one that is stopped twice is frozen."""

_STARTING = 30.0
"""Seconds after which a pool of which no process is ready begins again: its zygote hangs."""

_MOST_LOST = 3
"""A pool that loses so many workers in turn before they are ready cannot be started."""

_SPARE = 256 << 20
"""Bytes of pages in which nothing lives that are kept for the next use, at most."""

_SPARED = 4
"""Powers of two: that part of the limit is kept of them, if it is less."""


class Crew(Driver):
    """A driver that knows which workers there are; what they are given is for who is made from it.

    Parameters
    ----------
    loop
        Whose thread everything happens on.
    limit
        Bytes that the work may use.
    workers
        How many processes run tasks.
    """

    _spilling: Spilling
    """Values on their way to files and back: while there are some, something moves."""

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
        self._wanted = workers
        self._stages: dict[int, Remote] = {}
        self._mail = Mails(loop, self.pool)
        self._given: dict[int, dict[tuple[int, int], Extent | None]] = {}
        self._leases: dict[int, list[Extent]] = {}
        self._doomed: dict[int, list[Extent]] = {}  # what killed workers may still write to or see
        self._recalled: set[int] = set()  # workers that were asked for tasks and said nothing since
        self._causes: dict[TaskId, str] = {}  # what the last worker that ran a task died of
        self._busy = 0
        self._oom_kills = limits.oom_kills()
        self._most = limit
        self._looked = 0.0
        self._own: dict[int, int] = {}  # bytes of each worker's own when it came
        self._lost = 0
        self._restarts = 0  # zygotes lost since a run ended
        self._watching = False
        self._suspects: set[int] = set()  # workers that were stopped or dead at the last look
        self._frozen: set[int] = set()
        self._distrust: set[int] = set()  # those whose frames are not what they sent
        self._waiting_since: float | None = None  # for the first worker to be ready
        self._watchdog = Watchdog()
        super().__init__(loop, limit)

    @abc.abstractmethod
    def _heard(self, number: int, messages: list[Any]) -> None:
        """A worker has sent messages."""

    def _guarded(self, call: Callable[..., None], *args: Any) -> None:
        super()._guarded(call, *args)
        if self._runs and not self._watching:
            self._watching = True
            self._loop.after(_WATCH, self._guarded, self._watch)

    def _open(self, run: Running, reply: Any, limit: int | None) -> None:
        if limit is not None and limit != self._most:
            self._most, self._looked = limit, 0.0
            self._limit = limit
            self._signals.append(SetLimit(limit, self._can_spill))
        if time.monotonic() - self._looked > _WATCH:
            self._look_at_memory()
        super()._open(run, reply, None)

    def _joined(self, run: Running) -> None:
        self.segments.keep(min(_SPARE, self._limit >> _SPARED))
        self._fill()
        self.pool.renew()

    def _retired(self, segment: int) -> None:
        for number in self.pool.forget(segment):
            self._mail.to(number).forget[1].append(segment)

    # Come and gone ---------------------------------------------------------------------------

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
        self._mail.drop(number)
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
                self._causes[at] = cause_of(code)
                now, stage = time.monotonic(), remote.stage.number
                remote.run.recording.losses.append(
                    Loss(now, stage, place[1] + remote.first, number, cause_of(code))
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
                last = cause_of(code)
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

    # Looked at -------------------------------------------------------------------------------

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
