"""The world around a simulated machine: clock, workers, store and disk as values, and what can fail.

It holds a store of its own and checks on its own side that every input is in memory when a task
runs, that every result is delivered once, that nothing is left behind, and that every run ends.
"""

from __future__ import annotations

import dataclasses
import hashlib
import heapq
import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from nbscale.graph.job import Done, Failure, Job, Observation, Replan
from nbscale.graph.stage import Stage
from nbscale.record import record
from nbscale.scheduler.machine import Machine
from nbscale.scheduler.protocol import (
    Action,
    Cancel,
    Deliver,
    Drop,
    End,
    Fail,
    Frozen,
    Grown,
    Kill,
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

__all__ = ["Broken", "Faults", "Measure", "Simulation", "Trace", "plain"]

Measure: TypeAlias = Callable[[Stage, int], float]


class Broken(AssertionError):
    """The machine did what it must not; the message says what, and how to replay it."""


@record
class Faults:
    """What may go wrong, as chances: for each task given out, each spill and load, or each signal.

    Attributes
    ----------
    die, freeze, replan, fail, short
        Of a task: its worker dies of it, its worker freezes, it raises ``Replan``, it raises, there
        is not enough memory for it.
    cancel, change
        Of a signal: some run is cancelled after it; the memory limit, the queue or the number of
        workers changes.
    spill, load
        Of a spill or load: it fails.
    late
        Of a worker that dies or freezes: its task had ended, and the news comes afterwards.
    together
        Of a task that is done: the news waits for the next of the same worker.
    """

    die: float = 0.0
    freeze: float = 0.0
    replan: float = 0.0
    fail: float = 0.0
    cancel: float = 0.0
    change: float = 0.0
    spill: float = 0.0
    load: float = 0.0
    late: float = 0.0
    together: float = 0.0
    short: float = 0.0


@record
class Trace:
    """What happened.

    Attributes
    ----------
    ends
        How each run ended.
    makespan
        Seconds until the last run ended.
    peak
        Most bytes of values in memory at once.
    busy
        Seconds that workers were at tasks.
    log
        Signals and the actions that answered them.
    digest
        A hash of the log and its times.
    """

    ends: dict[int, End]
    makespan: float
    peak: int
    busy: float
    log: tuple[tuple[Signal, tuple[Action, ...]], ...]
    digest: str


@dataclasses.dataclass(slots=True)
class _Worker:
    """A worker: its tasks in the order given, the first one running."""

    number: int
    tasks: list[TaskId] = dataclasses.field(default_factory=list)
    told: set[TaskId] = dataclasses.field(default_factory=set)  # asked for membership only
    frozen: bool = False
    doomed: bool = False
    turn: int = 0  # what was planned for an earlier turn does not happen any more


@dataclasses.dataclass(slots=True)
class _Run:
    """A run: its job, what the simulation knows of it, and what it must still see."""

    job: Job
    stages: list[Stage] = dataclasses.field(default_factory=list)
    retracted: set[int] = dataclasses.field(default_factory=set)
    watched: dict[int, int] = dataclasses.field(default_factory=dict)
    delivered: set[TaskId] = dataclasses.field(default_factory=set)


_MEMORY, _DISK = 0, 1
_Event: TypeAlias = tuple[float, int, Callable[[], Iterable[Signal]], int | None]


class Simulation:
    """Runs jobs through a machine, a signal at a time: iterate to go on.

    ``thinking`` is the most seconds that a job takes to answer, ``disk`` the bytes a second of values
    on their way to or from disk; by default each takes a tenth of a second.
    """

    def __init__(
        self,
        *,
        workers: int,
        limit: int,
        seed: int,
        faults: Faults,
        seconds: Measure,
        nbytes: Measure,
        options: dict[str, Any],
        machine: type[Machine] = Machine,
        thinking: float = 0.1,
        disk: float | None = None,
    ) -> None:
        self.thinking = thinking
        self.disk = disk
        self.machine = machine(limit, **options)
        self.limit = limit
        self.random = random.Random(seed)  # noqa: S311 - to be replayed, not to be secret
        self.faults = faults
        self.seconds = seconds
        self.nbytes = nbytes
        self.now = 0.0
        self.runs: dict[int, _Run] = {}
        self.ends: dict[int, End] = {}
        self.store: dict[TaskId, tuple[int, int]] = {}
        self.held = self.peak = 0
        self.busy = 0.0
        self.log: list[tuple[Signal, tuple[Action, ...]]] = []
        self._hash = hashlib.sha256()
        self._workers: dict[int, _Worker] = {}
        self._events: list[_Event] = []
        self._count = 0
        self._begun: set[TaskId] = set()  # of those that are to be run once
        self._waiting: list[TaskDone] = []  # news of a worker that wait for more of it
        self._together: tuple[TaskId, ...] = ()  # of the signal being handled
        self._short: set[TaskId] = set()  # what ran out of memory; asked for membership only
        self._broken: set[TaskId] = set()  # on disk, and not to be read; asked for membership only
        for _ in range(workers):
            self._join()

    def open(self, job: Job) -> int:
        """Begin a run now; return its number."""
        number = len(self.runs) + 1
        run = self.runs[number] = _Run(job)

        def opening() -> Iterator[Signal]:
            yield OpenRun(number)
            yield self._answer(number, run, None)

        self._after(0.0, opening)
        return number

    def __iter__(self) -> Iterator[Signal]:
        """Go on until nothing happens any more, giving each signal when it was handled."""
        while self._events:
            self.now, _, event, worker = heapq.heappop(self._events)
            # What others do to the world comes after what is known of it is told.
            goes_on = self._waiting and self._waiting[0].worker == worker
            for told in event() if goes_on else itertools.chain(self._news(), event()):
                for signal in self._in_time(told):
                    self._handle(signal)
                    yield signal
                    for other in self._from_outside():
                        for late in self._in_time(other):
                            self._handle(late)
                            yield late
        for number in self.runs:
            if number not in self.ends:
                raise Broken(f"run {number} never ends: nothing happens any more")

    def trace(self) -> Trace:
        """What happened so far."""
        log = tuple(self.log)
        return Trace(self.ends, self.now, self.peak, self.busy, log, self._hash.hexdigest())

    # Signals --------------------------------------------------------------------------------

    def _in_time(self, signal: Signal) -> Iterator[Signal]:
        """A signal, with the news that waited for it; nothing if it is news that wait, too."""
        if isinstance(signal, TaskDone) and self.random.random() < self.faults.together:
            self._waiting.append(signal)
            self._after(self.random.random() * 5, self._news)
        elif isinstance(signal, TaskDone) and self._waiting:
            self._waiting.append(signal)
            yield from self._news()
        else:
            yield from self._news()
            yield signal

    def _news(self) -> Iterator[Signal]:
        if self._waiting:
            waiting, self._waiting = tuple(self._waiting), []
            yield TasksDone(waiting)

    def _from_outside(self) -> Iterator[Signal]:
        """What users and the machine's surroundings do, now and then."""
        chance = self.random.random
        if self.faults.cancel and chance() < self.faults.cancel:
            yield Cancel(self.random.randrange(len(self.runs)) + 1)
        if not self.faults.change or chance() >= self.faults.change:
            return
        kind = self.random.randrange(4)
        if kind == 0:
            limit = max(1, int(self.limit * self.random.choice((0.5, 1.0, 2.0))))
            yield SetLimit(limit, can_spill=chance() < 0.5)
        elif kind == 1:
            yield SetQueue(self.random.randint(1, 4))
        elif kind == 2:
            self._join()
        elif len(self._workers) > 1:
            yield from self._news()
            idle = next((w for w in self._workers.values() if not w.tasks and not w.frozen), None)
            if idle is not None:
                del self._workers[idle.number]
                yield WorkerLeft(idle.number)

    def _after(
        self, seconds: float, event: Callable[[], Iterable[Signal]], done_by: int | None = None
    ) -> None:
        """Let something happen later; ``done_by``: it is that a worker has done a task."""
        self._count += 1
        heapq.heappush(self._events, (self.now + seconds, self._count, event, done_by))

    def _handle(self, signal: Signal) -> None:
        if isinstance(signal, TasksDone):
            self._together = tuple(done.task for done in signal.done)
        else:
            self._together = ()
        actions = self.machine.handle(signal)
        self.log.append((signal, tuple(actions)))
        self._hash.update(f"{self.now!r} {plain(signal)} {actions!r}\n".encode())
        for action in actions:
            _PERFORM[type(action)](self, action)

    def _join(self) -> None:
        self._count += 1
        worker = _Worker(self._count)

        def joining() -> Iterator[Signal]:
            self._workers[worker.number] = worker
            yield WorkerJoined(worker.number)

        self._after(0.0, joining)

    def _answer(self, number: int, run: _Run, seen: Observation | Failure | None) -> Signal:
        reply = run.job.step(seen)
        if isinstance(reply, Done):
            return Fail(number) if reply.error is not None else Grown(number, sealed=True)
        run.stages += reply.stages
        run.retracted.update(reply.retract)
        watches = []
        for watch in reply.watches:
            n = run.stages[watch.stage].n_tasks
            run.watched[watch.stage] = n if watch.first is None else min(watch.first, n)
            watches.append((watch.stage, run.watched[watch.stage]))
        return Grown(
            number, reply.stages, tuple(watches), reply.sealed, reply.release, reply.retract
        )

    # Workers --------------------------------------------------------------------------------

    def _do_run(self, action: Run) -> None:
        worker = self._workers.get(action.worker)
        if worker is None or worker.frozen:
            raise Broken(f"{action}: there is no such worker, or it is frozen")
        self._check_inputs(action.task)
        if action.task in self.store:
            raise Broken(f"{action}: the value is there already")
        for other in self._workers.values():
            stops = other.frozen or (action.task in other.told and other is not worker)
            if action.task in other.tasks and not stops:
                raise Broken(f"{action}: worker {other.number} is at it")
        if action.task in self._short and any(
            w.tasks and not w.frozen and not w.told for w in self._workers.values()
        ):
            raise Broken(f"{action}: it ran out of memory, and does not run alone now")
        worker.tasks.append(action.task)
        if len(worker.tasks) == 1:
            self._begin(worker)

    def _begin(self, worker: _Worker) -> None:
        """The worker begins its first task; what will become of it is decided now."""
        task = worker.tasks[0]
        stage = self._stage(task)
        if self._runs_once(task):
            if task in self._begun:
                raise Broken(f"{task} is to be run once, and worker {worker.number} begins it anew")
            self._begun.add(task)
        took = float(self.seconds(stage, task.task))
        worker.turn += 1
        turn = worker.turn
        self.busy += took
        chance = self.random.random()
        faults = self.faults
        ending = self._done
        for fault, share in (
            (self._die, faults.die),
            (self._freeze, faults.freeze),
            (self._raise_replan, faults.replan),
            (self._raise, faults.fail),
            (self._run_out, faults.short),
        ):
            chance -= share
            if chance < 0:
                ending = fault
                break
        done_by = worker.number if ending == self._done else None
        self._after(took, lambda: ending(worker, turn), done_by)

    def _turn_over(self, worker: _Worker, turn: int) -> TaskId | None:
        """The task that ends now, unless things went differently; the next one begins."""
        if worker.turn != turn or worker.frozen or worker.number not in self._workers:
            return None
        task = worker.tasks.pop(0)
        worker.told.discard(task)
        worker.turn += 1
        if worker.tasks:
            self._begin(worker)
        return task

    def _done(self, worker: _Worker, turn: int) -> Iterator[Signal]:
        told = worker.told and worker.tasks and worker.tasks[0] in worker.told
        task = self._turn_over(worker, turn)
        if task is not None:
            if not told and self._in_pieces(task):
                yield from self._news()
                broken = self._broken_inputs(task)
                yield from map(Unreadable, broken)
                if broken:
                    yield Stopped(worker.number, task)
                    return
            if not told:
                self._check_inputs(task, worker)
            if task in self.store:
                yield from self._news()  # another was first: its value may go because of these
            yield self._finished(worker, task)

    def _in_pieces(self, task: TaskId) -> list[TaskId]:
        """What a task reads of which it takes its piece from wherever it lies."""
        stage = self._stage(task)
        return [
            TaskId(task.run, edge.producer, int(j))
            for edge in stage.edges
            if edge.pieces
            for j in stage.reads(task.task, edge, self.runs[task.run].stages[edge.producer])
        ]

    def _broken_inputs(self, task: TaskId) -> list[TaskId]:
        """Values whose pieces a task finds that it cannot read, some of them since just now."""
        found = []
        for value in self._in_pieces(task):
            place, _ = self.store.get(value, (_DISK, 0))
            if value not in self.store:
                found.append(value)
            elif place == _DISK and self.random.random() < self.faults.load:
                del self.store[value]
                self._broken.add(value)
                found.append(value)
        return found

    def _finished(self, worker: _Worker, task: TaskId) -> Signal:
        nbytes = int(self.nbytes(self._stage(task), task.task))
        if task not in self.store:
            self._broken.discard(task)
            self.store[task] = (_MEMORY, nbytes)
            self._hold(nbytes)
        return TaskDone(worker.number, task, nbytes)

    def _raise_replan(self, worker: _Worker, turn: int) -> Iterator[Signal]:
        task = self._turn_over(worker, turn)
        if task is not None:
            yield TaskFailed(worker.number, task, replan=True)

    def _raise(self, worker: _Worker, turn: int) -> Iterator[Signal]:
        task = self._turn_over(worker, turn)
        if task is not None:
            yield TaskFailed(worker.number, task)

    def _run_out(self, worker: _Worker, turn: int) -> Iterator[Signal]:
        if self.random.random() < 0.5:
            yield from self._die(worker, turn, memory=True)
            return
        task = self._turn_over(worker, turn)
        if task is not None:
            self._short.add(task)
            yield TaskFailed(worker.number, task, memory=True)

    def _die(self, worker: _Worker, turn: int, *, memory: bool = False) -> Iterator[Signal]:
        if worker.turn != turn or worker.frozen:
            return
        del self._workers[worker.number]
        self._join()
        yield self._left(worker, memory=memory)
        if self.random.random() < self.faults.late:
            yield self._finished(worker, worker.tasks[0])

    def _freeze(self, worker: _Worker, turn: int) -> Iterator[Signal]:
        if worker.turn != turn or worker.frozen:
            return
        worker.frozen = True
        worker.turn += 1
        task = worker.tasks[0]
        yield Frozen(worker.number)
        if self.random.random() < self.faults.late:
            worker.tasks.pop(0)
            worker.told.discard(task)
            yield self._finished(worker, task)
        later = self._thaw if self.random.random() < 0.5 else self._kill_frozen
        later = self._kill_frozen if worker.doomed else later
        self._after(self.random.random() * 10, lambda: later(worker))

    def _thaw(self, worker: _Worker) -> Iterator[Signal]:
        worker.frozen = False
        was_at_work = bool(worker.tasks)  # else it begins what it is given now as any other does
        yield Thawed(worker.number)
        if was_at_work and worker.tasks:
            self._begin(worker)

    def _kill_frozen(self, worker: _Worker) -> Iterator[Signal]:
        del self._workers[worker.number]
        self._join()
        yield self._left(worker)

    def _left(self, worker: _Worker, *, memory: bool = False) -> WorkerLeft:
        """What is told of a worker that is gone. Where it matters most, what it was at is known."""
        if not any(map(self._runs_once, worker.tasks)) or self.random.random() < 0.3:
            return WorkerLeft(worker.number, memory=memory)
        guiltless = not memory and self.random.random() < 0.3
        return WorkerLeft(worker.number, worker.tasks[0], guiltless, memory)

    def _runs_once(self, task: TaskId) -> bool:
        stage = self._stage(task)
        return bool(stage.once) and stage.flat_original(task.task) in stage.once

    def _do_kill(self, action: Kill) -> None:
        worker = self._workers.get(action.worker)
        if worker is None or not worker.frozen or worker.doomed:
            raise Broken(f"{action}: it moves, or is to be killed already")
        worker.doomed = True

    def _do_stop(self, action: Stop) -> None:
        if action.task in self._together:
            return  # it is done, and what is said of that comes behind what made it unwanted
        worker = self._workers.get(action.worker)
        if worker is None or action.task not in worker.tasks or action.task in worker.told:
            raise Broken(f"{action}: it has no such task, or was told already")
        worker.told.add(action.task)
        if self.random.random() < 0.7:  # else it goes on to the end and says it is done
            self._after(self.random.random() * 0.1, lambda: self._obey(worker, action.task))

    def _obey(self, worker: _Worker, task: TaskId) -> Iterator[Signal]:
        if worker.frozen or worker.number not in self._workers or task not in worker.tasks:
            return
        if worker.tasks[0] == task:
            self._turn_over(worker, worker.turn)
        else:
            worker.tasks.remove(task)
            worker.told.discard(task)
        yield Stopped(worker.number, task)

    # Store ----------------------------------------------------------------------------------

    def _hold(self, nbytes: int) -> None:
        self.held += nbytes
        self.peak = max(self.peak, self.held)

    def _stage(self, task: TaskId) -> Stage:
        return self.runs[task.run].stages[task.stage]

    def _check_inputs(self, task: TaskId, worker: _Worker | None = None) -> None:
        """Every value that a task reads is in memory."""
        if worker is not None and task not in self.machine.workers[worker.number].queue:
            return  # it was given to another worker meanwhile, and its result will be dropped
        stage = self._stage(task)
        for edge in stage.edges:
            producer = self.runs[task.run].stages[edge.producer]
            for j in stage.reads(task.task, edge, producer):
                value = self.store.get(TaskId(task.run, edge.producer, int(j)))
                if edge.pieces and value is not None:
                    continue  # it takes its piece from wherever that lies
                if value is None or value[0] != _MEMORY:
                    raise Broken(f"{task} runs, but stage {edge.producer}, task {j} is {value}")

    def _do_substitute(self, action: Substitute) -> None:
        if action.task in self.store or self._stage(action.task).substitute is None:
            raise Broken(f"{action}: there is a value already, or nothing can stand for it")
        self.store[action.task] = (_MEMORY, 0)

    def _do_drop(self, action: Drop) -> None:
        if action.task in self._broken:
            return
        if action.task not in self.store:
            raise Broken(f"{action}: there is no such value")
        place, nbytes = self.store.pop(action.task)
        if place == _MEMORY:
            self.held -= nbytes

    def _way(self, task: TaskId) -> float:
        """Seconds that a value is on its way to or from disk."""
        return 0.1 if self.disk is None else self.store[task][1] / self.disk

    def _do_spill(self, action: Spill) -> None:
        self._after(self._way(action.task), lambda: self._spill_over(action.task))

    def _spill_over(self, task: TaskId) -> Iterator[Signal]:
        _, nbytes = self._value(task, _MEMORY)
        ok = self.random.random() >= self.faults.spill
        if ok:
            self.store[task] = (_DISK, nbytes)
            self.held -= nbytes
        yield Spilled(task, ok)

    def _do_load(self, action: Load) -> None:
        self._after(self._way(action.task), lambda: self._load_over(action.task))

    def _load_over(self, task: TaskId) -> Iterator[Signal]:
        _, nbytes = self._value(task, _DISK)
        ok = self.random.random() >= self.faults.load
        if ok:
            self.store[task] = (_MEMORY, nbytes)
            self._hold(nbytes)
        else:
            del self.store[task]
        yield Loaded(task, ok)

    def _value(self, task: TaskId, place: int) -> tuple[int, int]:
        value = self.store.get(task)
        if value is None or value[0] != place:
            raise Broken(f"{task} was to be spilled or loaded, but is {value}")
        return value

    # Runs -----------------------------------------------------------------------------------

    def _do_deliver(self, action: Deliver) -> None:
        run = self.runs[action.task.run]
        self._value(action.task, _MEMORY)
        if action.task in run.delivered or self._stage(action.task).result is None:
            raise Broken(f"{action}: delivered twice, or no result")
        run.delivered.add(action.task)

    def _do_report(self, action: Report) -> None:
        run = self.runs[action.run]
        seen: Observation | Failure
        if action.failed is not None:
            seen = Failure(action.stage, action.failed.task, Replan("simulated", None))
        else:
            for j in range(run.watched[action.stage]):
                self._value(TaskId(action.run, action.stage, j), _MEMORY)
            seen = Observation(action.stage, tuple(range(run.watched[action.stage])))

        def answering() -> Iterator[Signal]:
            if action.run not in self.ends:
                yield self._answer(action.run, run, seen)

        self._after(self.random.random() * self.thinking, answering)

    def _do_end(self, action: End) -> None:
        if action.run in self.ends:
            raise Broken(f"{action}: it has ended already")
        self.ends[action.run] = action
        run = self.runs[action.run]
        left = [task for task in self.store if task.run == action.run]
        at_work = [
            t
            for w in self._workers.values()
            if not w.frozen
            for t in w.tasks
            if t.run == action.run
        ]
        if left or at_work:
            raise Broken(f"{action}: values {left} and tasks {at_work} are left behind")
        if action.outcome == "done":
            wanted = {
                TaskId(action.run, s.number, t)
                for s in run.stages
                if s.result is not None and s.number not in run.retracted
                for t in range(s.n_tasks)
            }
            if not wanted <= run.delivered:
                raise Broken(f"{action}: not delivered: {sorted(wanted - run.delivered)}")


def plain(signal: Signal) -> str:
    """A signal as text that is the same in every process: kernels may show their addresses."""
    if isinstance(signal, Grown):
        numbers = tuple(stage.number for stage in signal.stages)
        return repr(dataclasses.replace(signal, stages=())) + repr(numbers)
    return repr(signal)


_PERFORM: dict[type, Callable[[Simulation, Any], None]] = {
    Run: Simulation._do_run,  # noqa: SLF001 - the class's own methods
    Stop: Simulation._do_stop,  # noqa: SLF001
    Kill: Simulation._do_kill,  # noqa: SLF001
    Substitute: Simulation._do_substitute,  # noqa: SLF001
    Drop: Simulation._do_drop,  # noqa: SLF001
    Spill: Simulation._do_spill,  # noqa: SLF001
    Load: Simulation._do_load,  # noqa: SLF001
    Deliver: Simulation._do_deliver,  # noqa: SLF001
    Report: Simulation._do_report,  # noqa: SLF001
    End: Simulation._do_end,  # noqa: SLF001
}
