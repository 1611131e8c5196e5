"""The loop makes calls in order, survives mistakes, and ends quietly with its process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import weakref

import pytest

from nbscale.engines import loop
from nbscale.engines.base import forbid_here
from nbscale.errors import EngineError


@pytest.fixture
def one():
    one = loop.Loop()
    yield one
    one.stop(60)


def result(one, call, *args):
    """What a call gives on the loop's thread."""
    found, done = [], threading.Event()

    def make():
        try:
            found.append(call(*args))
        except EngineError as error:
            found.append(error)
        done.set()

    one.post(make)
    assert done.wait(60)
    return found[0]


def test_calls_are_made_in_order_on_one_thread(one):
    seen = []
    for i in range(1000):
        one.post(lambda i=i: seen.append((i, threading.current_thread().name)))
    result(one, int)
    assert seen == [(i, "nbscale-loop") for i in range(1000)]


def test_timers_are_kept_in_the_order_of_their_times(one):
    seen, done = [], threading.Event()

    def start():
        one.after(0.02, lambda: (seen.append("late"), done.set()))
        one.after(0.0, seen.append, "early")
        one.after(0.01, seen.append, "middle")

    one.post(start)
    assert done.wait(60)
    assert seen == ["early", "middle", "late"]


def test_a_timer_comes_though_posting_never_ends(one):
    done = threading.Event()

    def again():
        if not done.is_set():
            one.post(again)

    one.post(again)
    one.post(lambda: one.after(0.0, done.set))
    assert done.wait(60)


def test_a_mistake_is_reported_and_survived(one, monkeypatch):
    reported = []
    monkeypatch.setattr(threading, "excepthook", reported.append)
    one.post(lambda: 1 / 0)
    assert result(one, lambda: "alive") == "alive"
    assert reported[0].exc_type is ZeroDivisionError


def test_nothing_may_be_computed_on_it(one):
    assert isinstance(result(one, forbid_here), EngineError)


def test_what_was_posted_is_not_held_while_nothing_comes(one):
    class Big:
        pass

    gone = threading.Event()
    value = Big()
    watch = weakref.ref(value, lambda _: gone.set())
    one.post(id, value)
    del value
    assert gone.wait(60)
    assert watch() is None


def test_there_is_one_for_the_process():
    assert loop.shared() is loop.shared()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_has_none_of_its_parent():
    before = loop.shared()
    child = os.fork()
    if child == 0:
        ok = False
        try:
            ok = loop._loop is None and loop.shared() is not before
            ok = ok and result(loop.shared(), lambda: 3) == 3
        finally:
            os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0


SCRIPT = """
import threading
from nbscale.engines.base import RunInfo, load_engine
from nbscale.testing.jobs import Results, plain, run, stage

{body}
"""


UNDER_WAY = """
a = stage(0, 3, lambda i: threading.Event().wait(), result=0)
ticket = load_engine('threads').run(plain(a), info=RunInfo(1), deliver=Results())
ticket.begin()
print([0, 1, 2])
"""


@pytest.mark.parametrize(
    "body",
    [
        "print(run(load_engine('inline'), plain(stage(0, 3, lambda i: i[0], result=0))))",
        "print(run(load_engine('threads'), plain(stage(0, 3, lambda i: i[0], result=0))))",
        UNDER_WAY,
    ],
    ids=["inline", "threads", "under way"],
)
def test_the_interpreter_ends_quietly(body):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(body=body)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "[0, 1, 2]\n"
    assert done.stderr == ""
