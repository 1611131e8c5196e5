"""Batches of one call that are told of as one run."""

from __future__ import annotations

import joblib
import pytest

import nbscale as ns
from nbscale.engines.base import RunInfo, Ticket
from nbscale.errors import RunCancelled
from nbscale.events import RunEnded, RunStarted, StageAdded, TaskEnded
from nbscale.joint import Joint
from nbscale.notebook.state import reduce_all
from nbscale.notebook.telling import as_line, told
from nbscale.session import current
from nbscale.testing.board import wait_until


@pytest.fixture
def seen(monkeypatch):
    """What observers were told."""
    events = []
    monkeypatch.setattr(current(), "_observers", [events.append])
    return events


def kinds(events, kind):
    return [event for event in events if isinstance(event, kind)]


def nothing(x):
    return x


def test_many_calls_are_one_run(seen):
    before = ns.runs()[-1].run if ns.runs() else 0
    assert ns.gather(ns.map(nothing, range(2000))) == list(range(2000))
    wait_until(lambda: len(kinds(seen, RunEnded)) == len(kinds(seen, RunStarted)) > 0)
    reports = [report for report in ns.runs() if report.run > before]
    # A batch may be over before the next comes, but never are there as many runs as batches.
    assert len(reports) == len(kinds(seen, RunStarted)) < 2000 // 256
    assert sum(report.tasks for report in reports) == 2000
    assert all(report.what == f"{report.tasks} x nothing" for report in reports)
    assert {report.outcome for report in reports} == {"done"}


def test_a_fit_is_one_run_that_is_open(seen):
    with joblib.parallel_config(backend="nbscale"):
        joblib.Parallel(batch_size=1)(joblib.delayed(nothing)(i) for i in range(20))
    wait_until(lambda: len(kinds(seen, RunEnded)) == len(kinds(seen, RunStarted)) > 0)
    started = kinds(seen, RunStarted)
    assert all(event.open for event in started)
    assert len(started) < 20
    ended = [event for event in kinds(seen, TaskEnded) if event.run == started[0].run]
    assert sorted(event.task for event in ended) == list(range(len(ended)))
    stages = [event for event in kinds(seen, StageAdded) if event.run == started[0].run]
    assert max(event.tasks for event in stages) == len(ended)


class Counted(Ticket):
    def __init__(self):
        super().__init__(lambda: None, lambda: None)
        self.cancelled = 0

    def cancel(self):
        self.cancelled += 1


def test_the_last_that_leaves_ends_it():
    outcomes = []
    joint = Joint(RunInfo(7, "f"), "local", (), outcomes.append)
    first, second = joint.join(3), joint.join(4)
    assert (first.run, first.first, first.part) == (7, 0, True)
    assert (second.run, second.first, second.part) == (7, 3, True)
    one, other = Counted(), Counted()
    joint.entered(one)
    joint.entered(other)
    joint.left(ValueError("no"), one)
    assert not outcomes
    joint.cancel()
    assert (one.cancelled, other.cancelled) == (0, 1)
    joint.left(RunCancelled("stopped"), other)
    assert outcomes == ["failed"]
    assert joint.join(1) is None


def test_what_is_told_of_one_that_is_open():
    begun = RunStarted(1, 0.0, "fit", "local", "submitted", None, open=True)
    grown = [StageAdded(1, 0, "fit", n, (), ()) for n in (4, 8, 6)]
    ends = [TaskEnded(1, 0, task, 0, 0.0, 0.5, 100) for task in (0, 5)]
    state = reduce_all(None, [begun, *grown, *ends])
    assert state.stages[0].tasks == 8
    assert as_line(told(state, 2.0)).startswith("fit: running; 2 tasks done, ")
    state = reduce_all(state, [RunEnded(1, 3.0, "done")])
    assert as_line(told(state, 9.0)).startswith("fit: done in 3 s; 8 tasks")
