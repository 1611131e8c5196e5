"""Where users wrote what they compute; and observers, found by entry point under IPython."""

from __future__ import annotations

import importlib.metadata
import sys
import threading

import pandas as pd
import pytest
import traitlets.config
from ipykernel.compiler import XCachingCompiler
from IPython.core.interactiveshell import InteractiveShell

import nbscale as ns
import nbscale.dataframe as nd
from nbscale import session
from nbscale.events import (
    Place,
    RunEnded,
    RunStarted,
    StageAdded,
    TaskEnded,
    TaskStarted,
    user_place,
)

SETUP = """\
import pandas as pd
import nbscale.dataframe as nd
df = nd.from_pandas(pd.DataFrame({"x": range(8)}), npartitions=4)
def total(frame):
    return frame.x.sum()
"""


@pytest.fixture
def shell():
    """IPython, naming cells by their text as a kernel does."""
    config = traitlets.config.Config()
    config.HistoryManager.enabled = False
    made = InteractiveShell.instance(config=config)
    made.compile = XCachingCompiler()
    yield made
    InteractiveShell.clear_instance()


def run(shell, cell, name):
    """Run a cell and give what it leaves under a name."""
    shell.run_cell(cell, store_history=True).raise_error()
    return shell.user_ns[name]


def test_a_place_names_cell_and_line(shell):
    run(shell, SETUP, "df")
    made = run(shell, "made = (\n    df.x + 1\n)", "made")
    assert made._origin.place.cell == 2
    assert str(made._origin.place) == "cell 2, line 2"


def test_a_cell_that_is_run_again_has_its_new_number(shell):
    run(shell, SETUP, "df")
    cell = "made = df.x * 2"
    first, other, again = (run(shell, c, "made") for c in (cell, "made = df.x - 1", cell))
    assert [m._origin.place.cell for m in (first, other, again)] == [2, 3, 4]
    assert {m._origin.place.line for m in (first, other, again)} == {1}


def test_what_a_function_makes_is_placed_in_the_function(shell):
    run(shell, SETUP, "df")
    made = run(shell, "made = total(df)", "made")
    assert str(made._origin.place) == "cell 1, line 5"


def test_a_run_is_placed_where_it_was_computed(shell):
    run(shell, SETUP, "df")
    cell = "value = df.x.sum().compute()"
    for number in (2, 3):
        assert run(shell, cell, "value") == 28
        assert str(ns.runs()[-1].place) == f"cell {number}, line 1"


def test_an_error_names_the_cell_of_the_operation(shell):
    run(shell, SETUP, "df")
    run(shell, "def broken(part):\n    return 1 / (len(part) - 2)", "broken")
    run(shell, '"a docstring"\nmade = df.map_partitions(broken)', "made")
    result = shell.run_cell("made.compute(engine='inline')", store_history=True)
    (note,) = result.error_in_exec.__notes__
    assert "map_partitions(broken) (cell 3, line 2)" in note
    assert "partition 0 of 0 to 3" in note


def test_in_a_script_the_place_is_the_file():
    frame = nd.from_pandas(pd.DataFrame({"x": [1]}))
    here = sys._getframe().f_lineno - 1
    assert frame._origin.place == Place(__file__, here)
    assert str(frame._origin.place) == f"{__file__}, line {here}"
    assert user_place() is not None


# Observers -----------------------------------------------------------------------------------


class Watcher:
    """Keeps events until a run has ended."""

    def __init__(self):
        self.events = []
        self.ended = threading.Event()

    def __call__(self, event):
        self.events.append(event)
        if isinstance(event, RunEnded):
            self.ended.set()


@pytest.fixture
def watcher(monkeypatch):
    """An observer that a package installed beside nbscale would bring, in a session of its own."""
    watcher = Watcher()
    monkeypatch.setattr("nbscale.session.session._current", None)
    made = importlib.metadata.EntryPoint("watch", "watching:watcher", "nbscale.observers")
    monkeypatch.setitem(sys.modules, "watching", type(sys)("watching"))
    sys.modules["watching"].watcher = watcher
    real = importlib.metadata.entry_points

    def entry_points(**wanted):
        if wanted.get("group") == "nbscale.observers":
            return importlib.metadata.EntryPoints([made])
        return real(**wanted)

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    return watcher


@pytest.fixture
def frame():
    return nd.from_pandas(pd.DataFrame({"x": range(40), "k": [0, 1] * 20}), npartitions=4)


@pytest.mark.parametrize("engine", ["inline", "threads"])
def test_observers_are_told_what_happens_in_order(shell, watcher, frame, engine):
    frame.groupby("k").x.sum().compute(engine=engine)
    assert watcher.ended.wait(20)
    events = watcher.events
    began, ended = events[0], events[-1]
    assert isinstance(began, RunStarted)
    assert began.engine == engine
    assert began.place.file == __file__
    assert isinstance(ended, RunEnded)
    assert ended.outcome == "done"
    assert {event.run for event in events} == {began.run}
    added: set[int] = set()
    running: set[tuple[int, int]] = set()
    tasks = 0
    for event in events[1:-1]:
        if isinstance(event, StageAdded):
            assert set(event.edges) <= added | {event.stage}
            assert any(place.file == __file__ for place in event.places) or not event.places
            added.add(event.stage)
        elif isinstance(event, TaskStarted):
            assert event.stage in added
            running.add((event.stage, event.task))
        else:
            assert isinstance(event, TaskEnded)
            running.remove((event.stage, event.task))
            assert event.start <= event.stop
            assert event.error is None
            tasks += 1
    assert not running
    assert tasks == ns.runs()[-1].tasks


def test_observers_are_told_of_failure(shell, watcher, frame):
    def broken(part):
        return 1 / (len(part) - 10)

    with pytest.raises(ZeroDivisionError):
        frame.map_partitions(broken).compute()
    assert watcher.ended.wait(20)
    assert watcher.events[-1].outcome == "failed"
    errors = {e.error for e in watcher.events if isinstance(e, TaskEnded)}
    assert errors == {"ZeroDivisionError"}


def test_an_observer_that_raises_changes_nothing(shell, watcher, frame, monkeypatch):
    def broken(event):
        watcher(event)
        raise RuntimeError("mine")

    monkeypatch.setattr(sys.modules["watching"], "watcher", broken)
    warned = []
    monkeypatch.setattr("warnings.warn", lambda message, *args, **kwargs: warned.append(message))
    assert frame.x.sum().compute() == 780
    assert watcher.ended.wait(20)
    assert any("mine" in str(message) for message in warned)


def test_without_ipython_nobody_looks_for_observers(watcher, frame, monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert frame.x.sum().compute() == 780
    assert not session.current().observers()
    assert not watcher.events
