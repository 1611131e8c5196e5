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


class Loop:
    """Runs calls that were posted, one at a time, in order, on one thread."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[tuple[Callable[..., object], tuple[Any, ...]] | None]
        self._inbox = queue.SimpleQueue()
        self._timers: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._numbers = itertools.count()
        self._thread = threading.Thread(target=self._run, name="nbscale-loop", daemon=True)
        self._thread.start()

    def post(self, call: Callable[..., object], *args: Any) -> None:
        """Have a call made on the loop's thread. Never blocks; may be used anywhere."""
        self._inbox.put((call, args))

    def after(self, seconds: float, call: Callable[..., object], *args: Any) -> None:
        """Have a call made later; only on the loop's thread."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), call, args))

    def stop(self, timeout: float) -> None:
        """End the thread once it has done what was posted before."""
        self._inbox.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        with serving("keeps runs going"):
            while True:
                rest = self._until_timer()
                if rest == 0:  # before what was posted, of which there may be more and more
                    _, _, call, args = heapq.heappop(self._timers)
                else:
                    try:
                        posted = self._inbox.get(timeout=rest)
                    except queue.Empty:
                        continue
                    if posted is None:
                        return
                    call, args = posted
                try:
                    call(*args)
                except BaseException as error:  # noqa: BLE001 - the thread outlives a mistake
                    report_error(error)
                # Whatever was posted may hold a run's values; it must not live on while we sleep.
                del call, args
                posted = None

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
