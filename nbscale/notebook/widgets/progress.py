"""The widget that shows a run and has its Stop button. What it draws is in ``progress.ts``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

__all__ = ["ProgressWidget", "built"]

STATIC = Path(__file__).parents[1] / "static"


@functools.cache
def built(name: str) -> str:
    """The text of a file that was built from the sources beside this one.

    Raises
    ------
    FileNotFoundError
        If it was not built; the message says how.
    """
    path = STATIC / name
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} was not built: run `make widgets` in the checkout, or install nbscale again"
        )
    return path.read_text(encoding="utf-8")


class ProgressWidget(anywidget.AnyWidget):
    """Draws what is told of a run.

    The kernel alone writes ``telling``, always from one thread, and a front end never does: so the
    trait's own synchronisation is safe though it is written while the main thread blocks, and a
    view that opens late finds the newest words.

    Parameters
    ----------
    telling
        As ``as_dict`` makes it.
    stop
        Called with the number of the run, on whatever thread the front end's message arrives.
    """

    telling = traitlets.Dict().tag(sync=True)

    def __init__(self, telling: dict[str, Any], stop: Callable[[int], object]) -> None:
        self._esm = built("progress.js")
        self._css = built("progress.css")
        super().__init__(telling=telling)
        self._stop = stop
        self.on_msg(self._hear)
        _answer_where_it_arrives(self.comm)

    def close(self) -> None:
        """Give up the widget, and with it its layout, which would stay in the kernel."""
        layout = self.layout
        super().close()
        layout.close()

    def _hear(self, widget: Any, content: Any, buffers: Any) -> None:
        if isinstance(content, dict) and content.get("stop") == self.telling.get("run"):
            self._stop(int(content["stop"]))


def _answer_where_it_arrives(comm: Any) -> None:
    """Have messages from the front end handled on the subshell they were sent to.

    ipykernel 7.4 sends them on to the shell that wrote to the comm last. For what is written while
    a cell runs that is the main shell, so the button would wait for the cell it should stop.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda _, default: default  # noqa: SLF001 - there is no public way
