"""F23 and F24: one call of many is given up; work inside work, four deep, and pools of others."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import threading
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score

import nbscale as ns
from nbscale.testing import leaks
from nbscale.testing.board import wait_until
from tests.faults.holds import fails, is_usable

pytestmark = pytest.mark.timeout(100)


def warm_up():
    search(0, jobs=None)


# F23: giving up -------------------------------------------------------------------------------


def waits(board, name, value=None):
    board.mark(f"began {name}")
    board.wait(f"go {name}")
    board.mark(f"ended {name}")
    return name


def test_f23_one_of_many_is_given_up(engine, board):
    calls = [ns.submit(waits, board, f"{n}") for n in range(6)]
    board.wait("began 0")
    assert calls[3].cancel()
    for n in range(6):
        board.mark(f"go {n}")
    assert [call.result(60) for n, call in enumerate(calls) if n != 3] == list("01245")
    fails(concurrent.futures.CancelledError, calls[3].result)


def test_f23_what_depends_on_it_is_given_up_and_nothing_else(engine, board):
    first, other = ns.submit(waits, board, "a"), ns.submit(waits, board, "b")
    after = ns.submit(waits, board, "c", first)
    last = ns.submit(waits, board, "d", [after, other])
    board.wait("began a")
    board.wait("began b")
    assert first.cancel()
    wait_until(lambda: last.done(), "what depends on it")
    for call in (after, last):
        fails(concurrent.futures.CancelledError, call.result)
    board.mark("go a")
    board.mark("go b")
    assert other.result(60) == "b"
    assert not board.count("began c")


def test_f23_given_up_and_asked_again(engine, board):
    call = ns.submit(waits, board, "a")
    board.wait("began a")
    assert call.cancel()
    again = ns.submit(waits, board, "b")
    board.mark("go b")
    assert again.result(60) == "b"
    wait_until(lambda: is_usable(engine))
    assert not board.count("ended a")


def test_f23_a_storm(engine):
    for _ in range(20):
        calls = ns.map(abs, range(-200, 0))
        ns.cancel(calls[::2])
        kept = [call for call in calls if not call.cancelled()]
        assert all(call.result(60) > 0 for call in kept)
    assert ns.submit(abs, -3).result(60) == 3


# F24: nested ----------------------------------------------------------------------------------


class Peak:
    """The most processes there were below this one, and the most threads in one of the workers."""

    def __init__(self, engine):
        self._engine = engine
        self._over = threading.Event()
        self.processes = self.threads = 0
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _watch(self):
        while not self._over.wait(0.01):
            pids = leaks.descendants(self._engine.pool.pids())
            self.processes = max(self.processes, len(pids))
            for pid in pids:
                tasks = Path(f"/proc/{pid}/task")
                try:
                    self.threads = max(self.threads, sum(1 for _ in tasks.iterdir()))
                except OSError:
                    continue


def four_deep(depth):
    """Sums by joblib, ``submit`` and ``delayed`` in turn, each inside the other."""
    if depth == 0:
        return 1
    if depth % 3 == 0:
        return sum(
            joblib.Parallel(n_jobs=-1)(joblib.delayed(four_deep)(depth - 1) for _ in range(3))
        )
    if depth % 3 == 1:
        return sum(ns.gather([ns.submit(four_deep, depth - 1) for _ in range(3)]))
    return sum(ns.compute(*[ns.delayed(four_deep)(depth - 1) for _ in range(3)]))


def test_f24_work_in_work_four_deep(engine):
    with Peak(engine) as peak:
        found = ns.gather([ns.submit(four_deep, 4) for _ in range(4)])
    assert found == [81] * 4
    assert peak.processes <= 2 + 2  # the workers, the zygote, one more while it is replaced
    assert peak.threads <= 8


def search(seed, jobs=-1):
    """A grid search in a task, whose fits search grids, in all cores there are."""
    chance = np.random.default_rng(seed)
    x, y = chance.normal(size=(60, 3)), np.arange(60) % 2
    inner = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, n_jobs=jobs, cv=2)
    outer = GridSearchCV(inner, {"estimator__tol": [1e-3, 1e-4]}, n_jobs=jobs, cv=2)
    return float(cross_val_score(outer, x, y, cv=2, n_jobs=jobs).mean())


def test_f24_grid_searches_in_grid_searches_in_tasks(engine):
    expected = [search(seed, jobs=None) for seed in range(3)]
    with Peak(engine) as peak:
        found = ns.gather([ns.submit(search, seed) for seed in range(3)])
    assert found == expected
    assert peak.processes <= 2 + 2
    assert peak.threads <= 8


def in_a_pool(number):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return sum(pool.map(abs, [-number, -1])), os.getpid()


def test_f24_a_pool_of_multiprocessing_in_a_task(engine):
    found = ns.gather([ns.submit(in_a_pool, n) for n in range(4)])
    assert [value for value, _ in found] == [1, 2, 3, 4]
    assert {pid for _, pid in found} <= set(
        engine.workers
    )  # and its processes are gone, see `pools`


def recursive(depth):
    return depth if depth == 0 else ns.submit(recursive, depth - 1).result() + 1


def test_f24_calls_that_make_calls(engine):
    assert ns.gather([ns.submit(recursive, 30) for _ in range(8)]) == [30] * 8
