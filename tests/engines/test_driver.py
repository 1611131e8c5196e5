"""What the driver does when the machine, the job or the driver itself makes a mistake."""

from __future__ import annotations

import collections
import dataclasses
import gc
import threading
import weakref

import numpy as np
import pytest

from nbscale import config
from nbscale.engines.base import RunInfo, load_engine
from nbscale.engines.hands import KernelDriver
from nbscale.engines.running import Running
from nbscale.engines.task import Work
from nbscale.errors import NbscaleError, RunCancelled, Stuck, TaskMemoryError, WorkerLost
from nbscale.graph.job import Grow, Replan, Watch
from nbscale.scheduler.machine import Machine
from nbscale.scheduler.protocol import Cancel, Fail, Grown, TaskDone
from nbscale.store.base import KernelStore
from nbscale.testing.jobs import Results, Script, each, everything, plain, run, stage


@pytest.fixture(params=["inline", "threads"])
def engine(request):
    engine = load_engine(request.param)
    yield engine
    engine.close()


def fine(engine):
    return run(engine, plain(stage(0, 5, lambda index: index[0], result=0))) == list(range(5))


def change(monkeypatch, kind, handle):
    """Have the machine treat signals of a kind in another way, once."""
    plainly = Machine.handle
    once = []

    def changed(self, signal):
        if isinstance(signal, kind) and not once:
            once.append(signal)
            return handle(self, signal)
        return plainly(self, signal)

    monkeypatch.setattr(Machine, "handle", changed)


def test_a_mistake_of_the_machine_ends_the_run_and_the_next_one_works(engine, monkeypatch):
    def broken(self, signal):
        raise AssertionError("no way from HELD to READY")

    change(monkeypatch, TaskDone, broken)
    with pytest.raises(Stuck, match=r"made a mistake.*no way from HELD to READY") as raised:
        run(engine, plain(stage(0, 5, lambda index: index[0], result=0)))
    assert isinstance(raised.value.__cause__, AssertionError)
    assert fine(engine)


def test_a_run_that_cannot_move_is_named_instead_of_waited_for(engine, monkeypatch):
    change(monkeypatch, Grown, lambda self, signal: [])
    with pytest.raises(Stuck, match=r"nothing can move any more in 'a test': stage 0 \(sum\)"):
        run(engine, plain(stage(0, 5, lambda index: index[0], result=0, name="sum")))
    assert fine(engine)


def test_a_lost_wake_up_is_named(engine, monkeypatch):
    a = stage(0, 3, lambda index: index[0])
    b = stage(1, 1, lambda index, values: values, everything(a), result=0)
    change(monkeypatch, TaskDone, lambda self, signal: [])
    with pytest.raises(Stuck):
        run(engine, plain(a, b))
    assert fine(engine)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("TaskMemoryError: too large", TaskMemoryError),
        ("WorkerLost: gone", WorkerLost),
        ("something else", NbscaleError),
    ],
)
def test_what_the_machine_found_is_raised_by_its_name(engine, monkeypatch, error, kind):
    def found(self, signal):
        (end,) = self.handle(Fail(signal.run))
        return [dataclasses.replace(end, error=error)]

    change(monkeypatch, Grown, found)
    with pytest.raises(kind, match=error.rpartition(": ")[2]):
        run(engine, plain(stage(0, 5, lambda index: index[0], result=0)))


def test_a_job_that_waits_for_nothing_is_stuck(engine):
    with pytest.raises(Stuck):
        run(engine, Script(Grow()))
    assert fine(engine)


def test_a_job_that_cannot_note_sizes_fails_its_run(engine):
    class Careless(Script):
        def measured(self, sizes):
            raise ValueError("sizes")

    a = stage(0, 3, lambda index: index[0], result=0, value_of="key")
    with pytest.raises(ValueError, match="sizes"):
        run(engine, Careless(Grow((a,), sealed=True)))
    assert fine(engine)


def test_a_value_made_for_a_stage_that_was_taken_back_counts_no_more(engine):
    """The taken-back stage had given some values away before."""

    def narrow(index):
        if index[0] == 30:
            raise Replan("key", "wider")
        return "narrow"

    a = stage(0, 50, narrow, result=0)
    b = stage(1, 50, lambda index: "wide", result=0)
    job = Script(Grow((a,), sealed=True), Grow((b,), sealed=True, retract=(0,)))
    assert run(engine, job) == ["wide"] * 50


def test_two_watches_at_once(engine):
    a = stage(0, 4, lambda index: index[0], keep=True)
    b = stage(1, 4, lambda index: index[0] * 10, keep=True)
    seen = []

    def answer(observation):
        seen.append((observation.stage, observation.values))
        if len(seen) < 2:
            return Grow()
        last = stage(2, 1, lambda index, x, y: (x, y), everything(a), everything(b), result=0)
        return Grow((last,), sealed=True)

    job = Script(Grow((a, b), (Watch(0), Watch(1, 2))), answer, answer)
    assert run(engine, job) == [([0, 1, 2, 3], [0, 10, 20, 30])]
    assert sorted(seen) == [(0, (0, 1, 2, 3)), (1, (0, 10))]


def test_an_error_does_not_keep_the_inputs_alive_once_it_is_gone(engine):
    class Big:
        pass

    kept = []

    def make(index):
        value = Big()
        kept.append(weakref.ref(value))
        return value

    def fail(index, value):
        raise ValueError("mine")

    a = stage(0, 1, make)
    b = stage(1, 1, fail, each(a), result=0)
    with pytest.raises(ValueError, match="mine"):
        run(engine, plain(a, b))
    assert fine(engine)  # so that the loop has put the first run away
    gc.collect()
    assert [ref() for ref in kept] == [None]


def test_the_budget_of_work_inside_work_is_smaller():
    engine = load_engine("inline")
    size = 1_000_000

    def inner(index):
        a = stage(0, 1, lambda i: np.ones(3 * size, dtype=np.uint8), nbytes=3.0 * size)
        b = stage(1, 1, lambda i, v: len(v), each(a), nbytes=28.0, result=0)
        return run(engine, plain(a, b))

    with config.set(memory_limit=4 * size):
        assert inner((0,)) == [3 * size]
        with pytest.raises(TaskMemoryError):
            run(engine, plain(stage(0, 1, inner, nbytes=28.0, result=0)))


def test_a_cancel_after_the_end_changes_nothing(engine):
    ticket = engine.run(
        plain(stage(0, 2, lambda index: index[0], result=0)), info=RunInfo(1), deliver=Results()
    )
    ticket.wait()
    ticket.cancel()
    ticket.wait()
    assert fine(engine)


def test_a_machine_that_does_not_answer_a_cancel_is_named(engine, monkeypatch):
    change(monkeypatch, Cancel, lambda self, signal: [])
    a = stage(0, 3, lambda index: index[0], result=0)
    ticket = engine.run(plain(a), info=RunInfo(1), deliver=Results())
    ticket.cancel()
    # The cancel was lost, so the run goes on to its end: nothing hangs.
    ticket.wait()
    assert fine(engine)


class Posts:
    """Stands for the loop: keeps what is posted."""

    def __init__(self):
        self.posted = []

    def post(self, call, *args):
        self.posted.append((call, args))


def test_outcomes_that_come_while_others_are_heard_wait_for_their_turn():
    loop = Posts()
    driver = KernelDriver(loop, 10**9, 1, KernelStore())
    running = Running(plain(), RunInfo(1), Results(), None, "test", None)
    running.over = True  # so that an outcome is only counted
    work = Work(running, 1, stage(0, 9, lambda index: 0), {}, {}, None, None)

    outcome = (work, None, None, 0.0, 0.0, None, None)
    later = [outcome] * 10

    class Growing(collections.deque):
        def popleft(self):
            if later:
                self.append(later.pop())
            return super().popleft()

    driver.desk.outcomes = Growing([outcome] * 3)
    driver._hear()
    assert len(later) == 7
    assert len(loop.posted) == 1


def test_closing_stops_what_runs():
    engine = load_engine("threads")
    started, go = threading.Event(), threading.Event()

    def kernel(index):
        started.set()
        go.wait()

    ticket = engine.run(plain(stage(0, 5, kernel, result=0)), info=RunInfo(1), deliver=Results())
    ticket.begin()
    assert started.wait(60)
    engine.close()
    assert ticket.done
    go.set()
    with pytest.raises(RunCancelled):
        ticket.wait()
