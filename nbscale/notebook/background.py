"""Cells that go on in the background, and cells that wait for what those will assign."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from IPython.core.error import InputRejected

from nbscale.engines.base import deadline
from nbscale.errors import RunCancelled, render_for_notebook

__all__ = ["Background", "Waiting"]

_LOOK = 0.02
"""Seconds between two looks whether something is there."""


class Background:
    """A cell that goes on while others run: what ``%%parallel --background`` gives back.

    Attributes
    ----------
    what
        What it does, in the user's words.
    names
        Which names it will assign.
    status
        ``"running"``, ``"done"``, ``"failed"`` or ``"cancelled"``.
    error
        What it raised, or None.
    """

    def __init__(self, what: str, names: tuple[str, ...]) -> None:
        self.what = what
        self.names = names
        self.status = "running"
        self.error: BaseException | None = None
        self._stop: Callable[[], object] = lambda: None
        self._value: Callable[[], Any] = lambda: None

    def follow(self, stop: Callable[[], object], value: Callable[[], Any]) -> None:
        """Say how it is ended, which returns at once, and where its result will be."""
        self._stop, self._value = stop, value

    @property
    def done(self) -> bool:
        """Whether it is over, whatever its outcome."""
        return self.status != "running"

    def finish(self, error: BaseException | None) -> None:
        """Say that it is over. Its names are there by then."""
        stopped = isinstance(error, (RunCancelled, KeyboardInterrupt))
        self.error = error
        self.status = "done" if error is None else "cancelled" if stopped else "failed"

    def cancel(self) -> None:
        """Stop it; returns at once. Names that are not assigned yet will not be."""
        if not self.done:
            self._stop()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it is over and its names are assigned.

        Raises
        ------
        TimeoutError
            If it is not over after so many seconds; it goes on.
        Exception
            What the cell raised.
        """
        left = deadline(timeout)
        while not self.done:  # plain, since an interrupt can break a condition
            if left() == 0:
                raise TimeoutError(f"{self.what} is not over after {timeout} s; it goes on")
            time.sleep(_LOOK)
        if self.error is not None:
            raise self.error

    def result(self, timeout: float | None = None) -> Any:
        """Wait, and return what it gave: the list gathered, or a dict of the names assigned.

        Raises
        ------
        TimeoutError, Exception
            As ``wait``.
        """
        self.wait(timeout)
        return self._value()

    def __repr__(self) -> str:
        return f"<{self.what}: {self.status}>"


class Waiting:
    """Has a cell wait for the names in it that are still being made.

    IPython shows it each cell that is to be run: the text first, as an event, and then the parsed
    code, where it may refuse the cell.
    """

    def __init__(self) -> None:
        self.raw = ""
        """The cell as the user typed it."""
        self._pending: list[Background] = []

    def add(self, work: Background) -> None:
        """Cells wait for this work's names from now on."""
        self._pending.append(work)

    def before_cell(self, info: Any) -> None:
        """Remember what the user typed."""
        self.raw = info.raw_cell

    def visit(self, tree: Any) -> Any:
        """Wait, and give the code back as it is."""
        self._pending = [one for one in self._pending if not one.done]
        if self._pending:
            words = set(re.findall(r"\w+", self.raw))
            for one in self._pending:
                named = sorted(words.intersection(one.names))
                if named:
                    self._wait(one, named)
        return tree

    def _wait(self, work: Background, named: list[str]) -> None:
        try:
            while not work.done:
                time.sleep(_LOOK)
        except KeyboardInterrupt:
            error = InputRejected(
                f"interrupted while waiting for {', '.join(named)}, which {work.what} assigns. That "
                "goes on; this cell did not run."
            )
            render_for_notebook(error)
            raise error from None
