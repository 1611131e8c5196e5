"""Where threads fetch tasks and leave what became of them: the way between the loop and workers.

Both sides are queues written in C, with no lock of ours. The loop is told of outcomes when somebody
is idle, and otherwise every two milliseconds: a message for each task would make the threads fight
for the interpreter.
"""

from __future__ import annotations

import collections
import queue
import threading
import time
from collections.abc import Callable
from typing import TypeAlias

from nbscale.engines import inner
from nbscale.engines.base import LOOK_UP
from nbscale.engines.task import Work
from nbscale.events import TaskEnded, TaskStarted
from nbscale.scheduler.protocol import Run
from nbscale.store.base import Size

__all__ = ["Desk", "Item", "Outcome", "Station", "depth", "work_off"]

Item: TypeAlias = tuple[Work, Run]
"""A task that was handed out."""

Outcome: TypeAlias = tuple[
    Work, Run, Size | None, float, float, list[float] | None, BaseException | None
]
"""What became of it: its size (None if it was skipped or failed), when it began and ended, its
seconds step by step if they were taken, its error."""

_TELL_AFTER = 0.002

_here = threading.local()


def depth() -> int:
    """How many tasks the calling thread is inside of."""
    found: int = getattr(_here, "depth", 0)
    return found


class Station:
    """Where one thread works: what it is at, and whether it was given up.

    Attributes
    ----------
    at
        The work of the task being run, or None.
    given_up
        Set when another thread has taken this one's place, because its task cannot be stopped.
    """

    __slots__ = ("at", "given_up")

    def __init__(self) -> None:
        self.at: Work | None = None
        self.given_up = False


class Desk:
    """Items to be worked off, and outcomes.

    Parameters
    ----------
    wake
        Makes the loop look at the outcomes; may be called from any thread.

    Attributes
    ----------
    items
        Tasks in the order they should run; None ends the thread that fetches it.
    outcomes
        What became of them.
    idle
        One entry for each thread that waits for an item.
    """

    __slots__ = ("_told", "_wake", "idle", "items", "outcomes")

    def __init__(self, wake: Callable[[], None]) -> None:
        self.items: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self.outcomes: collections.deque[Outcome] = collections.deque()
        self.idle: collections.deque[None] = collections.deque()
        self._wake = wake
        self._told = False

    def tell(self) -> None:
        """Make the loop look at the outcomes, unless it was told to already."""
        if not self._told:
            self._told = True
            self._wake()

    def heard(self) -> None:
        """The loop begins to look: what is left from now on must be told again."""
        self._told = False


def work_off(
    desk: Desk, station: Station, left: Callable[[], float | None], *, interruptible: bool
) -> bool:
    """Run tasks in the calling thread as they come.

    Parameters
    ----------
    desk
        Where they come from.
    station
        Where this thread works.
    left
        Seconds that are left for it, or None.
    interruptible
        Let a KeyboardInterrupt through, instead of taking it for the task's.

    Returns
    -------
    bool
        True if told to end, False if time is up.
    """
    _here.depth = depth() + 1
    try:
        with inner.here():
            return _work_off(desk, station, left, interruptible)
    finally:
        _here.depth -= 1
        desk.tell()


def _work_off(
    desk: Desk, station: Station, left: Callable[[], float | None], interruptible: bool
) -> bool:
    clock = time.monotonic
    fetch = desk.items.get_nowait
    told = clock()
    while left() != 0:
        try:
            item = fetch()
        except queue.Empty:
            try:
                item = _sleep(desk, left(), interruptible)
            except queue.Empty:
                continue
        if item is None:
            return True
        stop = _run(desk, station, item, clock, interruptible)
        # Nothing of a task may live on here while the thread waits for the next.
        del item
        if desk.idle or stop - told > _TELL_AFTER:
            desk.tell()
            told = stop
        if station.given_up:
            return True
    return False


def _sleep(desk: Desk, rest: float | None, interruptible: bool) -> Item | None:
    """Wait for an item; queue.Empty if it is time to look up."""
    if desk.outcomes:
        desk.tell()
    if interruptible:
        rest = LOOK_UP if rest is None else min(rest, LOOK_UP)
    desk.idle.append(None)
    try:
        return desk.items.get(timeout=rest)
    finally:
        desk.idle.pop()


def _run(
    desk: Desk, station: Station, item: Item, clock: Callable[[], float], interruptible: bool
) -> float:
    """Run one task, leave its outcome and return the time."""
    work, action = item
    start = clock()
    if work.dead:
        desk.outcomes.append((work, action, None, start, start, None, None))
        return start
    station.at = work
    size = failure = None
    spent = work.clocks()
    if work.wire is not None:
        _, stage, task = action.task
        task += work.run.info.first
        work.wire.put(TaskStarted(work.number, stage, task, action.worker, start))
    try:
        size = work.execute(action.task.task, spent)
    except BaseException as error:  # whatever a task raises belongs to its run
        if interruptible and isinstance(error, KeyboardInterrupt):
            raise
        failure = error
    stop = clock()
    if work.wire is not None:
        nbytes = 0 if size is None else size[1]
        name = None if failure is None else type(failure).__name__
        work.wire.put(TaskEnded(work.number, stage, task, action.worker, start, stop, nbytes, name))
    desk.outcomes.append((work, action, size, start, stop, spent, failure))
    # The error's traceback refers to this frame: together they would keep the inputs alive.
    station.at = failure = None
    return stop
