"""The thread ``nbscale-loop``, which alone owns what schedules: everybody else only posts to it.

::

    caller ─┐                       ┌─> items ──> worker threads, or the waiting caller
    worker ─┼─ post() ─> [inbox] ─> loop: machine, tables, timers ─> news thread ─> observers
    finalizer ┘                     └─> ticket (the caller wakes up)

Posting is one append to a queue written in C, so it may be done anywhere, even in a finalizer or
a signal handler. The loop starts with the first run. A forked child has no loop of its parent's:
it makes one of its own when it runs something.
"""

from __future__ import annotations

import atexit
import contextlib
import heapq
import itertools
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from nbscale.engines.base import serving

__all__ = ["Loop", "report_error", "shared"]

_POLL = 0.001
"""Seconds after which sources are looked at, though there is more that was posted."""


class Loop:
    """Runs calls that were posted, one at a time, in order, on one thread."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[tuple[Callable[..., object], tuple[Any, ...]] | None]
        self._inbox = queue.SimpleQueue()
        self._timers: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._numbers = itertools.count()
        self._watched: dict[Any, Callable[[], object]] = {}
        self._poller: Any = None
        self._bell = -1
        self._asleep = False
        self._polled = 0.0
        self._thread = threading.Thread(target=self._run, name="nbscale-loop", daemon=True)
        self._thread.start()

    def post(self, call: Callable[..., object], *args: Any) -> None:
        """Have a call made on the loop's thread. Never blocks; may be used anywhere."""
        self._inbox.put((call, args))
        if self._asleep:
            self._ring()

    def watch(self, source: Any, call: Callable[[], object]) -> None:
        """Have a call made whenever a ZeroMQ socket or descriptor has something to read.

        Only on the loop's thread, as ``unwatch``.
        """
        if self._poller is None:
            import zmq  # noqa: PLC0415 - who has no pool needs none of it

            self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._poller = zmq.Poller()
            self._poller.register(self._bell, zmq.POLLIN)
            self._watched[self._bell] = lambda: os.eventfd_read(self._bell)
        self._poller.register(source, 1)
        self._watched[source] = call

    def unwatch(self, source: Any) -> None:
        """Undo ``watch``."""
        if self._watched.pop(source, None) is not None:
            self._poller.unregister(source)

    def after(self, seconds: float, call: Callable[..., object], *args: Any) -> None:
        """Have a call made later; only on the loop's thread."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), call, args))

    def stop(self, timeout: float) -> None:
        """End the thread once it has done what was posted before."""
        self._inbox.put(None)
        if self._asleep:
            self._ring()
        self._thread.join(timeout)

    def _ring(self) -> None:
        os.eventfd_write(self._bell, 1)

    def _run(self) -> None:
        with serving("keeps runs going"):
            while True:
                rest = self._until_timer()
                if rest == 0:  # before what was posted, of which there may be more and more
                    _, _, call, args = heapq.heappop(self._timers)
                else:
                    try:
                        posted = self._next(rest)
                    except queue.Empty:
                        continue
                    if posted is None:
                        return
                    call, args = posted
                self._make(call, *args)
                # Whatever was posted may hold a run's values; it must not live on while we sleep.
                del call, args
                posted = None

    def _make(self, call: Callable[..., object], *args: Any) -> None:
        try:
            call(*args)
        except BaseException as error:  # noqa: BLE001 - the thread outlives a mistake
            report_error(error)

    def _next(self, rest: float | None) -> tuple[Callable[..., object], tuple[Any, ...]] | None:
        """What was posted next; queue.Empty if it is time to look at the timers."""
        if self._poller is None:
            return self._inbox.get(timeout=rest)
        now = time.monotonic()
        if now - self._polled > _POLL:  # however much is posted
            self._poll(0)
        with contextlib.suppress(queue.Empty):
            return self._inbox.get_nowait()
        self._asleep = True  # from here on who posts rings the bell
        try:
            if self._inbox.empty():
                self._poll(rest)
        finally:
            self._asleep = False
        return self._inbox.get_nowait()

    def _poll(self, rest: float | None) -> None:
        """Call those whose source has something to read, waiting for so many seconds at most."""
        # Rounded up: a timer that is nearly due must not be polled for in a spin.
        found = self._poller.poll(None if rest is None else int(rest * 1000) + (rest > 0))
        self._polled = time.monotonic()
        self._asleep = False
        for source, _ in found:
            call = self._watched.get(source)
            if call is not None:
                self._make(call)

    def _until_timer(self) -> float | None:
        if not self._timers:
            return None
        return max(0.0, self._timers[0][0] - time.monotonic())


def report_error(error: BaseException) -> None:
    """Report an error that nobody can catch, the way Python does for threads."""
    thread = threading.current_thread()
    threading.excepthook(
        threading.ExceptHookArgs((type(error), error, error.__traceback__, thread))
    )


_loop: Loop | None = None
_making = threading.Lock()


def shared() -> Loop:
    """The loop of this process, made at the first call."""
    global _loop  # noqa: PLW0603 - one loop per process is what this module is for
    if _loop is None:
        with _making:
            if _loop is None:
                _loop = Loop()
    return _loop


def _forget() -> None:
    """In a forked child: only the forking thread lives on, and a lock may be held by a dead one."""
    global _loop, _making  # noqa: PLW0603
    _loop = None
    _making = threading.Lock()


def _end() -> None:
    if _loop is not None:
        _loop.stop(1.0)


os.register_at_fork(after_in_child=_forget)
atexit.register(_end)
