"""Processes that are killed, freeze or kill themselves: the answer is the same, or a named error."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import threading
import time

import numpy as np
import pandas as pd
import pytest

from nbscale.engines.base import RunInfo
from nbscale.errors import EngineError, RunCancelled, WorkerLost
from nbscale.events import Place
from nbscale.testing.board import wait_until
from nbscale.testing.jobs import Results, each, everything, plain, run, stage
from tests.engines.local.pooled import Pooled, alive


def sums(board, n=24, rows=3000):
    """Frames, sums of them, and the sum of those; each task that begins leaves a mark."""

    def make(index):
        board.mark("make", chr(97 + index[0]))
        return pd.DataFrame({"x": np.arange(rows) + index[0]})

    def total(index, frame):
        board.mark("total", chr(97 + index[0]))
        time.sleep(0.001)
        return int(frame.x.sum())

    a = stage(0, n, make)
    b = stage(1, n, total, each(a), user_code=True)
    c = stage(2, 1, lambda index, values: sum(values), everything(b), result=0)
    return plain(a, b, c), [sum(sum(range(i, i + rows)) for i in range(n))]


def is_usable(engine):
    return run(engine, plain(stage(0, 9, lambda index: index[0], result=0))) == list(range(9))


def test_a_worker_is_killed_at_any_time(engine, board):
    for seed in range(50):
        chance = random.Random(seed)
        job, expected = sums(board, rows=chance.choice([100, 3000, 100_000]))
        engine.wait_ready()
        victim = chance.choice(engine.workers)
        delay = chance.uniform(0, 0.05)
        killer = threading.Timer(delay, os.kill, (victim, signal.SIGKILL))
        killer.start()
        assert run(engine, job) == expected, seed
        killer.join()
        wait_until(lambda gone=victim: gone not in engine.workers)
    wait_until(lambda: engine.driver.segments.nbytes == 0, "what they held")
    assert is_usable(engine)


def test_only_what_the_lost_worker_had_is_run_again(engine, board):
    def make(index):
        board.mark("ran", chr(97 + index[0]))
        if index[0] == 5:
            board.wait("die" if board.count("died") == 0 else "died")
            if board.text("ran").count("f") == 1:
                board.mark("died")
                os.kill(os.getpid(), signal.SIGKILL)
        return index[0]

    ticket_results = Results()
    a = stage(0, 20, make, result=0)
    ticket = engine.run(plain(a), info=RunInfo(1), deliver=ticket_results)
    ticket.begin()
    # All others are done before it dies; those that waited behind it were recalled.
    board.wait("ran", 20)
    board.mark("die")
    ticket.wait()
    assert ticket_results.of(0) == list(range(20))
    assert sorted(board.text("ran")) == sorted("abcdefghijklmnopqrst" + "f")


def test_both_workers_are_killed_at_once(engine, board):
    job, expected = sums(board)
    victims = engine.workers
    ticket_results = Results()
    ticket = engine.run(job, info=RunInfo(1), deliver=ticket_results)
    ticket.begin()
    board.wait("total", 3)
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    ticket.wait()
    assert ticket_results.of(0) == expected
    assert is_usable(engine)


@pytest.mark.parametrize("idle", [True, False])
def test_the_zygote_is_killed(engine, board, idle):
    before = [engine.zygote, *engine.workers]
    job, expected = sums(board)
    if idle:
        os.kill(engine.zygote, signal.SIGKILL)
        wait_until(lambda: engine.zygote != before[0])
        assert run(engine, job) == expected
    else:
        results = Results()
        ticket = engine.run(job, info=RunInfo(1), deliver=results)
        ticket.begin()
        board.wait("total", 3)
        os.kill(engine.zygote, signal.SIGKILL)
        ticket.wait()
        assert results.of(0) == expected
    wait_until(lambda: not any(map(alive, before)), "the old processes to end")
    assert is_usable(engine)


def test_a_zygote_that_is_killed_again_and_again(engine):
    for _ in range(4):
        engine.wait_ready()
        before = engine.zygote
        os.kill(before, signal.SIGKILL)
        assert is_usable(engine)
        wait_until(lambda gone=before: engine.zygote != gone, "another zygote")


def by_exit():
    os._exit(7)


def by_kill():
    os.kill(os.getpid(), signal.SIGKILL)


def by_segfault():
    ctypes.string_at(0)


@pytest.mark.parametrize(
    ("how", "cause"),
    [(by_exit, "exit code 7"), (by_kill, "SIGKILL"), (by_segfault, "SIGSEGV")],
    ids=["exit", "kill", "segfault"],
)
def test_a_task_that_kills_its_worker(engine, how, cause):
    def kernel(index):
        if index[0] == 7:
            how()
        return index[0]

    a = stage(0, 40, kernel, name="assign(f)", place=Place("notebook", 3, cell=7), result=0)
    with pytest.raises(WorkerLost) as raised:
        run(engine, plain(a))
    text = "\n".join([str(raised.value), *raised.value.__notes__])
    assert "assign(f)" in text
    assert "cell 7, line 3" in text
    assert "partition 7 of 0 to 39" in text
    assert cause in text
    assert is_usable(engine)


def test_a_frozen_worker_does_not_keep_a_run_from_being_stopped(engine, board):
    def kernel(index):
        board.mark("pid", f"{os.getpid()} ")
        board.wait("go")

    ticket = engine.run(plain(stage(0, 2, kernel, result=0)), info=RunInfo(1), deliver=Results())
    ticket.begin()
    wait_until(lambda: len(board.text("pid").split()) == 2)
    victim = int(board.text("pid").split()[0])
    os.kill(victim, signal.SIGSTOP)
    ticket.cancel()
    with pytest.raises(RunCancelled):
        ticket.wait()
    assert is_usable(engine)
    wait_until(lambda: not alive(victim))


def test_a_task_is_stopped_though_an_object_of_it_is_at_its_end(engine, board):
    """Python drops what is raised there: the task would go on, and be killed with its worker."""

    class Ends:
        def __del__(self):
            board.mark("ends")
            while not signal.getitimer(signal.ITIMER_REAL)[0]:  # it is tried again
                pass

    def kernel(index):
        _ = Ends()
        del _
        board.wait("never")

    before = engine.workers
    ticket = engine.run(plain(stage(0, 2, kernel, result=0)), info=RunInfo(1), deliver=Results())
    ticket.begin()
    board.wait("ends", 2)
    ticket.cancel()
    with pytest.raises(RunCancelled):
        ticket.wait()
    assert is_usable(engine)
    assert engine.workers == before


@pytest.mark.parametrize("thaws", ["late", "in time", "never"])
def test_the_tasks_of_a_frozen_worker_are_run_by_others(engine, board, thaws):
    def kernel(index, value):
        if index[0] == 0 and board.count("begun") == 0:
            board.mark("begun")
            board.mark("pid", str(os.getpid()))
            board.wait("go")
        if index[0] == 0:
            board.mark("again")
        if index[0] == 1 and thaws == "in time":
            board.wait("over")
        return value.sum()

    a = stage(0, 8, lambda index: np.full(40_000, index[0]))
    b = stage(1, 8, kernel, each(a), user_code=True)
    c = stage(2, 1, lambda index, values: [int(value) for value in values], everything(b), result=0)
    results = Results()
    ticket = engine.run(plain(a, b, c), info=RunInfo(1), deliver=results)
    ticket.begin()
    board.wait("pid")
    victim = int(board.text("pid"))
    os.kill(victim, signal.SIGSTOP)
    board.mark("go")
    board.wait("again")  # by another
    if thaws == "in time":
        os.kill(victim, signal.SIGCONT)
        board.wait("again", 2)
    board.mark("over")
    ticket.wait()
    assert results.of(0) == [[40_000 * i for i in range(8)]]
    if thaws == "late":
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGCONT)
    assert is_usable(engine)
    if thaws != "in time":
        wait_until(lambda: not alive(victim))
    wait_until(lambda: engine.driver.segments.nbytes == 0, "what it held")


def test_a_worker_that_is_silent_is_not_taken_for_frozen(engine, board, monkeypatch):
    monkeypatch.setattr("nbscale.engines.local.driving._WATCH", 0.01)
    pids = set(engine.workers)

    def kernel(index):
        # Holds the interpreter in C for a while: no thread of the worker could answer.
        ctypes.PyDLL(None).usleep(300_000)
        board.mark("ran")

    run(engine, plain(stage(0, 2, kernel, result=0)))
    assert board.count("ran") == 2
    assert set(engine.workers) == pids


def test_what_cannot_be_interrupted_keeps_few_tasks_behind_it(engine, board):
    def kernel(index):
        if index[0] == 0:
            deaf = {signal.SIGINT, signal.SIGALRM}  # as one is in C code
            signal.pthread_sigmask(signal.SIG_BLOCK, deaf)
            board.mark("begun")
            board.wait("go")
            signal.pthread_sigmask(signal.SIG_UNBLOCK, deaf)
        board.mark("ran")
        return index[0]

    engine.wait_ready(1)
    quick = plain(stage(0, 500, lambda index: index[0], result=0))
    assert run(engine, quick) == list(range(500))  # many are handed out ahead at the end
    results = Results()
    ticket = engine.run(plain(stage(0, 12, kernel, result=0)), info=RunInfo(1), deliver=results)
    ticket.begin()
    board.wait("begun")
    engine.scale(2)
    board.wait("ran", 10)  # all but it and the one behind it
    board.mark("go")
    ticket.wait()
    assert results.of(0) == list(range(12))


def test_a_zygote_that_hangs(monkeypatch):
    monkeypatch.setattr("nbscale.engines.local.driving._STARTING", 5.0)  # it needs some to start
    engine = Pooled()
    engine.scale(2)
    engine.wait_ready()
    before = engine.workers
    os.kill(engine.zygote, signal.SIGSTOP)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    # Nobody tells of their death: the run waits for the answers of the dead.
    assert is_usable(engine)
    engine.close()


def test_a_task_that_kills_the_zygote(engine):
    def kernel(index):
        os.kill(os.getppid(), signal.SIGKILL)
        ctypes.CDLL(None).pause()

    with pytest.raises(EngineError, match="ended with code -9"):
        run(engine, plain(stage(0, 1, kernel, result=0)))
    assert is_usable(engine)
