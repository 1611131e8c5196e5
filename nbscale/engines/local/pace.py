"""How many tasks workers are handed ahead, by how long the last ones took."""

from __future__ import annotations

__all__ = ["Pace"]

_AHEAD = 0.010
"""Seconds of work handed out ahead to each worker."""

_MOST_AHEAD = 2000


class Pace:
    """So many tasks ahead that each worker has some 10 ms of work, and at least two.

    Examples
    --------
    >>> pace = Pace()
    >>> pace.took(0.001), pace.ahead
    (True, 10)
    >>> pace.took(0.0011), pace.ahead
    (False, 10)
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self.ahead = 2

    def begin_slowly(self) -> bool:
        """Nothing is known of new tasks: one that is long in C code would keep those behind it.

        Returns whether fewer are to be handed out ahead.
        """
        self._seconds = 0.0
        changed = self.ahead > 2
        self.ahead = 2
        return changed

    def took(self, seconds: float) -> bool:
        """Tasks took so long each; whether more or fewer are to be handed out ahead."""
        self._seconds = seconds if self._seconds == 0.0 else 0.5 * (self._seconds + seconds)
        ahead = int(_AHEAD / self._seconds) if self._seconds > 0 else _MOST_AHEAD
        ahead = min(max(ahead, 2), _MOST_AHEAD)
        if 0.8 * self.ahead < ahead < 1.25 * self.ahead:
            return False
        self.ahead = ahead
        return True
