"""What if: a recorded run given to the real scheduler again, with other workers or other memory.

Every task takes the seconds and makes the bytes it did; clock, workers and store are values. So what is
said of a run that never was is what the scheduler would have decided, not a formula. What it cannot
know: that tasks disturb one another less, or more, when fewer or more of them run at once.
"""

from __future__ import annotations

import collections
import dataclasses
import html
from collections.abc import Callable, Iterator, Mapping, Sequence

from nbscale.graph.job import Done, Failure, Grow, Job, Observation, Reply, Watch
from nbscale.graph.stage import Stage
from nbscale.history.account import Account, account_of
from nbscale.history.recording import FREE, MEMORY, SPILL, Growth, Recording, Row
from nbscale.record import record
from nbscale.scheduler.protocol import Signal, TaskDone, TasksDone, WorkerJoined, WorkerLeft
from nbscale.scheduler.simulate import Faults, Simulation
from nbscale.units import counted, format_bytes, format_count, format_seconds

__all__ = ["Prediction", "critical_path", "simulated", "what_if"]

_DISK = 500e6
"""Bytes a second that values are taken to need to and from disk."""

_NEAR = 1.1
"""A run that takes no more than so many times its critical path is bound by it."""

_MUCH = 0.1
"""Part of the time that is worth a word."""

Measured = dict[tuple[int, int], Row]


@record
class Prediction:
    """What would have been.

    Attributes
    ----------
    workers, limit, seconds
        So many workers, bytes that the work may use, and seconds the run would have taken.
    before
        The run as it was: its workers, limit and seconds.
    path, on_path
        Seconds of the longest chain of tasks that read one another, and how many they are.
    account
        Where the time of the workers would have gone, from the first task to the last.
    peak
        Most bytes of values in memory at once.
    cores
        Processors that there were.
    """

    workers: int
    limit: int
    seconds: float
    before: tuple[int, int, float]
    path: float
    on_path: int
    longest: tuple[str, float]
    account: Account
    peak: int
    cores: int

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it would have taken so long, the most important first."""
        ns, total = self.account.nanoseconds, max(1, self.account.total)
        waiting = (ns["memory"] + ns["spill"]) / total
        found = []
        if self.account.wall <= _NEAR * self.path:
            name, longest = self.longest
            found.append(
                f"the critical path: {format_count(self.on_path)} tasks that wait for one another "
                f"take {format_seconds(self.path)}, the longest ({name}) {format_seconds(longest)}; "
                "more workers do not help"
            )
        if waiting >= _MUCH:
            found.append(
                f"memory: workers wait for it {waiting:.0%} of the time; more of it, or smaller "
                "partitions, would help"
            )
        idle = ns["dependency"] / total
        if idle >= _MUCH and not found:
            found.append(f"not enough tasks: workers have none for {idle:.0%} of the time")
        late = ns["hand-over"] / total
        if late >= _MUCH:
            found.append(f"small tasks: workers wait for the next one {late:.0%} of the time")
        crowd = ns["processor"] / total
        if crowd >= _MUCH:
            found.append(
                f"other programs: tasks wait for a processor {crowd:.0%} of the time"
                + (
                    f", of which there are {self.cores} for {self.workers} workers"
                    if self.workers > self.cores
                    else ""
                )
            )
        if not found:
            busy = (ns["compute"] + ns["parse"] + ns["move"]) / total
            found.append(f"work: workers are busy {busy:.0%} of the time")
        return tuple(found)

    def __str__(self) -> str:
        workers, limit, seconds = self.before
        return "\n".join(
            [
                (
                    f"{counted(self.workers, 'worker')}, {format_bytes(self.limit)}: "
                    f"{format_seconds(self.seconds)} instead of {format_seconds(seconds)} "
                    f"({counted(workers, 'worker')}, {format_bytes(limit)})"
                ),
                *self.reasons,
                f"values in memory: at most {format_bytes(self.peak)}",
            ]
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def what_if(
    recording: Recording, workers: int | None = None, limit: int | None = None
) -> Prediction:
    """Say what a run would have been with other workers or memory.

    Parameters
    ----------
    recording
        What the run did; it must have been done whole.
    workers
        How many; by default as many as there were.
    limit
        Bytes that the work may use; by default what they were.

    Raises
    ------
    ValueError
        If the run is not over or did not do all its tasks, or no worker is asked for.
    """
    workers = recording.workers if workers is None else workers
    limit = recording.limit if limit is None else limit
    if workers < 1:
        raise ValueError(f"a run needs at least one worker, not {workers}")
    measured = _measured(recording)
    begin = min((row.start for row in measured.values()), default=recording.began)
    end = max((row.stop for row in measured.values()), default=recording.began)
    # What comes before the first task and after the last would be as it was.
    around = (recording.ended or 0.0) - recording.began - (end - begin)
    overhead = _overhead(recording, begin, end, len(measured))
    job = _Again(recording)
    crowds = {n: _crowd(recording, recording.waited(n), workers) for n in recording.stages}
    for key, row in measured.items():
        own = (row.stop - row.start) * (1 - recording.waited(row.stage))
        measured[key] = row._replace(stop=row.start + own * (1 + crowds[row.stage]))

    def row_of(stage: Stage, task: int) -> Row:
        number = job.was[stage.number]
        # What nobody wanted was not run, and is not now unless it comes sooner.
        return measured.get((number, task)) or Row(True, number, task, 0, 0.0, 0.0, 0)

    def seconds_of(stage: Stage, task: int) -> float:
        row = row_of(stage, task)
        return row.stop - row.start

    made, peak = simulated(
        [job],
        workers,
        limit,
        seconds_of,
        lambda stage, task: row_of(stage, task).nbytes,
        overhead=overhead,
        can_spill=recording.can_spill,
    )
    for number, was in enumerate(job.was):
        made.operations[number] = recording.operations[was]
        if was in recording.spent:
            *others, _ = recording.spent[was]
            waited = sum(others) * crowds[was] / (1 + crowds[was])
            made.spent[number] = [*others, waited]
    account = account_of(made)
    path = critical_path(recording, measured)
    longest = max(path, key=lambda row: row.stop - row.start, default=None)
    name = ("", 0.0)
    if longest is not None:
        name = (recording.stages[longest.stage].name, longest.stop - longest.start)
    return Prediction(
        workers,
        limit,
        account.wall + around,
        (recording.workers, recording.limit, (recording.ended or 0.0) - recording.began),
        sum(row.stop - row.start + overhead for row in path),
        len(path),
        name,
        account,
        peak,
        recording.cores,
    )


def simulated(
    jobs: Sequence[Job],
    workers: int,
    limit: int,
    seconds: Callable[[Stage, int], float],
    nbytes: Callable[[Stage, int], int],
    *,
    overhead: float = 0.0,
    can_spill: bool = False,
    seed: int = 0,
    faults: Faults | None = None,
) -> tuple[Recording, int]:
    """Run jobs through the scheduler in a world of values; return what was recorded, and the peak.

    Parameters
    ----------
    jobs
        What to run; what is recorded is the first of them, which all the time is counted for.
    workers, limit, can_spill, seed, faults
        The world.
    seconds, nbytes
        What a task takes and makes.
    overhead
        Seconds from the end of a task to the beginning of the next on its worker.
    """
    began: dict[tuple[int, int], float] = {}

    def begin(stage: Stage, task: int) -> float:
        began[stage.number, task] = world.now + overhead
        return seconds(stage, task) + overhead

    world = Simulation(
        workers=workers,
        limit=limit,
        seed=seed,
        faults=faults or Faults(),
        seconds=begin,
        nbytes=nbytes,
        options={"can_spill": can_spill, "queue": 1},
        thinking=0.0,
        disk=_DISK,
    )
    made = Recording(workers=workers, limit=limit, can_spill=can_spill)
    noting = _Noting(jobs[0], lambda grow, after: made.grown(world.now, grow, after))
    for job in [noting, *jobs[1:]]:
        world.open(job)
    last = 0.0
    for signal in world:
        for done in _done(signal):
            if done.task.run == 1:
                _, stage, task = done.task
                start = began.get((stage, task), world.now)
                made.task(True, stage, task, done.worker, start, world.now, done.nbytes)
                last = world.now
        if isinstance(signal, (WorkerJoined, WorkerLeft)):
            here = isinstance(signal, WorkerJoined)
            made.worker(world.now, signal.worker, present=here)
        machine = world.machine
        state = MEMORY if machine.blocked is not None else FREE
        made.mark(world.now, SPILL if machine.spilling or machine.fetching else state)
    made.ended, made.outcome = last, world.ends[1].outcome
    return made, world.peak


class _Noting:
    """A job whose growth is noted."""

    def __init__(self, job: Job, note: Callable[[Grow, int | None], None]) -> None:
        self._job = job
        self._note = note

    def step(self, seen: Observation | Failure | None) -> Reply:
        """What the job says."""
        reply = self._job.step(seen)
        if isinstance(reply, Grow):
            self._note(reply, seen.stage if isinstance(seen, Observation) else None)
        return reply

    def measured(self, sizes: Mapping[int, Mapping[int, tuple[int, int]]]) -> None:
        """Tell the job."""
        self._job.measured(sizes)


def _done(signal: Signal) -> tuple[TaskDone, ...]:
    if isinstance(signal, TasksDone):
        return signal.done
    return (signal,) if isinstance(signal, TaskDone) else ()


def _measured(recording: Recording) -> Measured:
    """The row of each task that was done, if the run did all that was wanted of it."""
    if recording.ended is None:
        raise ValueError("the run is not over yet: ask again when it is")
    if recording.outcome != "done" or not recording.complete:
        why = "had too many tasks" if not recording.complete else recording.outcome
        raise ValueError(
            f"the run is not recorded whole ({why}), so nobody knows what the rest would have taken"
        )
    measured: Measured = {}
    for row in recording.rows():
        if row.ok and row.stage not in recording.withdrawn:
            measured[row.stage, row.task] = row
    return measured


def _crowd(recording: Recording, waited: float, workers: int) -> float:
    """Seconds that a task would wait for a processor for each that it has one.

    Processors are shared evenly: a worker fewer leaves each of the others more. More workers are
    taken to come with processors of their own.
    """
    if not waited:
        return 0.0
    fewer = max(0, recording.workers - workers) / recording.cores
    return max(0.0, waited / max(1e-3, 1 - waited) - fewer)


def _overhead(recording: Recording, begin: float, end: float, tasks: int) -> float:
    """Seconds that a task was on its way to a worker that waited for it, on average."""
    if not tasks:
        return 0.0
    present = [(max(begin, time), worker, here) for time, worker, here in recording.present]
    between = dataclasses.replace(recording, began=begin, ended=end, present=present)
    return account_of(between).nanoseconds["hand-over"] / 1e9 / tasks


def critical_path(recording: Recording, measured: Measured) -> list[Row]:
    """The longest chain of tasks each of which reads the one before, or was planned after it."""
    finish: dict[tuple[int, int], float] = {}
    before: dict[tuple[int, int], tuple[int, int] | None] = {}
    latest: dict[int, tuple[int, int]] = {}
    first: tuple[int, int] | None = None
    counts: dict[int, int] = {}
    for number, count in (watch for growth in recording.growths for watch in growth.watches):
        n = recording.stages[number].n_tasks
        counts[number] = min(counts.get(number, n), n if count is None else count)
    for growth in recording.growths:
        if growth.after in recording.stages:
            # The job went on when it had seen what it had asked for, and what before that.
            seen = [(growth.after, task) for task in range(counts.get(growth.after, 0))]
            known = [one for one in [*seen, first] if one in finish]
            first = max(known, key=finish.__getitem__, default=None)
        for number in growth.stages:
            if number not in recording.withdrawn:
                _finish_stage(recording, number, first, measured, finish, before, latest)
    path: list[Row] = []
    at = max(finish, key=finish.__getitem__, default=None)
    while at is not None:
        path.append(measured[at])
        at = before[at]
    return path[::-1]


def _finish_stage(
    recording: Recording,
    number: int,
    first: tuple[int, int] | None,
    measured: Measured,
    finish: dict[tuple[int, int], float],
    before: dict[tuple[int, int], tuple[int, int] | None],
    latest: dict[int, tuple[int, int]],
) -> None:
    """When each task of a stage could end at the earliest, and after which other."""
    stage = recording.stages[number]
    for task in range(stage.n_tasks):
        if (number, task) not in measured:
            continue
        last = first
        for one in _inputs(recording, stage, task, latest):
            if one in finish and (last is None or finish[one] > finish[last]):
                last = one
        row = measured[number, task]
        finish[number, task] = (0.0 if last is None else finish[last]) + row.stop - row.start
        before[number, task] = last
    ends = [(number, task) for task in range(stage.n_tasks) if (number, task) in finish]
    if ends:
        latest[number] = max(ends, key=finish.__getitem__)


def _inputs(
    recording: Recording, stage: Stage, task: int, latest: dict[int, tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """The tasks that a task reads; of those that everybody reads, the one that ends last."""
    for edge in stage.edges:
        if edge.is_everything and edge.producer in latest:
            yield latest[edge.producer]
        elif edge.producer in recording.stages:
            for j in stage.reads(task, edge, recording.stages[edge.producer]):
                yield edge.producer, int(j)


class _Again:
    """The job of a run that is over: the same stages, as they joined.

    ``was`` gives the number that each stage had. Where stages were taken back, the others come at
    once: what was asked about those that are gone is asked no more.
    """

    def __init__(self, recording: Recording) -> None:
        kept = [n for n in sorted(recording.stages) if n not in recording.withdrawn]
        number_of = {n: at for at, n in enumerate(kept)}
        self.was = kept
        self._all: Grow | None = None
        self._growths = list(recording.growths)
        self._stages = recording.stages
        self._seen: collections.Counter[int] = collections.Counter()
        if recording.withdrawn:
            self._growths = []
            stages = (_numbered(recording.stages[n], number_of) for n in kept)
            self._all = Grow(tuple(dataclasses.replace(s, keep=False) for s in stages), sealed=True)

    def step(self, seen: Observation | Failure | None) -> Grow | Done:
        """The next stages, when what they came after has been seen."""
        if self._all is not None:
            return self._all
        if isinstance(seen, Observation):
            self._seen[seen.stage] += 1
        now: list[Growth] = []
        while self._growths:
            after = self._growths[0].after
            if after is not None and not self._seen[after]:
                break
            if after is not None:
                self._seen[after] -= 1  # a stage may be asked about twice
            now.append(self._growths.pop(0))
        return Grow(
            tuple(self._stages[n] for growth in now for n in growth.stages),
            tuple(Watch(n, first) for growth in now for n, first in growth.watches),
            sealed=not self._growths,
            release=tuple(n for growth in now for n in growth.release),
        )

    def measured(self, sizes: object) -> None:
        """Nobody plans with them."""


def _numbered(stage: Stage, number_of: dict[int, int]) -> Stage:
    edges = tuple(dataclasses.replace(e, producer=number_of[e.producer]) for e in stage.edges)
    return dataclasses.replace(stage, number=number_of[stage.number], edges=edges)
