"""The watchdog of the pool: finds that nothing moves, though tasks are given out.

A worker that is silent may be in C code for hours, so silence says nothing. But a worker says, in the
page that it shares with the kernel, that it waits for work. If it does so for long while the kernel
takes it to be at tasks, then what was sent to it, or what it has answered, is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nbscale.units import format_seconds

__all__ = ["PATIENCE", "Watchdog"]

PATIENCE = 20.0
"""Seconds that a frame may be under way on a machine that is very busy."""


class Watchdog:
    """Looks now and then, and remembers since when something was amiss.

    Parameters
    ----------
    patience
        Seconds that it must last.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._since: dict[int | None, float] = {}

    def heard(self, number: int) -> None:
        """A worker has said something: it counts from anew."""
        self._since.pop(number, None)

    def look(
        self,
        now: float,
        given: Mapping[int, int],
        waits: Callable[[int], bool],
        *,
        starting: bool,
    ) -> dict[int | None, str]:
        """What has been amiss for long: by worker what to say of it, or by None of the pool.

        Parameters
        ----------
        now
            Seconds of the monotonic clock.
        given
            How many tasks each worker that is ready has, as the kernel sees it.
        waits
            Whether a worker says that it waits for work.
        starting
            Whether there are workers that are not ready yet.

        Examples
        --------
        >>> dog = Watchdog(20)
        >>> dog.look(0, {3: 2}, lambda number: True, starting=False)
        {}
        >>> dog.look(25, {3: 2}, lambda number: True, starting=False)
        {3: 'worker 3 has waited for work for 25 s, though it was given 2 tasks'}
        """
        amiss: dict[int | None, str] = {}
        for number, count in given.items():
            if count and waits(number):
                what = "a task" if count == 1 else f"{count:,} tasks"
                amiss[number] = (
                    f"worker {number} has waited for work for {{}}, though it was given {what}"
                )
        if given and starting and not any(given.values()):
            amiss[None] = (
                "no task was given out for {}, and a worker has been starting all the time"
            )
        self._since = {key: self._since.get(key, now) for key in amiss}
        return {
            key: text.format(format_seconds(now - self._since[key]))
            for key, text in amiss.items()
            if now - self._since[key] >= self._patience
        }
