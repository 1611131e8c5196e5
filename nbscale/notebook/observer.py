"""What the entry point ``nbscale.observers`` names: the progress of this kernel's runs.

Loaded by the session in the thread that asks for the first run, which is the cell's: what it does
there is to look where it is.
"""

from __future__ import annotations

import contextvars
import sys
from typing import Any

from IPython.core.display_functions import publish_display_data
from IPython.core.getipython import get_ipython

from nbscale.notebook.progress import Progress
from nbscale.notebook.screens import NotebookScreen, Screen, TerminalScreen
from nbscale.notebook.stopping import answer_requests, stop
from nbscale.notebook.telling import Telling
from nbscale.session import current

__all__ = ["observe"]


class _Cell:
    """The cell that runs: what is shown from another thread belongs to it.

    ipykernel 7 keeps the request it answers in context variables, which a thread does not have.
    """

    def __init__(self) -> None:
        self.enter()

    def enter(self, *info: Any) -> None:
        """Remember the cell that begins."""
        self._context = contextvars.copy_context()

    def open_screen(self, telling: Telling) -> Screen | None:
        """Show a run where its user looks; None if there is nobody."""
        shell = get_ipython()
        if getattr(shell, "kernel", None) is not None:
            return _Inside(self._context, telling)
        if sys.stderr is not None and sys.stderr.isatty():
            return TerminalScreen(telling, sys.stderr)
        return None


class _Inside:
    """A screen of a notebook, used from another thread as if from the cell itself."""

    def __init__(self, context: contextvars.Context, telling: Telling) -> None:
        # A copy, since a context can be entered by one thread at a time.
        self._context = context.copy()
        self._screen = self._context.run(NotebookScreen, telling, publish_display_data, stop)

    def show(self, telling: Telling) -> None:
        self._context.run(self._screen.show, telling)

    def fold(self, telling: Telling) -> None:
        self._context.run(self._screen.fold, telling)


def _installed() -> Progress:
    cell = _Cell()
    progress = Progress(cell.open_screen, lambda run: current().waiter(run) is not None)
    shell = get_ipython()
    if shell is not None:
        shell.events.register("pre_run_cell", cell.enter)
        shell.events.register("post_run_cell", lambda *_: progress.settle())
        answer_requests(getattr(shell, "kernel", None))
    return progress


observe = _installed()
"""The observer of this kernel."""
