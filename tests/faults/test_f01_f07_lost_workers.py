"""F1 to F7: workers that are killed, freeze, are slow or kill themselves."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest

import nbscale as ns
from nbscale.engines.base import RunInfo
from nbscale.errors import EngineError, RunCancelled, WorkerLost
from nbscale.events import Place
from nbscale.testing.board import wait_until
from nbscale.testing.jobs import Results, each, everything, plain, run, stage
from tests.engines.local.pooled import Pooled, alive
from tests.faults.holds import fails, is_usable

SEEDS = int(os.environ.get("NBSCALE_FAULT_SEEDS", "20"))
"""Of kills at random times; `make check-long PART=faults` tries 300."""

pytestmark = pytest.mark.timeout(110 * max(1, SEEDS / 20))


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


def test_f1_a_worker_is_killed_at_any_time(engine, board):
    for seed in range(SEEDS):
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


def test_f1_only_what_the_lost_worker_had_is_run_again(engine, board):
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


def test_f3_both_workers_are_killed_at_once(engine, board):
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
def test_f3_the_zygote_is_killed(engine, board, idle):
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


def test_f3_a_zygote_that_is_killed_again_and_again(engine):
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
def test_f4_a_task_that_kills_its_worker(engine, how, cause):
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


def test_f5_a_frozen_worker_does_not_keep_a_run_from_being_stopped(engine, board):
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


def test_f23_a_task_is_stopped_though_an_object_of_it_is_at_its_end(engine, board):
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
def test_f5_the_tasks_of_a_frozen_worker_are_run_by_others(engine, board, thaws):
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


def test_f6_a_worker_that_is_silent_is_not_taken_for_frozen(engine, board, monkeypatch):
    monkeypatch.setattr("nbscale.engines.local.crew._WATCH", 0.01)
    pids = set(engine.workers)

    def kernel(index):
        # Holds the interpreter in C for a while: no thread of the worker could answer.
        ctypes.PyDLL(None).usleep(300_000)
        board.mark("ran")

    run(engine, plain(stage(0, 2, kernel, result=0)))
    assert board.count("ran") == 2
    assert set(engine.workers) == pids


def test_f6_what_cannot_be_interrupted_keeps_few_tasks_behind_it(engine, board):
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


def test_f3_a_zygote_that_hangs(monkeypatch):
    monkeypatch.setattr("nbscale.engines.local.crew._STARTING", 10.0)  # it needs some to start
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


def test_f4_a_task_that_kills_the_zygote(engine):
    def kernel(index):
        os.kill(os.getppid(), signal.SIGKILL)
        ctypes.CDLL(None).pause()

    with pytest.raises(EngineError, match="ended with code -9"):
        run(engine, plain(stage(0, 1, kernel, result=0)))
    assert is_usable(engine)


# F1: calls that are made once -----------------------------------------------------------------


def effect(board, number):
    board.mark(f"effect {number}")
    time.sleep(0.002)
    return number


def test_f1_a_call_that_is_made_once_is_never_made_again(engine, board):
    lost = made = 0
    for seed in range(SEEDS):
        chance = random.Random(seed)
        engine.wait_ready()
        victim, delay = chance.choice(engine.workers), chance.uniform(0, 0.06)
        killer = threading.Timer(delay, os.kill, (victim, signal.SIGKILL))
        calls = [ns.submit(effect, board, f"{seed} {n}", once=True) for n in range(40)]
        killer.start()
        outcomes = [call.exception(60) for call in calls]
        killer.join()
        wait_until(lambda gone=victim: gone not in engine.workers)
        for n, (call, error) in enumerate(zip(calls, outcomes, strict=True)):
            assert board.count(f"effect {seed} {n}") <= 1, (seed, n)
            if error is None:
                assert call.result() == f"{seed} {n}"
                made += 1
            else:
                assert isinstance(error, WorkerLost), error
                assert "only once" in str(error)
                lost += 1
    assert made + lost == 40 * SEEDS
    assert lost < made  # only what had begun is lost
    assert lost or SEEDS < 10


def dies_once(board, number, how):
    board.mark("ran", chr(97 + number))
    if number == 5 and board.count("died") == 0:
        board.mark("died")
        how()
    return number


def by_stop():
    os.kill(os.getpid(), signal.SIGSTOP)


@pytest.mark.parametrize("how", [by_exit, by_kill, by_segfault, by_stop])
def test_f1_a_call_that_was_begun_is_lost_and_the_others_are_not(engine, board, how):
    calls = [ns.submit(dies_once, board, n, how, once=n % 5 == 0) for n in range(20)]
    fails(WorkerLost, lambda: calls[5].result(60), "dies_once", "only once")
    wait_until(lambda: all(call.done() for call in calls))
    for number, call in enumerate(calls):
        if number % 5 or call.exception() is None:
            assert call.result() == number
        else:  # it was done, and the worker could not say so any more
            assert isinstance(call.exception(), WorkerLost)
        assert number % 5 or board.text("ran").count(chr(97 + number)) <= 1


@pytest.mark.parametrize("once", [True, False])
def test_f1_delayed_calls_that_are_made_once(engine, board, once):
    call = ns.delayed(dies_once, once=once)
    values = [call(board, n, by_kill) for n in range(4, 7)]
    total = ns.delayed(sum)(values)
    if once:
        fails(WorkerLost, lambda: total.compute(engine="local"), "dies_once", "only once")
        assert board.text("ran").count("f") == 1
    else:
        assert total.compute(engine="local") == 15
        assert board.text("ran").count("f") == 2
    assert is_usable(engine)


def test_f1_a_call_that_is_made_once_is_not_made_for_each_of_its_readers(engine, board):
    """What reads it dies and is run again; its own value stays."""

    def source():
        board.mark("source")
        return 7

    def reader(value, number):
        if board.count("died") == 0:
            board.mark("died")
            by_kill()
        return value + number

    value = ns.delayed(source, once=True)()
    readers = [ns.delayed(reader)(value, n) for n in range(6)]
    assert ns.compute(*readers, engine="local") == tuple(range(7, 13))
    assert board.count("source") == 1


def test_f1_the_zygote_dies_under_calls_that_are_made_once(engine, board):
    calls = [ns.submit(effect, board, n, once=True) for n in range(200)]
    wait_until(lambda: board.count("effect 20"))
    os.kill(engine.zygote, signal.SIGKILL)
    wait_until(lambda: all(call.done() for call in calls))
    lost = [n for n, call in enumerate(calls) if call.exception() is not None]
    assert all(board.count(f"effect {n}") <= 1 for n in range(200))
    assert all(isinstance(calls[n].exception(), WorkerLost) for n in lost)
    assert len(lost) < 100
    assert is_usable(engine)


# F2: kills at named points --------------------------------------------------------------------


class DiesWhen:
    """Kills the worker that reads or pickles it, the first time."""

    def __init__(self, point, board, kernel):
        self._told = (point, board, kernel)

    def __reduce__(self):
        die_at("pickle", *self._told)
        return read_again, self._told


def die_at(now, point, board, kernel):
    if now == point and os.getpid() != kernel and board.count("died") == 0:
        board.mark("died")
        os.kill(os.getpid(), signal.SIGKILL)


def read_again(*told):
    die_at("unpickle", *told)
    return DiesWhen(*told)


def at_a_point(dies, argument, number):
    point, board, kernel = argument._told
    if dies:
        die_at("run", point, board, kernel)
    # What was done just before is not told yet.
    if point == "untold":
        die_at("untold" if board.count("near") else "", point, board, kernel)
        if dies:
            board.mark("near")
    return argument if dies and point == "pickle" else number


@pytest.mark.parametrize("at", ["first", "middle", "last"])
@pytest.mark.parametrize("point", ["unpickle", "run", "pickle", "untold", "large"])
def test_f2_killed_at_a_point(engine, board, point, at):
    n = 9
    which = {"first": 0, "middle": n // 2, "last": n - 1}[at]
    if point == "large":
        found = ns.gather(ns.map(dies_after_writing, range(n), [which] * n, [board] * n))
        assert [len(value) for value in found] == [1 << 20] * n
        return
    told = [DiesWhen(point if k == which else "", board, os.getpid()) for k in range(n)]
    if point == "untold":
        told = [DiesWhen(point, board, os.getpid()) for _ in range(n)]
    found = ns.gather([ns.submit(at_a_point, k == which, told[k], k) for k in range(n)])
    if point == "pickle":
        found[which] = which
    assert found == list(range(n))
    assert point == "untold" or board.count("died") == 1


def dies_after_writing(number, which, board):
    """Dies with a large value that is written and not told of, if the next call comes in time."""
    if board.count("written") and board.count("died") == 0:
        board.mark("died")
        by_kill()
    if number == which:
        board.mark("written")
    return np.full(1 << 20, number, np.uint8)


def test_f2_killed_while_it_is_replaced(engine, board):
    job, expected = sums(board)
    results = Results()
    ticket = engine.run(job, info=RunInfo(1), deliver=results)
    ticket.begin()
    board.wait("total", 3)
    killed = set()
    for _ in range(2):  # three in turn that die before they are ready would end the run
        for worker in list(engine.pool._workers.values()):
            if worker.pid and worker.pid not in killed:
                killed.add(worker.pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGKILL)
        wait_until(lambda: any(w.pid not in killed for w in list(engine.pool._workers.values())))
    ticket.wait()
    assert results.of(0) == expected


# F4: what crashes -----------------------------------------------------------------------------


def by_abort():
    os.abort()


def by_overflow():
    """Recurse in C until the stack is used up."""
    value = None
    for _ in range(1_000_000):
        value = (value,)
    sys.setrecursionlimit(10**9)
    repr(value)


@pytest.mark.parametrize("how", [by_exit, by_abort, by_segfault, by_overflow])
def test_f4_a_call_that_crashes_fails_alone(engine, how):
    def poison(number):
        if number == 7:
            how()
        return number

    calls = [ns.submit(poison, n) for n in range(40)]
    fails(WorkerLost, lambda: calls[7].result(60), "poison", "2 workers")
    assert ns.gather(calls[:7] + calls[8:]) == [n for n in range(40) if n != 7]


# F7: a slow worker ----------------------------------------------------------------------------


def test_f7_a_slow_worker_is_relieved_of_what_waits_behind(engine, board):
    """One worker is at a task that takes long; what was handed out to it goes to the other."""

    def kernel(index):
        if index[0] == 0:
            board.wait("others", 39)
        else:
            board.mark("others")
        return index[0]

    # In the order given: those behind the first would wait for it for ever.
    assert run(engine, plain(stage(0, 40, kernel, result=0))) == list(range(40))
    assert board.count("others") == 39
