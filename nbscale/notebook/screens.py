"""Where a run is shown: under its cell in a notebook, or on one line of a terminal."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from typing import Any, Protocol, TextIO

from nbscale.notebook.telling import Telling, as_dict, as_html, as_line

__all__ = ["NotebookScreen", "Screen", "TerminalScreen"]


class Screen(Protocol):
    """Shows one run, always from one thread."""

    def show(self, telling: Telling) -> None:
        """Show how the run is now."""

    def fold(self, telling: Telling) -> None:
        """Show how the run ended, in one line. Called once, last."""


class NotebookScreen:
    """Shows a run below its cell: as a widget while it runs, and then as HTML.

    The HTML takes the widget's place, so that nothing is left in the kernel and the saved notebook
    shows the same line without kernel or widgets. Without widgets it is HTML all along, and the
    notebook's own stop button is the only one.

    Parameters
    ----------
    telling
        How the run is now.
    publish
        Like IPython's ``publish_display_data``.
    stop
        Called with the number of the run when Stop is pressed, on any thread.
    """

    def __init__(
        self, telling: Telling, publish: Callable[..., None], stop: Callable[[int], object]
    ) -> None:
        self._publish = publish
        self._transient = {"display_id": f"nbscale-{uuid.uuid4().hex}"}
        self._widget = _widget(telling, stop)
        view = {}
        if self._widget is not None:
            model = {"version_major": 2, "version_minor": 0, "model_id": self._widget.model_id}
            view["application/vnd.jupyter.widget-view+json"] = model
        publish({**view, **_static(telling)}, metadata={}, transient=self._transient)

    def show(self, telling: Telling) -> None:
        if self._widget is not None:
            self._widget.telling = as_dict(telling)
        else:
            self._replace(telling)

    def fold(self, telling: Telling) -> None:
        if self._widget is not None:
            self._widget.telling = as_dict(telling)
        self._replace(telling)
        if self._widget is not None:
            self._widget.close()

    def _replace(self, telling: Telling) -> None:
        self._publish(_static(telling), metadata={}, transient=self._transient, update=True)


def _widget(telling: Telling, stop: Callable[[int], object]) -> Any:
    """The widget, or None where there is none to be had."""
    try:
        # Half a second of imports, spent only for a run that takes longer than that anyway.
        from nbscale.notebook.widgets.progress import ProgressWidget  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name not in {"anywidget", "ipywidgets", "traitlets"}:
            raise
        return None
    return ProgressWidget(as_dict(telling), stop)


def _static(telling: Telling) -> dict[str, str]:
    return {"text/html": as_html(telling), "text/plain": as_line(telling)}


class TerminalScreen:
    """Shows a run on one line that is written again and again; the last stays.

    Parameters
    ----------
    telling
        How the run is now.
    stream
        A terminal.
    """

    def __init__(self, telling: Telling, stream: TextIO) -> None:
        self._stream = stream
        self._before = 0
        self.show(telling)

    def show(self, telling: Telling) -> None:
        self._write(telling, "")

    def fold(self, telling: Telling) -> None:
        self._write(telling, "\n")

    def _write(self, telling: Telling, end: str) -> None:
        # One column stays free, where many terminals would begin the next line.
        line = _printable(as_line(telling))[: shutil.get_terminal_size().columns - 1]
        self._stream.write("\r" + line.ljust(self._before) + end)
        self._stream.flush()
        self._before = len(line)


def _printable(text: str) -> str:
    """Names come from the user, and a terminal obeys control characters."""
    return "".join(c if c.isprintable() else "?" for c in text)
