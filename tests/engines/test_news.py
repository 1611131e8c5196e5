"""Observers are told in order; a slow or broken one harms nobody."""

from __future__ import annotations

import threading
import warnings

import pytest

from nbscale.engines.news import News, Wire, wire
from nbscale.events import RunEnded, RunStarted, StageAdded, TaskEnded, TaskStarted


def started(i):
    return TaskStarted(1, 0, i, 0, 0.0)


def ended(i):
    return TaskEnded(1, 0, i, 0, 0.0, 1.0, 8)


BEGIN = RunStarted(1, 0.0, "sum", "inline", "small", None)
STAGE = StageAdded(1, 0, "sum", 1, (), ())
END = RunEnded(1, 1.0, "done")


class Recorder:
    """Keeps events; may be held up until it is let go."""

    def __init__(self, hold=False):
        self.events = []
        self.over = threading.Event()
        self.arrived = threading.Event()
        self.go = threading.Event()
        if not hold:
            self.go.set()

    def __call__(self, event):
        self.arrived.set()
        assert self.go.wait(60)
        self.events.append(event)
        if isinstance(event, RunEnded):
            self.over.set()


def test_events_arrive_in_order():
    seen = Recorder()
    line = Wire(News(), [seen])
    events = [BEGIN, STAGE, *(make(i) for i in range(100) for make in (started, ended)), END]
    for event in events:
        line.put(event)
    assert seen.over.wait(60)
    assert seen.events == events


def test_a_slow_observer_misses_old_tasks_but_never_a_run_or_a_stage():
    seen = Recorder(hold=True)
    line = Wire(News(most=10), [seen])
    line.put(BEGIN)
    assert seen.arrived.wait(60)
    line.put(STAGE)
    for i in range(100):
        line.put(started(i))
        line.put(ended(i))
    line.put(STAGE)
    line.put(END)
    seen.go.set()
    assert seen.over.wait(60)
    assert [e for e in seen.events if not isinstance(e, (TaskStarted, TaskEnded))] == [
        BEGIN,
        STAGE,
        STAGE,
        END,
    ]
    tasks = [e.task for e in seen.events if isinstance(e, TaskEnded)]
    assert len(tasks) < 10
    assert tasks == sorted(tasks)
    assert tasks[-1] == 99


def test_nothing_is_told_after_the_end_of_a_run():
    seen, other = Recorder(), Recorder()
    news = News()
    line = Wire(news, [seen])
    line.put(END)
    line.put(ended(1))
    Wire(news, [other]).put(END)
    assert other.over.wait(60)
    assert seen.events == [END]


def test_a_broken_observer_is_reported_once_and_others_go_on():
    def broken(event):
        raise ValueError("mine")

    seen = Recorder()
    line = Wire(News(), [broken, seen])

    def tell():
        for event in (BEGIN, STAGE, END):
            line.put(event)
        assert seen.over.wait(60)

    with pytest.warns(RuntimeWarning, match=r"broken failed on RunStarted \(ValueError: mine") as w:
        tell()
    assert len(w) == 1
    assert seen.events == [BEGIN, STAGE, END]


def test_where_warnings_are_errors_the_thread_still_lives(monkeypatch):
    def broken(event):
        raise SystemExit

    reported = []
    monkeypatch.setattr(threading, "excepthook", reported.append)
    seen = Recorder()
    line = Wire(News(), [broken, seen])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        line.put(BEGIN)
        line.put(END)
        assert seen.over.wait(60)
    assert [args.exc_type for args in reported] == [RuntimeWarning]


def test_without_observers_there_is_no_wire():
    assert wire([]) is None
