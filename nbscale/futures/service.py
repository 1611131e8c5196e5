"""The thread that serves futures: it hands over what is due, and runs callbacks."""

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

__all__ = ["Due", "call", "post", "watch"]

_AWAKE = 0.01
"""Seconds after something was due in which the next is looked for: to be woken costs more than to look."""

_NAP = 0.001
"""Seconds between two looks."""


class Due(Protocol):
    """Something to be done at some time.

    Attributes
    ----------
    due
        When, of the monotonic clock.
    """

    due: float

    def go(self) -> None:
        """Do it; does nothing if it was done."""


class _Service:
    """The thread, once there is something to do."""

    def __init__(self) -> None:
        self._starting = threading.RLock()
        self._opened: deque[Due] = deque()
        self._todo: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._asleep = False

    def watch(self, what: Due) -> None:
        self._opened.append(what)
        if self._asleep:
            self._todo.put(None)
        elif self._thread is None:
            self._begin()

    def post(self, what: Callable[[], object]) -> None:
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
                    what = todo.get(timeout=max(0.0, opened[0].due - now) if opened else _NAP)
            else:
                self._asleep = True  # from here on who opens a batch says so
                if not opened:
                    what = todo.get()
                self._asleep = False
            if what is not None:
                what()
            del what


_service = _Service()
_log = logging.getLogger(__name__)


def _forget() -> None:
    global _service  # noqa: PLW0603 - one per process
    _service = _Service()


os.register_at_fork(after_in_child=_forget)


def watch(what: Due) -> None:
    """Have something done when it is due. What is given later is due later."""
    _service.watch(what)


def post(what: Callable[[], object]) -> None:
    """Have something done, soon."""
    _service.post(what)


def call(function: Callable[[Any], object], future: Any) -> None:
    """Have a callback called; what it raises is logged, as Python's own futures do."""

    def called() -> None:
        try:
            function(future)
        except Exception:  # noqa: BLE001 - nobody waits for it, and others wait to be called
            _log.exception("calling callback for %r raised", future)

    post(called)
