"""The session: one per kernel, made at first use. Plans requests, chooses an engine, runs them.

Knows nodes and engines, not collections: those ask it with a ``Request``.
"""

from __future__ import annotations

import functools
import itertools
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from nbscale import config
from nbscale.engines.base import Deliver, Engine, RunInfo, Ticket, inside, load_engine
from nbscale.engines.desk import depth
from nbscale.errors import (
    EngineError,
    PlanNotice,
    RunCancelled,
)
from nbscale.events import Observer, Place, user_place
from nbscale.expr.node import walk
from nbscale.graph.job import Job
from nbscale.history.compare import compared
from nbscale.history.recording import Recording
from nbscale.joint import Joint, outcome_of
from nbscale.plan.estimate import estimate
from nbscale.plan.jobs import Learned, PlanJob, informed
from nbscale.plan.rewrite import Change, bottom_up, carry_places, inherit_places, rewrite
from nbscale.plan.rules import RULES
from nbscale.record import replace
from nbscale.session.choice import fitting
from nbscale.session.failed import Failed
from nbscale.session.report import MOST_TASKS, RunReport
from nbscale.session.request import Collecting, Request, listed
from nbscale.store.shared import trim

__all__ = ["Session", "become", "current", "runs"]

_Key: TypeAlias = tuple[str, Place | None, str]
"""What is told of as one: its name, where the user asked for it, the engine."""

_FEW_RUNS, _MANY_TASKS = 50, 1000
"""After so many runs, or one of so many tasks, what is kept of them is looked at."""

_MOST_FAILURES = 5
"""Runs that failed of which the stages are kept, with whatever their programs hold."""


class Session:
    """Plans and runs requests, and remembers what runs have taught."""

    def __init__(self) -> None:
        self.learned = Learned()
        self.records: list[RunReport] = []
        self._engines: dict[str, tuple[Engine, tuple[int | None, int | None]]] = {}
        self._numbers = itertools.count(1)
        self._observers: list[Observer] | None = None
        self._under_way: dict[int, tuple[Ticket | Joint, threading.Thread | None]] = {}
        self._joining = threading.Lock()
        self._joints: dict[_Key, tuple[Joint, RunReport]] = {}
        self._failures: dict[int, Failed] = {}
        self._unchecked = 0  # runs since what is kept of them was looked at

    def plan(self, requests: Sequence[Request]) -> tuple[PlanJob, list[Change]]:
        """Rewrite the requested nodes and make the job that lowers them."""
        places: dict[str, Place] = {}
        for request in requests:
            for key, place in request.places.items():
                places.setdefault(key, place)
        asked = [request.node for request in requests]
        inherit_places(places, asked)
        if self.learned.facts:
            known = bottom_up(asked, lambda node: informed(node, self.learned))
            carry_places(places, asked, known)
            asked = list(known)
        roots, changes = rewrite(asked, RULES, places)
        return PlanJob(roots, places, self.learned), changes

    def run(
        self,
        requests: Sequence[Request],
        engine: str | None = None,
        *,
        place: Place | None = None,
        begun: Callable[[Ticket], object] | None = None,
    ) -> list[Any]:
        """Compute requests together and return their results in order.

        Parameters
        ----------
        requests
            What is wanted.
        engine
            Its name, or None: chosen.
        place
            Where the user asked for it; by default her innermost line in the stack.
        begun
            Called with the run before it is waited for.

        Raises
        ------
        EngineError
            If the engine is unknown.
        """
        if not requests:
            return []
        job, _ = self.plan(requests)
        chosen, reason = self._choose(job, engine)
        number = next(self._numbers)
        what = listed([request.what for request in requests])
        place = user_place() if place is None else place
        keys = tuple(request.node.key for request in requests)
        record = RunReport(number, what, chosen.name, reason, place, keys=keys)
        self.remember(record)
        collecting = Collecting(requests, job)
        info = RunInfo(number, what, reason, place, depth(), recording=record.recording)
        began = time.monotonic()
        record.outcome = "failed"
        try:
            ticket = chosen.run(job, info=info, deliver=collecting, observers=self.observers())
            self._under_way[number] = (ticket, threading.current_thread())
            if begun is not None:
                begun(ticket)
            ticket.wait()
            results = collecting.results()
            record.outcome = "done"
        except (KeyboardInterrupt, RunCancelled):
            record.outcome = "cancelled"
            raise
        except BaseException as error:
            failed = None if record.recording is None else record.recording.failed
            if failed is not None:
                self.note_failure(number, Failed.of(job.stages, *failed, error))
            raise
        finally:
            self._under_way.pop(number, None)
            record.seconds = time.monotonic() - began
            record.stages = len(job.stages)
            record.tasks = sum(stage.n_tasks for stage in job.stages)
            _tell(job.notices, place)
        return results

    def report(self, run: int) -> RunReport:
        """What is told of the run of that number.

        Raises
        ------
        ValueError
            If there is none, or it is not remembered any more.
        """
        found = next((record for record in reversed(self.records) if record.run == run), None)
        if found is None:
            told = (
                f"{self.records[0].run} to {self.records[-1].run}" if self.records else "none yet"
            )
            raise ValueError(f"there is no run {run}; the runs remembered are: {told}")
        return found

    def preferred(self, job: PlanJob) -> tuple[str, str]:
        """The name of the engine that a job would be run on now, and why. Starts nothing."""
        name = config.get().engine
        if name is not None:
            return name, "as you asked"
        return fitting(job)

    def note_failure(self, run: int, failed: Failed) -> None:
        """Keep what is needed to run a task once more; may be called by any thread."""
        self._failures.pop(run, None)
        self._failures[run] = failed
        for old in list(self._failures)[:-_MOST_FAILURES]:
            self._failures.pop(old, None)

    def failure(self, run: int | None = None) -> Failed:
        """The task that failed in a run, by default in the one that failed last.

        Raises
        ------
        ValueError
            If none did, or it is not kept any more.
        """
        kept = list(self._failures)
        if run is None and kept:
            return self._failures[kept[-1]]
        found = None if run is None else self._failures.get(run)
        if found is None:
            told = f"; kept are those of the runs {', '.join(map(str, kept))}" if kept else ""
            which = (
                "in this session" if run is None else f"in run {run}, or it is not kept any more"
            )
            raise ValueError(f"no task has failed {which}{told}")
        return found

    def report_of(self, key: str) -> RunReport | None:
        """The last run that computed the node of that key as a result of its own."""
        return next((record for record in reversed(self.records) if key in record.keys), None)

    def compare(self, request: Request) -> str:
        """What was estimated of a result, beside what the last run that computed it found.

        Raises
        ------
        ValueError
            If there is no such run, or what it did is not recorded any more.
        """
        record = self.report_of(request.node.key)
        if record is None:
            raise ValueError(
                f"no run of this session has computed this {request.what} as its result: compute() "
                "it first, then ask for explain(after=True)"
            )
        recording = record.recorded()
        # As before the run: what it has taught is left out.
        roots = self.plan([request])[0].roots
        guesses = estimate(roots, Learned())
        account = "" if recording.ended is None else f"\n{record.account}"
        return f"{record}\n{compared(recording, guesses)}{account}"

    def begin(
        self,
        job: Job,
        what: str,
        reason: str,
        deliver: Deliver,
        ended: Callable[[BaseException | None], None],
        place: Place | None,
        tasks: int,
        *,
        joins: bool = False,
        open: bool = False,
    ) -> Ticket:
        """Begin a job of one stage that nobody waits for yet, in processes where there are some.

        Parameters
        ----------
        job
            What to run.
        what, reason, place, tasks
            As in the report of the run.
        deliver
            Where results go.
        ended
            Called on the engine's thread when it is over, with its error; must be short.
        joins
            It is told of as one with others of the same name and place, while one is under way.
        open
            More of them are to be expected.
        """
        engine = self.for_calls()
        if joins:
            return self._begin_jointly(
                RunInfo(0, what, reason, place, open=open), engine, job, deliver, ended, tasks
            )
        record = RunReport(next(self._numbers), what, engine.name, reason, place, tasks, stages=1)
        self.remember(record)
        began = time.monotonic()

        def finished(error: BaseException | None) -> None:
            self._under_way.pop(record.run, None)
            record.seconds = time.monotonic() - began
            record.outcome = outcome_of(error)
            ended(error)

        info = RunInfo(record.run, what, reason, place, recording=record.recording)
        ticket = engine.run(job, info=info, deliver=deliver, observers=self.observers())
        ticket.on_finish = finished
        ticket.run = record.run
        self._under_way[record.run] = (ticket, None)
        ticket.begin()
        return ticket

    def _begin_jointly(
        self,
        info: RunInfo,
        engine: Engine,
        job: Job,
        deliver: Deliver,
        ended: Callable[[BaseException | None], None],
        tasks: int,
    ) -> Ticket:
        joint, info = self._joined(info, engine, tasks)
        try:
            ticket = engine.run(job, info=info, deliver=deliver, observers=self.observers())
        except BaseException as error:
            joint.left(error)
            raise
        joint.entered(ticket)

        def finished(error: BaseException | None) -> None:
            joint.left(error, ticket)
            ended(error)

        ticket.on_finish = finished
        ticket.run, ticket.first = info.run, info.first
        ticket.begin()
        return ticket

    def _joined(self, info: RunInfo, engine: Engine, tasks: int) -> tuple[Joint, RunInfo]:
        """The runs under way that one is told of with, and what it is begun with."""
        key = (info.what, info.place, engine.name)
        with self._joining:
            joint, report = self._joints.get(key, (None, None))
            part = None if joint is None else joint.join(tasks)
            if joint is None or report is None or part is None:
                number = next(self._numbers)
                report = RunReport(number, "", engine.name, info.reason, info.place, stages=1)
                self.remember(report)
                over = functools.partial(self._joint_over, key, report, time.monotonic())
                info = replace(info, run=number, recording=report.recording)
                joint = Joint(info, engine.name, self.observers(), over)
                self._joints[key] = joint, report
                self._under_way[number] = (joint, None)
                part = joint.join(tasks)
                assert part is not None  # nobody has left yet
            report.tasks += tasks
            report.what = f"{report.tasks} x {info.what}"
        return joint, part

    def _joint_over(self, key: _Key, report: RunReport, began: float, outcome: str) -> None:
        self._under_way.pop(report.run, None)
        report.seconds = time.monotonic() - began
        report.outcome = outcome
        if self._joints.get(key, (None, None))[1] is report:
            self._joints.pop(key, None)

    def for_calls(self) -> Engine:
        """The engine that calls of functions of the user's are run on, started."""
        name = config.get().engine
        if name is None or not self.engine(name).capabilities.user_code:
            name = "local" if sys.platform == "linux" else "inline"
        return self.engine(name)

    def waiter(self, run: int) -> threading.Thread | None:
        """The thread that waits for the run of that number; None if nobody does, or it is over."""
        under_way = self._under_way.get(run)
        return None if under_way is None else under_way[1]

    def cancel(self, run: int) -> bool:
        """Ask for a run to be stopped; who waits for it gets ``RunCancelled``.

        Returns at once and may be called from any thread, since it only posts a message. A task
        that runs in the waiting thread ends first.

        Parameters
        ----------
        run
            Its number, as in ``ns.runs()``.

        Returns
        -------
        bool
            False if there is no such run under way.
        """
        under_way = self._under_way.get(run)
        if under_way is None:
            return False
        under_way[0].cancel()
        return True

    def engine(self, name: str) -> Engine:
        """The engine of that name, started at first use.

        An engine takes the settings of size as they are when it starts, so it is started again
        when they have changed.
        """
        settings = config.get()
        sizes = (settings.n_workers, settings.memory_limit)
        engine, had = self._engines.get(name, (None, None))
        if engine is not None and had != sizes:
            engine.close()
            engine = None
        if engine is None:
            engine = load_engine(name)
            engine.start()
            self._engines[name] = (engine, sizes)
        return engine

    def close(self) -> None:
        """Close every engine. The next run starts them again."""
        for engine, _ in self._engines.values():
            engine.close()
        self._engines.clear()
        self._failures.clear()
        trim(0)

    def observers(self) -> list[Observer]:
        """Observers from the entry point ``nbscale.observers``, looked up only under IPython."""
        if self._observers is None:
            self._observers = []
            if "IPython" in sys.modules:
                from importlib.metadata import entry_points  # noqa: PLC0415 - 6 ms; IPython has it already

                for entry in entry_points(group="nbscale.observers"):
                    self._observers.append(entry.load())
        return self._observers

    def remember(self, record: RunReport) -> None:
        """Keep what is told of a run, and for the last of them what they did."""
        record.recording = Recording()
        for run in list(self._under_way):
            other = next((one for one in reversed(self.records) if one.run == run), None)
            if other is None or other.recording is None or other.engine != record.engine:
                continue
            other.beside.append(record.recording)
            record.beside.append(other.recording)
        last = self.records[-1].recording if self.records else None
        self.records.append(record)
        del self.records[:-1000]
        self._unchecked += 1
        # Not for each of many small runs, which must cost little.
        if self._unchecked >= _FEW_RUNS or (last is not None and len(last) > _MANY_TASKS):
            self._unchecked = 0
            self._forget_tasks()

    def _forget_tasks(self) -> None:
        """Keep what tasks did of the last runs only; of the last and of those under way always."""
        count = 0
        for at, one in enumerate(reversed(self.records)):
            if one.recording is not None:
                count += len(one.recording)
                if count > MOST_TASKS and at > 1 and one.run not in self._under_way:
                    one.recording, one.beside = None, []

    def _choose(self, job: PlanJob, fixed: str | None) -> tuple[Engine, str]:
        name = fixed if fixed is not None else config.get().engine
        user_code = next((node for node in walk(job.roots) if node.user_code), None)
        if name is not None:
            engine = self.engine(name)
            if user_code is not None and not engine.capabilities.user_code and fixed is not None:
                msg = (
                    f"{user_code.label} calls your function, and the engine {name!r} runs none: "
                    "a thread cannot be stopped. Leave engine= out, or use engine='local'."
                )
                raise EngineError(msg)
            if user_code is None or engine.capabilities.user_code:
                return engine, "as you asked"
        inner = inside()
        if inner:
            return self.engine("inline"), f"inside a task, on {inner}"
        name, reason = fitting(job)
        if name == "local" and sys.platform != "linux":
            name, reason = "inline", f"{reason}; there are no processes for it here"
        return self.engine(name), reason


def _tell(notices: Sequence[str], place: Place | None) -> None:
    """Warn of what changed the plan, at the user's line."""
    file, line = (place.file, place.line) if place is not None else ("<unknown>", 1)
    for notice in notices:
        warnings.warn_explicit(notice, PlanNotice, file, line)


_current: Session | None = None
_making = threading.Lock()


def current() -> Session:
    """The session of this kernel, made at first use."""
    global _current  # noqa: PLW0603 - one session per kernel is what this module is for
    if _current is None:
        with _making:
            if _current is None:
                _current = Session()
    return _current


def become(session: Session) -> None:
    """Make a session that of this process, whose runs another process does."""
    global _current  # noqa: PLW0603 - as above
    _current = session


def runs() -> tuple[RunReport, ...]:
    """The runs of this session, oldest first, at most the last 1000.

    Examples
    --------
    >>> import nbscale as ns
    >>> isinstance(ns.runs(), tuple)
    True
    """
    return tuple(current().records)
