"""The thread of futures: it hands batches over in time, and calls back."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["AFTER", "Due", "clerk"]

AFTER = 0.001
"""Seconds after which a batch is handed over."""

_AWAKE = 0.01
"""Seconds after a batch in which the next is looked for: to be woken costs more than to look."""

_log = logging.getLogger(__name__)


class Due(Protocol):
    """What is to be handed over in time."""

    due: float
    """When, by the monotonic clock."""

    def go(self) -> None:
        """Hand it over; does nothing if it was."""


class _Clerk:
    """A thread that is started when there is something to do; one per process."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Be as new: in a child that was forked the thread is not there."""
        self._starting = threading.RLock()
        self._opened: deque[Due] = deque()  # some of them were handed over before they were due
        self._todo: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._asleep = False

    def call(self, function: Callable[[Any], object], future: Any) -> None:
        """Have a callback called; what it raises is logged, as Python's own futures do."""

        def called() -> None:
            try:
                function(future)
            except Exception:  # noqa: BLE001 - nobody waits for it, and others wait to be called
                _log.exception("calling callback for %r raised", future)

        self._post(called)

    def fail(self, future: Any, error: BaseException) -> None:
        """Have a future fail that is not done."""

        def fail() -> None:
            if not future.done() and future.set_running_or_notify_cancel():
                future.set_exception(error)

        self._post(fail)

    def remind(self, batch: Due) -> None:
        """Have a batch handed over in time."""
        self._opened.append(batch)
        if self._asleep:
            self._todo.put(None)
        elif self._thread is None:
            self._begin()

    def _post(self, what: Callable[[], object]) -> None:
        self._todo.put(what)  # needs no lock: a future may be given up by a finalizer, anywhere
        if self._thread is None:
            self._begin()

    def _begin(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="nbscale-futures", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        opened, todo = self._opened, self._todo
        idle = 0.0
        while True:
            now = time.monotonic()
            while opened and opened[0].due <= now:
                opened.popleft().go()
                idle = now + _AWAKE
            what = None
            if opened or now < idle:
                with contextlib.suppress(queue.Empty):
                    what = todo.get(timeout=max(0.0, opened[0].due - now) if opened else AFTER)
            else:
                self._asleep = True  # from here on who opens a batch says so
                if not opened:
                    what = todo.get()
                self._asleep = False
            if what is not None:
                what()
            del what


clerk = _Clerk()
os.register_at_fork(after_in_child=clerk.begin_anew)
