"""What a worker notes of the time of its tasks, until it is told: a list of seconds for each stage."""

from __future__ import annotations

import contextlib
import os

from nbscale.history.recording import MOST_STEPS

__all__ = ["Timing"]


class Timing:
    """The seconds of tasks, by stage.

    First those of each step; then those in which inputs were brought and values stored; then those,
    of all these, in which the worker waited for a processor that others had. The system says of the
    last how many there were so far. They are looked at when all are told, and shared out in
    proportion.
    """

    def __init__(self) -> None:
        self._spent: dict[int, list[float]] = {}
        self._source = -1
        with contextlib.suppress(OSError):  # not every kernel counts it
            self._source = os.open("/proc/self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        self._waited = self._so_far()

    @staticmethod
    def of(steps: int) -> list[float] | None:
        """Where the seconds of a program go; None if it is too long."""
        return [0.0] * (steps + 2) if steps <= MOST_STEPS else None

    def note(self, key: int, spent: list[float]) -> None:
        """A task of a stage has added to its list."""
        self._spent[key] = spent

    def begin(self) -> None:
        """There is something to do: what was waited for before is nobody's."""
        self._waited = self._so_far()

    def told(self) -> list[tuple[int, tuple[float, ...]]]:
        """What is to be told, by stage; forgets it."""
        spent, self._spent = self._spent, {}
        now = self._so_far()
        waited, self._waited = now - self._waited, now
        whole = sum(map(sum, spent.values()))
        found = []
        for key, seconds in spent.items():
            mine = sum(seconds)
            seconds[-1] = min(mine, waited * mine / whole) if whole else 0.0
            found.append((key, tuple(seconds)))
            seconds[:] = [0.0] * len(seconds)  # a task may be adding to it
        return found

    def _so_far(self) -> float:
        if self._source < 0:
            return 0.0
        return int(os.pread(self._source, 100, 0).split()[1]) / 1e9
