"""What Python's futures need of a condition, small enough for many that wait."""

from __future__ import annotations

import threading
from typing import Any

from nbscale.engines.base import LOOK_UP, deadline

__all__ = ["Gate"]


class Gate:
    """What Python's futures need of a condition, in an eighth of its memory.

    Most futures are waited for by nobody.
    """

    __slots__ = ("_lock", "_sleepers")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._sleepers: list[Any] | None = None

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def acquire(self) -> None:
        self._lock.acquire()

    def release(self) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> None:
        """Let go of the lock, which is held once, until everybody is notified."""
        bed = threading.Lock()
        bed.acquire()
        if self._sleepers is None:
            self._sleepers = []
        self._sleepers.append(bed)
        self._lock.release()
        left = deadline(timeout)
        try:
            # In naps: a signal that comes just before a thread falls asleep does not wake it.
            while not bed.acquire(
                timeout=LOOK_UP if (rest := left()) is None else min(rest, LOOK_UP)
            ):
                if rest == 0:
                    return
        finally:
            self._lock.acquire()

    def notify_all(self) -> None:
        """Wake everybody."""
        sleepers, self._sleepers = self._sleepers, None
        for bed in sleepers or ():
            bed.release()
