"""Engines are found by name; tickets are interrupted and raise as they should."""

from __future__ import annotations

import importlib.metadata
import threading

import pytest

from nbscale.engines import base
from nbscale.engines.base import Ticket, deadline, forbid_here, load_engine, serving
from nbscale.errors import EngineError


class Entry:
    dist = None

    def __init__(self, name, error=None):
        self.name = name
        self.error = error

    def load(self):
        raise self.error


def test_an_unknown_engine_names_those_there_are():
    with pytest.raises(EngineError, match=r"no engine 'warp'; installed are: .*inline, .*threads"):
        load_engine("warp")


def test_a_missing_package_says_what_to_install(monkeypatch):
    error = ModuleNotFoundError("No module named 'raylib'", name="raylib")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [Entry("ray", error)])
    with pytest.raises(EngineError, match=r"needs raylib.*pip install 'nbscale\[ray\]'") as raised:
        load_engine("ray")
    assert raised.value.__cause__ is error


def test_both_engines_are_installed():
    assert load_engine("inline").name == "inline"
    assert load_engine("threads").name == "threads"


def test_waiting_is_forbidden_on_serving_threads_only():
    forbid_here()
    with serving("does things"):
        with pytest.raises(EngineError, match="thread that does things"):
            forbid_here()
        elsewhere = threading.Thread(target=forbid_here)
        elsewhere.start()
        elsewhere.join()
    forbid_here()
    assert threading.get_ident() not in base._serving


def ticket(begun, cancelled):
    return Ticket(lambda: begun.append(1), lambda: cancelled.append(1))


def test_a_ticket_begins_once():
    begun = []
    one = ticket(begun, [])
    assert not begun
    one.begin()
    one.finish(None)
    one.wait()
    assert begun == [1]
    assert one.done


def test_time_is_up():
    one = ticket([], [])
    with pytest.raises(TimeoutError, match="goes on"):
        one.wait(timeout=0)
    assert not one.done


def test_whatever_interrupts_a_wait_stops_the_run_and_passes_on():
    begun, cancelled = [], []

    class Interrupted(Ticket):
        patience = 0.0

        def _stay(self, timeout):
            raise KeyboardInterrupt

    one = Interrupted(lambda: begun.append(1), lambda: cancelled.append(1))
    with pytest.raises(KeyboardInterrupt):
        one.wait()
    assert (begun, cancelled) == ([1], [1])


def test_an_interrupt_before_the_beginning_begins_and_stops():
    calls = []

    def begin():
        calls.append("begin")
        if len(calls) == 1:
            raise KeyboardInterrupt

    one = Ticket(begin, lambda: calls.append("cancel"))
    one.patience = 0.0
    with pytest.raises(KeyboardInterrupt):
        one.wait()
    assert calls == ["begin", "begin", "cancel"]


def test_a_second_interrupt_before_the_run_was_told_stops_it_all_the_same():
    cancelled = []

    class Interrupted(Ticket):
        def _stay(self, timeout):
            raise KeyboardInterrupt

        def _leave(self):
            raise KeyboardInterrupt

    one = Interrupted(lambda: None, lambda: cancelled.append(1))
    with pytest.raises(KeyboardInterrupt):
        one.wait()
    assert cancelled == [1]


def test_many_threads_wait_for_one_ticket():
    one = ticket([], [])
    waiters = [threading.Thread(target=one.wait) for _ in range(5)]
    for waiter in waiters:
        waiter.start()
    one.finish(None)
    for waiter in waiters:
        waiter.join(60)
        assert not waiter.is_alive()


def test_a_deadline_never_goes_below_zero():
    assert deadline(None)() is None
    assert deadline(-1)() == 0
    assert 0 < deadline(1000)() <= 1000


def test_a_defect_of_ours_is_no_missing_package(monkeypatch):
    error = ModuleNotFoundError("No module named 'nbscale.lost'", name="nbscale.lost")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [Entry("ray", error)])
    with pytest.raises(ModuleNotFoundError):
        load_engine("ray")
