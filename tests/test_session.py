"""The session: a run under way can be stopped by its number, from any thread."""

from __future__ import annotations

import os
import threading

import pytest

import nbscale as ns
from nbscale.errors import RunCancelled
from nbscale.events import RunEnded, RunStarted
from nbscale.session import current


@pytest.fixture
def seen(monkeypatch):
    """What observers were told."""
    events = []
    monkeypatch.setattr(current(), "_observers", [events.append])
    return events


def meet(path):
    """Wait until the other side has come to a named pipe."""
    with open(path, "w"):  # noqa: PTH123 - it travels into a task without its imports
        pass


def follow(before):
    raise AssertionError("the run goes on")


def test_who_waits_for_a_run_that_is_stopped_gets_run_cancelled(tmp_path):
    begun, stopped = tmp_path / "begun", tmp_path / "stopped"
    os.mkfifo(begun)
    os.mkfifo(stopped)
    found = []

    def stop():
        begun.read_text()
        run = ns.runs()[-1].run
        found.append(current().waiter(run))
        found.append(current().cancel(run))
        stopped.read_text()

    thread = threading.Thread(target=stop)
    thread.start()
    first = ns.delayed(lambda one, two: [meet(one), meet(two)])
    # In this thread the first task is not stopped half-way: only then does it come to the second pipe.
    with pytest.raises(RunCancelled):
        ns.delayed(follow)(first(str(begun), str(stopped))).compute(engine="inline")
    thread.join()
    assert found == [threading.current_thread(), True]
    report = ns.runs()[-1]
    assert report.outcome == "cancelled"
    assert current().waiter(report.run) is None


def test_what_is_not_under_way_cannot_be_stopped():
    ns.delayed(int)(3).compute()
    assert not current().cancel(ns.runs()[-1].run)
    assert not current().cancel(10**9)


def test_a_result_asked_for_many_times_is_counted():
    ns.compute(*(ns.delayed(int)(i) for i in range(5)))
    assert ns.runs()[-1].what == "5 × int"
    ns.compute(*(ns.delayed(f)(1) for f in (int, float, complex, abs, hex)))
    assert ns.runs()[-1].what == "int, float, complex and 2 more"


def test_a_run_inside_a_task_says_how_deep_it_is(seen):
    @ns.delayed
    def outer():
        from nbscale import delayed

        return delayed(int)(3).compute()

    told = threading.Event()
    ends = []

    def count_ends(event):
        if isinstance(event, RunEnded):
            ends.append(event)
            if len(ends) == 2:
                told.set()

    current()._observers.append(count_ends)

    def depths():
        return [event.depth for event in seen if isinstance(event, RunStarted)]

    assert outer().compute() == 3
    assert told.wait(30)
    assert depths() == [0, 1]
