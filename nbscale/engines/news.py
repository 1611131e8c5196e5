"""The thread ``nbscale-news``: observers run here, where they can neither slow nor break a run.

The queue to it is bounded. When observers are too slow, the oldest news of single tasks is dropped,
so an observer may miss that a task began or ended; runs and stages are never missed, and the order
is kept.
"""

from __future__ import annotations

import collections
import os
import threading
import warnings
from collections.abc import Sequence

from nbscale.engines.base import serving
from nbscale.engines.loop import report_error
from nbscale.events import Event, MemoryHeld, Observer, RunEnded, RunStarted, TaskEnded, TaskStarted

__all__ = ["News", "Wire", "shared", "wire"]

_MOST = 100_000
"""Events that may wait: some 20 MB."""

_LOOK_AGAIN = 0.05
"""Seconds."""

_OF_TASKS = frozenset({TaskStarted, TaskEnded, MemoryHeld})


class News:
    """Passes events to observers, in order, on one thread.

    News of runs and stages wakes the thread. News of tasks waits for it to look by itself, which it
    does while a run is under way: woken for each, it would fight with the tasks for the interpreter.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._waiting: collections.deque[tuple[Wire, Event]] = collections.deque()
        self._change = threading.Condition()
        self._woken = False
        thread = threading.Thread(target=self._run, name="nbscale-news", daemon=True)
        thread.start()

    def put(self, wire: Wire, event: Event) -> None:
        """Pass an event on; never waits for an observer."""
        self._waiting.append((wire, event))
        if len(self._waiting) > self._most:
            self._shed()
        if type(event) not in _OF_TASKS:
            with self._change:
                self._woken = True
                self._change.notify()

    def _shed(self) -> None:
        """Drop the news of single tasks among the older half."""
        with self._change:
            older = [self._waiting.popleft() for _ in range(len(self._waiting) // 2)]
            kept = [item for item in older if type(item[1]) not in _OF_TASKS]
            self._waiting.extendleft(reversed(kept))

    def _run(self) -> None:
        open_runs = 0
        with serving("runs observers"):
            while True:
                with self._change:
                    if not self._woken:
                        self._change.wait(_LOOK_AGAIN if open_runs > 0 else None)
                    self._woken = False
                    some = [self._waiting.popleft() for _ in range(len(self._waiting))]
                for wire, event in some:
                    open_runs += (type(event) is RunStarted) - (type(event) is RunEnded)
                    wire.tell(event)
                # What was told may hold values; it must not live on while the thread sleeps.
                some = wire = event = None  # type: ignore[assignment]


class Wire:
    """The way from one run to its observers."""

    __slots__ = ("_broken", "_news", "_observers", "_over")

    def __init__(self, news: News, observers: Sequence[Observer]) -> None:
        self._news = news
        self._observers = tuple(observers)
        self._broken: set[int] = set()
        self._over = False

    def put(self, event: Event) -> None:
        """Pass an event to the observers; from any thread."""
        self._news.put(self, event)

    def tell(self, event: Event) -> None:
        """Call the observers; on the news thread only.

        An observer that raises is reported once and called on. After the end of a run nothing is
        told of it: a task that could not be stopped may end later than its run.
        """
        if self._over:
            return
        if isinstance(event, RunEnded):
            self._over = True
        for number, observer in enumerate(self._observers):
            try:
                observer(event)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the run goes on
                if number not in self._broken:
                    self._broken.add(number)
                    _warn(observer, event, error)


def _warn(observer: Observer, event: Event, error: BaseException) -> None:
    name = getattr(observer, "__qualname__", type(observer).__qualname__)
    message = (
        f"the observer {name} failed on {type(event).__name__} "
        f"({type(error).__name__}: {error}); the run is not affected. It is called on, and its "
        "further errors in this run are not reported"
    )
    try:
        warnings.warn(message, RuntimeWarning, stacklevel=1)
    except RuntimeWarning as warning:  # where warnings are errors nobody could catch it here
        report_error(warning)


def wire(observers: Sequence[Observer]) -> Wire | None:
    """The way to the observers of a run; None, and no cost, if there are none."""
    return Wire(shared(), observers) if observers else None


_news: News | None = None
_making = threading.Lock()


def shared() -> News:
    """The news thread of this process, made at the first call."""
    global _news  # noqa: PLW0603 - one per process
    if _news is None:
        with _making:
            if _news is None:
                _news = News()
    return _news


def _forget() -> None:
    global _news, _making  # noqa: PLW0603
    _news = None
    _making = threading.Lock()


os.register_at_fork(after_in_child=_forget)
