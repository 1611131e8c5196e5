"""What every engine offers, and what the caller of a run holds.

An engine runs a job's tasks and says what happened; it decides nothing. It is found by the entry
point group ``nbscale.engines``, so a package of its own can bring another.
"""

from __future__ import annotations

import abc
import importlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from nbscale.errors import EngineError
from nbscale.events import Observer, Place
from nbscale.graph.job import Job
from nbscale.history.recording import Recording
from nbscale.record import record
from nbscale.store.base import Ref

__all__ = [
    "Capabilities",
    "Deliver",
    "Engine",
    "RunInfo",
    "Take",
    "Ticket",
    "deadline",
    "enter",
    "forbid_here",
    "inside",
    "load_engine",
    "serving",
]


@record
class Capabilities:
    """What an engine can do.

    Attributes
    ----------
    user_code
        It may run functions of the user's: a task that never ends can be stopped.
    parallel
        Tasks run at the same time.
    processes
        Tasks run outside the kernel.
    """

    user_code: bool
    parallel: bool
    processes: bool


@record
class RunInfo:
    """What a run is called in events.

    Attributes
    ----------
    run
        Its number.
    what
        Its result in the user's words.
    reason
        Why it runs on this engine.
    place
        Where the user asked for it.
    depth
        How many tasks the caller is inside of.
    open
        More may come to be told of as the same run.
    part, first
        It is a part of what is told of as one run, the beginning and the end by somebody else; the
        number of its first task in that.
    recording
        Where the engine notes what the run does, or None.
    """

    run: int
    what: str = ""
    reason: str = ""
    place: Place | None = None
    depth: int = 0
    open: bool = False
    part: bool = False
    first: int = 0
    recording: Recording | None = None


Take: TypeAlias = Callable[[tuple[int, ...], Any], None]
"""``take(index, value)``: called once for each task of a result's stage, with its original index,
in any order, from any thread: the one that ran the task if it is in this process."""


class Deliver(Protocol):
    """Where results go."""

    def __call__(self, result: int, /) -> Take:
        """Return where the values of a result go from now on.

        Called when the stage of that result joins the run, and again if the stage is taken back
        and planned anew: whatever the first ``take`` was given then counts no more, though a task
        that was under way may still call it.
        """


LOOK_UP = 0.2
"""Seconds a waiter sleeps at most. A signal that comes just before a thread falls asleep does not
wake it, so an interrupt would go unnoticed for as long as the run takes."""


def _nothing() -> None:
    """Begin or stop a run that is over."""


class Ticket:
    """A run that was handed to an engine. It begins with the first wait, or with ``begin``.

    So an interrupt finds either a run that never began or somebody who waits and can stop it.

    Parameters
    ----------
    begin, cancel
        Begin and stop the run. They only post messages, so they may be called anywhere, and
        more than once.
    """

    patience = 2.0
    """Seconds an interrupted waiter gives the engine to stop what still runs."""

    by_waiter = False
    """Only a thread that waits for it runs its tasks."""

    run = 0
    """The run's number, where whoever began it has said so."""

    first = 0
    """What its first task is called in that run."""

    def __init__(self, begin: Callable[[], None], cancel: Callable[[], None]) -> None:
        self._begin = begin
        self._cancel = cancel
        self._begun = False
        self._over = False
        self._gate = threading.Lock()
        self._gate.acquire()
        self._error: BaseException | None = None
        self._trace: Any = None
        self.on_finish: Callable[[BaseException | None], None] | None = None
        """Called on the engine's thread when the run is over, with its error; must be short."""

    @property
    def done(self) -> bool:
        """Whether the run is over, whatever its outcome."""
        return self._over

    def finish(self, error: BaseException | None) -> None:
        """Say that the run is over; for the engine, once."""
        self._error = error
        self._trace = None if error is None else error.__traceback__
        self._over = True
        # Who keeps the ticket need not keep the run, which may hold what others wait to see freed.
        self._begin = self._cancel = _nothing
        told, self.on_finish = self.on_finish, None
        self._gate.release()
        if told is not None:
            told(error)

    def begin(self) -> None:
        """Begin the run without waiting for it; does nothing if it has begun."""
        if not self._begun:
            self._begin()
            self._begun = True

    def cancel(self) -> None:
        """Ask for the run to be stopped; returns at once."""
        self.begin()
        self._cancel()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the run is over.

        An interrupt can only hit this wait. It stops the run, waits until nothing of it is running
        any more (for at most ``patience`` seconds), and passes on.

        Parameters
        ----------
        timeout
            Seconds, or None for as long as it takes.

        Raises
        ------
        TimeoutError
            If the run is not over in time; it goes on.
        RunCancelled
            If the run was stopped.
        BaseException
            What a task raised, unchanged but for a note that says where.
        """
        try:
            self.begin()
            over = self._stay(timeout)
        except BaseException:
            try:
                self._leave()
            except BaseException:
                # A second interrupt may have come before the run was told.
                self.cancel()
                raise
            raise
        if not over:
            raise TimeoutError(f"the run is not over after {timeout} s; it goes on")
        if self._error is not None:
            # The same trace each time: waiting twice must not grow it.
            raise self._error.with_traceback(self._trace)

    def settle(self, timeout: float | None) -> bool:
        """Wait until the run is over, whatever its outcome; False if it is not in time."""
        # Plain locks, since an interrupt inside `threading.Event` can leave it broken.
        left = deadline(timeout)
        while not self._over:
            rest = left()
            if rest == 0:
                return False
            if self._gate.acquire(timeout=LOOK_UP if rest is None else min(rest, LOOK_UP)):
                self._gate.release()
        return True

    def _stay(self, timeout: float | None) -> bool:
        """Stay until the run is over (True) or time is up."""
        return self.settle(timeout)

    def _leave(self) -> None:
        """Stop the run, because its waiter was interrupted."""
        self.cancel()
        self.settle(self.patience)


class Engine(abc.ABC):
    """Runs jobs. Started at first use, may be closed and started again.

    Attributes
    ----------
    name
        As in its entry point.
    capabilities
        What it can do.
    """

    name: str
    capabilities: Capabilities

    @abc.abstractmethod
    def start(self) -> None:
        """Get ready; does nothing if it is."""

    @abc.abstractmethod
    def close(self) -> None:
        """Stop every run and give everything back; does nothing if it was not started."""

    @abc.abstractmethod
    def put(self, value: Any) -> Ref:
        """Keep a value for as long as the answer lives."""

    @abc.abstractmethod
    def get(self, ref: Ref) -> Any:
        """The value that was put."""

    @abc.abstractmethod
    def run(
        self, job: Job, *, info: RunInfo, deliver: Deliver, observers: Sequence[Observer] = ()
    ) -> Ticket:
        """Take a job on; its first step is taken in the calling thread.

        The run begins with the first wait for the ticket, or its ``begin``.

        Parameters
        ----------
        job
            Gives stages, and more of them as it sees values.
        info
            What the run is called.
        deliver
            Where results go.
        observers
            Called with every event, one at a time, on a thread of their own.

        Raises
        ------
        EngineError
            If called where waiting would stop everything: on an engine's own thread.
        """

    def cancel(self, ticket: Ticket) -> None:
        """Stop a run. Returns at once; who waits for it gets ``RunCancelled``."""
        ticket.cancel()

    @abc.abstractmethod
    def scale(self, n: int) -> None:
        """Change how many tasks run at the same time, from now on.

        Raises
        ------
        EngineError
            If this engine cannot.
        """


GROUP = "nbscale.engines"

_OWN = {
    "inline": "nbscale.engines.inline:InlineEngine",
    "threads": "nbscale.engines.threads:ThreadsEngine",
    "local": "nbscale.engines.local:LocalEngine",
}


def load_engine(name: str) -> Engine:
    """Make the engine of that name; it is not started yet.

    Raises
    ------
    EngineError
        If there is none of that name (the message lists those there are), or if something it
        needs is not installed (the message says what to install).

    Examples
    --------
    >>> load_engine("inline").capabilities.user_code
    True
    """
    if name in _OWN:
        # The same as its entry point says, without looking through every package installed.
        module, _, attribute = _OWN[name].partition(":")
        own: Engine = getattr(importlib.import_module(module), attribute)()
        return own
    from importlib.metadata import entry_points  # noqa: PLC0415 - 6 ms that the engines of our own need not cost

    entries = entry_points(group=GROUP)
    entry = next((entry for entry in entries if entry.name == name), None)
    if entry is None:
        known = ", ".join(sorted({entry.name for entry in entries})) or "none"
        raise EngineError(f"there is no engine {name!r}; installed are: {known}")
    try:
        made = entry.load()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "nbscale":
            raise  # a defect of ours is no package that is missing
        dist = entry.dist.name if entry.dist is not None else "nbscale"
        raise EngineError(
            f"the engine {name!r} needs {error.name}, which is missing: "
            f"pip install '{dist}[{name}]'"
        ) from error
    engine: Engine = made()
    return engine


_serving: dict[int, str] = {}
os.register_at_fork(after_in_child=_serving.clear)


class serving:  # noqa: N801 - reads as a sentence: with serving("runs observers"):
    """Mark the calling thread as one that keeps runs going, so that it must not wait for one."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        _serving[threading.get_ident()] = self._what

    def __exit__(self, *raised: object) -> None:
        del _serving[threading.get_ident()]


def forbid_here() -> None:
    """Raise if the calling thread is one that keeps runs going.

    Raises
    ------
    EngineError
        Says which thread it is and what to do instead.
    """
    what = _serving.get(threading.get_ident())
    if what is not None:
        raise EngineError(
            f"nothing can be computed on the thread that {what}, since the run would wait for "
            "that thread; keep what you need and compute it in the cell or the script"
        )


_inside: list[str] = []


def enter(what: str) -> None:
    """Say that this whole process is one that runs tasks for another: work in it stays in it."""
    _inside.append(what)


def inside() -> str:
    """What this process is to another, if it runs tasks for one; else ''."""
    return _inside[-1] if _inside else ""


def deadline(timeout: float | None) -> Callable[[], float | None]:
    """A function that says how many seconds of a timeout are left, never below 0."""
    if timeout is None:
        return lambda: None
    end = time.monotonic() + timeout
    return lambda: max(0.0, end - time.monotonic())
