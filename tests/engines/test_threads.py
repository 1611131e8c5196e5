"""Threads: as many as asked for, really at the same time, replaced when they hang."""

from __future__ import annotations

import threading

import pytest

from nbscale import config
from nbscale.engines import hands
from nbscale.engines.base import RunInfo, load_engine
from nbscale.errors import EngineError, RunCancelled, Stuck
from nbscale.testing.jobs import Results, plain, run, stage


@pytest.fixture
def engine():
    engine = load_engine("threads")
    yield engine
    engine.close()


def working():
    """Worker threads alive."""
    return [t for t in threading.enumerate() if t.name.startswith("nbscale-worker")]


def together(engine, n):
    """Run tasks that end only if so many are under way at the same time."""
    meet = threading.Barrier(n, timeout=60)
    run(engine, plain(stage(0, n, lambda index: meet.wait(), result=0)))


def test_tasks_run_at_the_same_time(engine):
    with config.set(n_workers=4):
        together(engine, 4)


def test_the_setting_is_followed_from_run_to_run(engine):
    for n in (2, 5, 3):
        with config.set(n_workers=n):
            together(engine, n)


def test_scaled_up_and_down(engine):
    engine.scale(6)
    together(engine, 6)
    engine.scale(1)
    names = set()
    for _ in range(3):
        a = stage(0, 50, lambda index: names.add(threading.current_thread().name), result=0)
        run(engine, plain(a))
        names.clear()
    engine.scale(3)
    together(engine, 3)
    with pytest.raises(EngineError, match="at least one"):
        engine.scale(0)


def test_inline_does_not_scale():
    engine = load_engine("inline")
    engine.scale(1)
    with pytest.raises(EngineError, match="one task at a time, not 2"):
        engine.scale(2)


def test_no_thread_before_the_first_run_and_none_after_closing(engine):
    before = set(working())
    engine.scale(2)
    assert set(working()) == before
    together(engine, 2)
    mine = set(working()) - before
    assert len(mine) == 2
    engine.close()
    for thread in mine:
        thread.join(60)
        assert not thread.is_alive()


def test_a_hanging_thread_is_replaced_and_ends_when_it_comes_back(engine):
    engine.scale(2)
    started, go = threading.Barrier(3, timeout=60), threading.Event()
    hanging = []

    def kernel(index):
        hanging.append(threading.current_thread())
        started.wait()
        go.wait()

    ticket = engine.run(plain(stage(0, 2, kernel, result=0)), info=RunInfo(1), deliver=Results())
    ticket.begin()
    started.wait()
    ticket.cancel()
    with pytest.raises(RunCancelled):
        ticket.wait()
    together(engine, 2)
    go.set()
    for thread in hanging:
        thread.join(60)
        assert not thread.is_alive()
    together(engine, 2)


def test_a_task_that_computes_runs_it_in_its_own_thread(engine):
    def outer(index):
        mine = threading.current_thread().name
        a = stage(0, 3, lambda i: threading.current_thread().name == mine, result=0)
        return run(engine, plain(a))

    engine.scale(2)
    assert run(engine, plain(stage(0, 4, outer, result=0))) == [[True] * 3] * 4


def test_user_code_is_not_for_threads(engine):
    assert not engine.capabilities.user_code
    assert engine.capabilities.parallel


def test_a_task_that_is_lost_ends_the_run_and_the_engine_goes_on(monkeypatch):
    monkeypatch.setattr(hands, "_LOOK", 0.05)
    engine = load_engine("threads")
    try:
        engine.start()
        desk = engine._driver.desk
        plainly, lost = desk.items, []

        class Losing:
            """The items, of which the first never arrives."""

            empty = plainly.empty
            get = plainly.get
            get_nowait = plainly.get_nowait

            def put(self, item):
                if item is not None and not lost:
                    lost.append(item)
                else:
                    plainly.put(item)

        desk.items = Losing()
        with pytest.raises(Stuck, match=r"threads wait for tasks, though 1 are given out; stage 0"):
            run(engine, plain(stage(0, 3, lambda index: index[0], result=0)))
        assert lost
        assert run(engine, plain(stage(0, 3, lambda index: index[0], result=0))) == [0, 1, 2]
    finally:
        engine.close()


def test_a_task_that_takes_long_is_not_lost(monkeypatch):
    monkeypatch.setattr(hands, "_LOOK", 0.01)
    engine = load_engine("threads")
    over = threading.Event()
    timer = threading.Timer(0.5, over.set)  # some fifty looks
    try:
        timer.start()
        task = stage(0, 1, lambda index: over.wait(60), result=0)
        assert run(engine, plain(task)) == [True]
    finally:
        timer.join()
        engine.close()
