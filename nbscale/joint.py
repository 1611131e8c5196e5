"""Runs that are told of as one: batches of calls of one function, made in one line of the user's.

::

    session.begin ── join ──> [Joint] ── one RunStarted, one RunEnded ──> observers
    a batch ends ─── left ───────┘└────> over, when none is left
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from nbscale.engines.base import RunInfo, Ticket
from nbscale.engines.news import wire
from nbscale.errors import RunCancelled
from nbscale.events import Observer, RunEnded, RunStarted
from nbscale.record import replace

__all__ = ["Joint", "outcome_of"]


class Joint:
    """Runs of one stage each, told of as one run of one stage that grows.

    Parameters
    ----------
    info
        What they are called together.
    engine
        What they run on.
    observers
        Who is told.
    over
        Called with the outcome when none is left; must be short. Afterwards no other joins.
    """

    def __init__(
        self,
        info: RunInfo,
        engine: str,
        observers: Sequence[Observer],
        over: Callable[[str], None],
    ) -> None:
        self.info = info
        self._wire = wire(observers)
        self._over: Callable[[str], None] | None = over
        self._lock = threading.Lock()
        self._tasks = self._members = 0
        self._tickets: set[Ticket] = set()
        self._outcome, self._message = "done", ""
        if self._wire is not None:
            now = time.monotonic()
            self._wire.put(
                RunStarted(
                    info.run, now, info.what, engine, info.reason, info.place, info.depth, info.open
                )
            )

    def join(self, tasks: int) -> RunInfo | None:
        """Count one more in, of so many tasks; None if it is too late.

        Returns
        -------
        RunInfo or None
            What the run is begun with.
        """
        with self._lock:
            if self._over is None:
                return None
            first = self._tasks
            self._tasks += tasks
            self._members += 1
            return replace(self.info, part=True, first=first)

    def entered(self, ticket: Ticket) -> None:
        """A run that joined has a ticket."""
        self._tickets.add(ticket)

    def left(self, error: BaseException | None, ticket: Ticket | None = None) -> None:
        """A run that joined has ended, with its error."""
        with self._lock:
            if ticket is not None:
                self._tickets.discard(ticket)
            self._members -= 1
            if error is not None and self._outcome != "failed":
                self._outcome = outcome_of(error)
                self._message = f"{type(error).__name__}: {error}"
            if self._members:
                return
            over, self._over = self._over, None
            if self.info.recording is not None:
                self.info.recording.ended = time.monotonic()
                self.info.recording.outcome = self._outcome
            if self._wire is not None:
                self._wire.put(
                    RunEnded(self.info.run, time.monotonic(), self._outcome, self._message)
                )
        if over is not None:
            over(self._outcome)

    def cancel(self) -> None:
        """Stop those that are under way."""
        for ticket in list(self._tickets):
            ticket.cancel()


def outcome_of(error: BaseException | None) -> str:
    """The outcome of a run that ended with an error, or without."""
    if error is None:
        return "done"
    return "cancelled" if isinstance(error, (RunCancelled, KeyboardInterrupt)) else "failed"
