"""Futures: what is submitted comes back, in its place, with its error, as it was when submitted."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import os
import threading
import time
import tracemalloc
import weakref

import pytest

import nbscale as ns
from nbscale.errors import RunCancelled
from nbscale.futures import Future
from nbscale.session import current
from nbscale.testing.board import Board, wait_until


def double(x):
    return 2 * x


def fails(x):
    raise ValueError(f"no {x}")


def test_many_calls_in_their_order_in_other_processes():
    assert ns.gather(ns.map(double, range(2000))) == [2 * i for i in range(2000)]
    assert ns.submit(os.getpid).result() != os.getpid()


def test_an_error_belongs_to_its_call_alone():
    good, bad = ns.submit(double, 1), ns.submit(fails, 3)
    with pytest.raises(ValueError, match="no 3"):
        bad.result()
    assert good.result() == 2
    assert isinstance(bad.exception(), ValueError)


def test_futures_among_the_arguments():
    first = ns.submit(double, 1)
    nested = ns.submit(sum, [first, ns.submit(double, first)])
    assert nested.result() == 6
    with pytest.raises(ValueError, match="no 1"):
        ns.submit(double, ns.submit(fails, 1)).result()


def test_arguments_are_as_they_were():
    numbers = [1, 2]
    future = ns.submit(sum, numbers)
    numbers.append(100)
    assert future.result() == 3


def test_waited_for_in_every_way():
    futures = ns.map(double, range(5))
    assert sorted(one.result() for one in ns.as_completed(futures)) == [0, 2, 4, 6, 8]
    done, not_done = ns.wait(futures)
    assert (len(done), len(not_done)) == (5, 0)

    async def wait():
        return await ns.submit(double, 21)

    assert asyncio.run(wait()) == 42
    called = threading.Event()
    ns.submit(double, 1).add_done_callback(lambda one: called.set())
    assert called.wait(60)


def test_callbacks_have_a_thread_of_their_own(caplog):
    """Whenever they are added: the thread that runs the pool must not be kept waiting by one."""
    names, both = [], threading.Semaphore(0)

    def called(one):
        names.append(threading.current_thread().name)
        both.release()

    future = ns.submit(double, 1)
    future.add_done_callback(lambda one: 1 / 0)
    future.add_done_callback(called)
    assert future.result() == 2
    future.add_done_callback(called)
    assert both.acquire(timeout=60)
    assert both.acquire(timeout=60)
    assert names == ["nbscale-futures"] * 2
    assert "ZeroDivisionError" in caplog.text


def test_a_call_that_was_given_up_is_stopped(tmp_path):
    board = Board(tmp_path)

    def stays():
        board.mark("begun")
        board.wait("never")

    future = ns.submit(stays)
    ns.wait([future], timeout=0)
    board.wait("begun")
    ns.cancel(future)
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()
    assert ns.submit(double, 2).result() == 4


def test_a_call_that_was_given_up_at_once_is_not_made(tmp_path):
    board = Board(tmp_path)
    before = ns.submit(double, 0).result() or ns.runs()[-1].run
    first, second, third = ns.map(lambda i: board.mark(f"made {i}"), range(3))
    ns.cancel([first, third])
    assert second.result() is None
    assert [board.count(f"made {i}") for i in range(3)] == [0, 1, 0]
    ns.cancel(ns.submit(board.mark, "never"))
    assert ns.submit(double, 1).result() == 2
    assert [run.tasks for run in ns.runs() if run.run > before] == [1, 1]


def test_what_cannot_be_pickled_is_named():
    lock = threading.Lock()
    with pytest.raises(TypeError, match=r"__closure__\['lock'\]: _thread.lock"):
        ns.submit(lambda: lock)
    with pytest.raises(TypeError, match="argument 0"):
        ns.submit(double, lock)
    assert ns.submit(double, 2).result() == 4


def test_a_call_inside_a_call():
    assert ns.submit(lambda: ns.submit(double, 4).result()).result() == 8


def test_a_batch_is_among_the_runs_and_can_be_stopped_by_its_number(tmp_path):
    board = Board(tmp_path)

    def stays():
        board.mark("begun")
        board.wait("never")

    future = ns.submit(stays)
    board.wait("begun")
    report = ns.runs()[-1]
    assert (report.tasks, report.stages, report.outcome) == (1, 1, "running")
    assert current().cancel(report.run)
    with pytest.raises(RunCancelled):
        future.result()
    assert not current().cancel(report.run)


@pytest.mark.parametrize("engine", ["inline", "threads"])
def test_whatever_engine_is_set(engine):
    ns.config.set(engine=engine)
    good, bad = ns.submit(double, 1), ns.submit(fails, 3)
    assert ns.submit(double, good).result(60) == 4
    with pytest.raises(ValueError, match="no 3"):
        bad.result(60)


def test_who_keeps_a_result_does_not_keep_what_it_was_made_from():
    future = ns.submit(double, 1)
    batch = weakref.ref(future.batch)
    assert future.result() == 2
    wait_until(lambda: batch() is None)


class Unreadable:
    def __reduce__(self):
        return os.fsencode, (1,)


def test_a_result_that_cannot_be_read_is_an_error_though_the_call_is_done():
    future = ns.submit(Unreadable)
    with pytest.raises(TypeError, match="expected str, bytes"):
        future.result(timeout=30)
    assert isinstance(future.exception(), TypeError)
    assert future.done()


def test_a_pending_call_takes_less_than_a_kilobyte():
    count = 5000
    ns.gather(ns.map(abs, range(300)))  # what is imported for the first is nobody's
    held = ns.submit(time.sleep, 600)
    behind = ns.submit(time.sleep, 600)
    try:
        tracemalloc.start()
        futures = ns.map(abs, range(count))
        taken = tracemalloc.get_traced_memory()[0] / count
        for one in futures:
            one.cancel()
        del futures, one
        gc.collect()
        wait_until(lambda: tracemalloc.get_traced_memory()[0] / count < 100, "memory given back")
    finally:
        tracemalloc.stop()
        ns.cancel([held, behind])
    assert taken < 1000


def test_many_wait_for_one_future():
    future = Future()
    found = []
    threads = [threading.Thread(target=lambda: found.append(future.result())) for _ in range(5)]
    for thread in threads:
        thread.start()
    with pytest.raises(TimeoutError):
        future.result(timeout=0.01)
    future.set_result(7)
    for thread in threads:
        thread.join()
    assert found == [7] * 5
