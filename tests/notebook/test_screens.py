"""Screens, with a fake display and a fake terminal."""

from __future__ import annotations

import io

import pytest

from nbscale.events import RunEnded, RunStarted, StageAdded
from nbscale.notebook import screens
from nbscale.notebook.screens import NotebookScreen, TerminalScreen
from nbscale.notebook.state import reduce_all
from nbscale.notebook.telling import told

VIEW = "application/vnd.jupyter.widget-view+json"


def telling(what="sum", *, over=False):
    events = [RunStarted(3, 0.0, what, "inline", "", None), StageAdded(3, 0, "sum", 2, (), ())]
    if over:
        events.append(RunEnded(3, 1.5, "done"))
    return told(reduce_all(None, events), 1.0)


class Display:
    def __init__(self):
        self.published = []

    def __call__(self, data, *, metadata, transient, update=False):
        self.published.append((data, transient["display_id"], update))


def test_the_widget_gives_its_place_to_html_and_is_closed():
    display = Display()
    screen = NotebookScreen(telling(), display, lambda run: None)
    widget = screen._widget
    screen.show(telling())
    screen.fold(telling(over=True))
    [(first, place, _), (last, same_place, update)] = display.published
    assert set(first) == {VIEW, "text/html", "text/plain"}
    assert set(last) == {"text/html", "text/plain"}
    assert (place, True) == (same_place, update)
    assert "done in 1.5 s" in last["text/plain"]
    assert "done in 1.5 s" in last["text/html"]
    assert widget.comm is None
    assert widget.layout.comm is None


def test_the_button_stops_this_run_and_no_other():
    stopped = []
    screen = NotebookScreen(telling(), Display(), stopped.append)
    widget = screen._widget
    for content in ({"stop": 4}, {"stop": None}, {}, "stop", {"stop": 3}):
        widget._handle_custom_msg(content, [])
    widget.close()
    assert stopped == [3]


def test_without_widgets_it_is_html_all_along(monkeypatch):
    monkeypatch.setattr(screens, "_widget", lambda *_: None)
    display = Display()
    screen = NotebookScreen(telling(), display, lambda run: None)
    screen.show(telling())
    screen.fold(telling(over=True))
    assert [update for _, _, update in display.published] == [False, True, True]
    assert len({place for _, place, _ in display.published}) == 1
    assert all(set(data) == {"text/html", "text/plain"} for data, _, _ in display.published)


def test_a_terminal_gets_one_line_written_again_and_again(monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    out = io.StringIO()
    screen = TerminalScreen(telling("a name that is rather long"), out)
    screen.show(telling("short"))
    screen.fold(telling("short", over=True))
    first, second, last = out.getvalue().split("\r")[1:]
    assert last.rstrip() == "short: done in 1.5 s; 2 tasks, 1.33 tasks/s"
    assert last.endswith("\n")
    assert "\n" not in first + second
    assert len(second) == len(first) > len(second.rstrip())


def test_a_terminal_is_never_wrapped(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    out = io.StringIO()
    TerminalScreen(telling("x" * 100), out)
    assert len(out.getvalue()) == 1 + 39


@pytest.mark.parametrize("evil", ["\x1b]0;title\x07", "a\nb", "a\rb"])
def test_a_terminal_is_told_no_control_characters(evil, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    out = io.StringIO()
    TerminalScreen(telling(evil), out)
    assert out.getvalue()[1:].isprintable()
