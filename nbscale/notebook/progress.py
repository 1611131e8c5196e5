"""The observer that shows runs which take longer than half a second, as they go on.

::

    news thread ── __call__(event) ─> [runs, each with its news] ─> nbscale-progress ─> screens

Events are only put down on the news thread; a thread of its own works them off ten times a second,
and only for runs that are shown. So a short run costs a record, and a long one is shown as it goes
on even while the main thread is blocked and no event comes.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable

from nbscale.engines.loop import report_error
from nbscale.events import Event, RunEnded, RunStarted, TaskStarted
from nbscale.notebook.screens import Screen
from nbscale.notebook.state import RunState, reduce, reduce_all
from nbscale.notebook.telling import Telling, told

__all__ = ["Progress"]

PATIENCE = 0.5
"""Seconds a run may take without being shown."""

PERIOD = 0.1
"""Seconds between two looks of the user's."""


class _Followed:
    """A run under way, and where it is shown. ``shown`` and ``over`` change under the lock."""

    def __init__(self, event: RunStarted) -> None:
        self.run = event.run
        self.began = event.time
        self.state: RunState | None = reduce(None, event)
        self.news: list[Event] = []
        self.screen: Screen | None = None
        self.shown = self.over = False

    def telling(self, now: float) -> Telling:
        news, self.news = self.news, []
        self.state = reduce_all(self.state, news)
        assert self.state is not None  # its beginning is known
        return told(self.state, now)


class Progress:
    """Shows what takes long.

    Parameters
    ----------
    open_screen
        Shows a run for the first time and says where the rest goes; None if nobody looks.
    waited_for
        Whether somebody waits for the run of that number.
    clock
        What events are stamped with.
    """

    def __init__(
        self,
        open_screen: Callable[[Telling], Screen | None],
        waited_for: Callable[[int], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_screen = open_screen
        self._waited_for = waited_for
        self._clock = clock
        self._change = threading.Condition()
        self._runs: dict[int, _Followed] = {}
        self._thread: threading.Thread | None = None
        self._idle = False
        _all.add(self)

    # On the news thread -----------------------------------------------------------------------

    def __call__(self, event: Event) -> None:
        kind = type(event)
        if kind is TaskStarted:
            return
        if isinstance(event, RunStarted):
            self._begin(event)
            return
        followed = self._runs.get(event.run)
        if followed is not None:
            followed.news.append(event)
            if kind is RunEnded:
                self._end(followed)

    def _begin(self, event: RunStarted) -> None:
        if event.depth:
            return  # what the user waits for is the run around it
        with self._change:
            self._runs[event.run] = _Followed(event)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="nbscale-progress", daemon=True
                )
                self._thread.start()
            elif self._idle:  # else it looks before this run has to be shown
                self._change.notify()

    def _end(self, followed: _Followed) -> None:
        with self._change:
            followed.over = True
            if followed.shown:
                self._change.notify()
            else:
                del self._runs[followed.run]

    # On a thread of its own -------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            rest = self.look(self._clock())
            with self._change:
                if not any(followed.over for followed in self._runs.values()):
                    self._idle = rest is None
                    self._change.wait(rest)
                    self._idle = False

    def look(self, now: float) -> float | None:
        """Bring the screens up to date.

        Returns
        -------
        float or None
            Seconds after which to look again, or None for when a run begins.
        """
        with self._change:
            runs = list(self._runs.values())
            for followed in runs:
                followed.shown |= not followed.over and now - followed.began >= PATIENCE
        for followed in runs:
            if followed.shown:
                self._show(followed, now)
        with self._change:
            runs = list(self._runs.values())
        if not runs:
            return None
        return min(PERIOD if run.shown else max(0.001, run.began + PATIENCE - now) for run in runs)

    def _show(self, followed: _Followed, now: float) -> None:
        over = followed.over
        try:
            telling = followed.telling(now)
            if followed.screen is None:
                followed.screen = self._open_screen(telling) or _Nowhere()
            elif not over:
                followed.screen.show(telling)
            if over:
                followed.screen.fold(telling)
        except BaseException as error:  # noqa: BLE001 - a run goes on though it cannot be shown
            followed.screen = _Nowhere()
            report_error(error)
        if over:
            with self._change:
                del self._runs[followed.run]

    # In the thread of the cell ----------------------------------------------------------------

    def settle(self, timeout: float = 1.0) -> None:
        """Wait until the runs that are over have been folded, so that it happens within the cell.

        Who executes notebooks without a screen stops listening when the cell is done.
        """
        end = self._clock() + timeout
        # Looks again and again, since an interrupt while it waits for a condition could break it.
        while self._unsettled() and self._clock() < end:
            time.sleep(0.002)

    def _unsettled(self) -> bool:
        return any(
            followed.shown and not self._waited_for(followed.run)
            for followed in list(self._runs.values())
        )

    def forget(self) -> None:
        """In a forked child: nobody looks at what it does, and the thread is not there."""
        self._open_screen = lambda _: None
        self._change = threading.Condition()
        self._runs = {}
        self._thread = None


class _Nowhere:
    """Where a run is shown that nobody looks at."""

    def show(self, telling: Telling) -> None:
        pass

    def fold(self, telling: Telling) -> None:
        pass


_all: weakref.WeakSet[Progress] = weakref.WeakSet()


def _forget() -> None:
    for progress in _all:
        progress.forget()


os.register_at_fork(after_in_child=_forget)
