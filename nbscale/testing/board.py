"""A board that tasks and tests write to and wait at, in whichever process they are."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["PATIENCE", "Board", "wait_until"]

PATIENCE = 60.0
"""Seconds that anything is waited for: a broken test must end, a slow machine must not break it."""


def wait_until(holds: Callable[[], bool], what: str = "it") -> None:
    """Wait until something holds.

    Raises
    ------
    TimeoutError
        If it does not in ``PATIENCE`` seconds.
    """
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.001)


class Board:
    """Marks in a folder. It can be pickled, and everybody sees the same marks.

    Examples
    --------
    >>> import tempfile
    >>> board = Board(Path(tempfile.mkdtemp()))
    >>> board.mark("begun"), board.mark("begun"), board.count("begun")
    (None, None, 2)
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def mark(self, name: str, text: str = ".") -> None:
        """Make one more mark."""
        with (self._folder / name).open("a") as file:
            file.write(text)  # one write to the end of a file: marks never mix

    def count(self, name: str) -> int:
        """How many marks there are, of one character each."""
        path = self._folder / name
        return path.stat().st_size if path.exists() else 0

    def text(self, name: str) -> str:
        """All that was marked."""
        path = self._folder / name
        return path.read_text() if path.exists() else ""

    def wait(self, name: str, count: int = 1) -> None:
        """Wait for so many marks."""
        wait_until(lambda: self.count(name) >= count, f"{count} of {name!r}")
