"""joblib and scikit-learn in the processes of the pool."""

from __future__ import annotations

import gc
import multiprocessing
import os
import re
import signal
import threading
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

import nbscale as ns
from nbscale.errors import RunCancelled, WorkerLost
from nbscale.ml.joblib_backend import NbscaleBackend
from nbscale.session import current
from nbscale.store import shared
from nbscale.testing.board import Board, wait_until

MB = 1 << 20


@pytest.fixture(autouse=True)
def two_workers():
    ns.config.set(n_workers=2)
    with joblib.parallel_config(backend="nbscale"):
        yield


@pytest.fixture
def board(tmp_path):
    return Board(tmp_path)


def inode(array):
    """The file that the memory of an array is mapped from."""
    address = array.__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(part, 16) for part in line.split()[0].split("-"))
        if start <= address < end:
            return int(line.split()[4])
    return None


def memories():
    return set(shared._known)


def works():
    """Whether both workers do."""
    return len(set(Parallel(batch_size=1)(delayed(meet)(i) for i in range(2)))) == 2


def meet(i):
    return os.getpid(), i


def run_calls(*args, **options):
    return Parallel(batch_size=1, **options)(*args)


# scikit-learn -----------------------------------------------------------------------------------


def trees(forest):
    return [tree.tree_.__getstate__()["nodes"].tobytes() for tree in forest.estimators_]


@pytest.fixture(scope="module")
def rows():
    return make_classification(20_000, 4, n_redundant=0, random_state=0)


def test_a_forest_has_the_same_trees(rows):
    X, y = rows
    known = RandomForestClassifier(n_estimators=20, max_depth=4, random_state=0)
    with joblib.parallel_config(backend="sequential"):
        known.fit(X, y)
    again, forest = clone(known), clone(known).set_params(n_estimators=200, n_jobs=-1)
    forest.fit(X, y)
    with joblib.parallel_backend("nbscale", scatter=[X, y]):
        again.fit(X, y)  # n_jobs is -1 there
    assert len(forest.estimators_) == 200
    assert trees(forest)[:20] == trees(again) == trees(known)
    with joblib.parallel_config(backend="sequential"):  # threads would add in any order
        assert (again.predict_proba(X) == known.predict_proba(X)).all()
    assert any("_parallel_build_trees" in run.what for run in ns.runs())


def test_a_search_finds_the_same(rows):
    X, y = rows[0][:2000], rows[1][:2000]
    grid = {"C": [0.01, 1.0], "fit_intercept": [True, False]}
    search = GridSearchCV(LogisticRegression(), grid, n_jobs=-1).fit(pd.DataFrame(X), y)
    with joblib.parallel_config(backend="threading", n_jobs=1):
        known = GridSearchCV(LogisticRegression(), grid, n_jobs=1).fit(pd.DataFrame(X), y)
    for name, values in known.cv_results_.items():
        if "time" not in name:
            assert np.array_equal(search.cv_results_[name], values), name
    assert (search.predict(pd.DataFrame(X)) == known.predict(pd.DataFrame(X))).all()


# What is shared ---------------------------------------------------------------------------------


def look(array, board=None, count=0):
    """Where it lies. It is answered when so many look."""
    if board is not None:
        board.mark("looks")
        board.wait("looks", count)
    return inode(array), float(array.sum())


def test_an_array_is_copied_once(board):
    array = np.ones(MB)
    before = memories()
    looks = run_calls(delayed(look)(array, board, 2) for _ in range(12))
    assert len({number for number, _ in looks} - {None, 0}) == 1
    assert {total for _, total in looks} == {float(MB)}
    wait_until(lambda: memories() <= before)  # and is gone when it is over


def test_while_it_is_used_there_is_one_copy_and_no_more(board):
    array, column = np.ones(MB), pd.DataFrame({"x": np.ones(MB)}).x
    shared.trim(0)
    before = shared.held()

    def wait(*arrays):
        board.mark("begun")
        board.wait("go")
        return sum(float(one.sum()) for one in arrays)

    results = Parallel(return_as="generator", batch_size=1)(
        delayed(wait)(array, column, more) for more in [array] * 8
    )
    board.wait("begun", 2)
    assert 16 * MB < shared.held() - before < 17 * MB
    board.mark("go")
    assert list(results) == [3.0 * MB] * 8


def test_wherever_it_is_in_a_call(board):
    array = np.ones(MB)

    def inner(holder):
        board.mark("looks")
        board.wait("looks", 2)
        return inode(holder["deep"][0]), inode(array)

    found = run_calls(delayed(inner)({"deep": [array]}) for _ in range(6))
    assert len({number for both in found for number in both} - {None, 0}) == 1


def change(array):
    first = array[0]
    array[:] = -1
    return first


def test_a_call_that_changes_it_changes_only_its_own():
    array = np.ones(MB)
    firsts = Parallel(batch_size=5)(delayed(change)(array) for _ in range(20))
    assert firsts == [1] * 20
    assert array.sum() == MB


def test_what_is_met_once_is_not_kept(board):
    before = memories()
    pieces = [np.full(40_000, i) for i in range(200)]
    most = []

    def calls():
        for piece in pieces:  # they stay alive
            most.append(len(memories() - before))
            yield delayed(np.max)(piece)

    assert run_calls(calls()) == list(range(200))
    assert max(most) < 100


def test_what_is_scattered_stays_for_all_calls():
    array = np.ones(1000)
    before = memories()
    with joblib.parallel_backend("nbscale", scatter=[array]):
        assert memories() <= before  # of 8 KB: it travels with the calls
    with pytest.raises(TypeError, match="scatter must be a list"):
        joblib.parallel_backend("nbscale", scatter=array)
    array = np.ones(MB)
    with joblib.parallel_backend("nbscale", scatter=(array,)):
        array[0] = 7
        looks = [run_calls(delayed(look)(array) for _ in range(2)) for _ in range(2)]
    assert len({one for two in looks for one in two}) == 1
    assert looks[0][0][1] == MB
    gc.collect()
    wait_until(lambda: memories() <= before)


@pytest.mark.parametrize("mode", ["r+", "c"])
def test_arrays_in_files_are_mapped_from_there(tmp_path, mode):
    np.arange(100_000.0).tofile(tmp_path / "data")
    array = np.memmap(tmp_path / "data", float, mode, shape=(100, 1000))

    def write(i, row, whole):
        row[i] = -1
        return whole.sum()

    part = np.asarray(array)[::7, 3:5]
    expected = part.sum()
    sums = run_calls(delayed(write)(i, array[50 + i, ::3], part) for i in range(4))
    assert sums == [expected] * 4
    if mode == "c":
        assert (array[50:54] >= 0).all()
    else:
        assert [array[50 + i, 3 * i] for i in range(4)] == [-1] * 4


# Results ----------------------------------------------------------------------------------------


def test_many_short_calls_travel_together():
    before = max((run.run for run in ns.runs()), default=0)  # a thousand are kept
    assert Parallel()(delayed(abs)(-i) for i in range(2000)) == list(range(2000))
    assert 0 < sum(run.tasks for run in ns.runs() if run.run > before) < 200


def test_a_generator_gives_results_in_order(board):
    results = Parallel(return_as="generator", batch_size=1)(
        delayed(held_back)(board, i, first=3) for i in range(8)
    )
    assert list(results) == list(range(8))


def test_an_unordered_generator_gives_them_as_they_come(board):
    results = Parallel(return_as="generator_unordered", batch_size=1)(
        delayed(held_back)(board, i, first=3) for i in range(8)
    )
    assert next(results) != 0
    assert next(results) != 0
    assert {*results} >= {0}


def held_back(board, i, first):
    """The first waits for some of the others."""
    if i == 0:
        board.wait("done", first)
    board.mark("done")
    return i


def test_a_generator_that_is_dropped_stops_its_calls(board):
    results = Parallel(return_as="generator", batch_size=1)(
        delayed(forever)(board) for _ in range(6)
    )
    board.wait("begun", 2)
    with pytest.warns(UserWarning, match="cancelled"):
        del results
    assert works()


def forever(board):
    board.mark("begun")
    threading.Event().wait()


# What goes wrong --------------------------------------------------------------------------------


class Odd(Exception):
    def __init__(self, number, text):
        super().__init__(number, text)
        self.number = number


def fails(i, board=None):
    if i == 3:
        raise Odd(i, "three")
    if board is not None:
        forever(board)
    return i


@pytest.mark.parametrize("return_as", ["list", "generator", "generator_unordered"])
def test_an_error_keeps_its_type_and_says_where(return_as):
    with pytest.raises(Odd) as caught:
        list(Parallel(return_as=return_as)(delayed(fails)(i) for i in range(100)))
    assert (caught.value.number, caught.value.args) == (3, (3, "three"))
    [note] = [one for one in caught.value.__notes__ if "pool" in one]
    assert re.search(r'test_joblib_backend.py", line \d+, in fails', note)
    assert 'joblib_backend.py", line' not in note.replace("test_joblib_backend.py", "")
    assert works()


def test_an_error_stops_the_others(board):
    with pytest.raises(Odd):
        run_calls(delayed(fails)(i, board) for i in (0, 3, 1, 2))
    assert works()


def test_an_error_of_who_makes_the_calls():
    def calls():
        yield from (delayed(abs)(i) for i in range(50))
        raise Odd(0, "no more")

    with pytest.raises(Odd, match="no more"):
        run_calls(calls())
    assert works()


@pytest.mark.parametrize("place", [0, 50])
def test_what_cannot_be_pickled_is_named(place):
    values = [threading.Lock() if i == place else i for i in range(60)]
    with pytest.raises(TypeError, match=r"argument 0 of repr: _thread.lock"):
        run_calls(delayed(repr)(value) for value in values)
    assert works()


@pytest.mark.parametrize("place", [0, 50])
def test_what_does_not_fit_is_an_error(place):
    ns.config.set(memory_limit="32 MB")
    values = [np.ones(8 * MB) if i == place else np.ones(i) for i in range(60)]
    with pytest.raises(MemoryError, match="memory_limit"):
        run_calls(delayed(len)(value) for value in values)
    assert works()


def test_a_timeout_stops_what_runs(board):
    with pytest.raises(multiprocessing.TimeoutError):  # joblib's own
        run_calls((delayed(forever)(board) for _ in range(4)), timeout=0.3)
    assert works()


def test_an_interrupt_stops_what_runs(board):
    def interrupt():
        board.wait("begun", 2)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_calls(delayed(forever)(board) for _ in range(4))
    thread.join()
    assert works()


def test_a_run_can_be_stopped_by_its_number(board):
    def stop():
        board.wait("begun", 2)
        current().cancel(ns.runs()[-1].run)

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(RunCancelled):
        run_calls(delayed(forever)(board) for _ in range(2))
    thread.join()
    assert works()


def die(board, times):
    if board.count("died") < times:
        board.mark("died")
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def test_a_worker_that_dies_is_replaced(board):
    array = np.ones(MB)
    calls = [delayed(die)(board, 1), delayed(np.sum)(array), delayed(np.sum)(array)]
    assert run_calls(calls) == ["alive", MB, MB]
    with pytest.raises(WorkerLost):
        run_calls(delayed(die)(board, 99) for _ in range(1))
    assert works()


# How many ---------------------------------------------------------------------------------------


def test_as_many_as_there_are_workers():
    ns.config.set(n_workers=5)
    backend = NbscaleBackend()
    asked = {-1: 5, None: 5, 3: 3, 9: 5, -2: 4, -9: 1, 1: 1}
    assert {n: backend.effective_n_jobs(n) for n in asked} == asked
    with pytest.raises(ValueError, match="n_jobs == 0"):
        backend.effective_n_jobs(0)
    ns.config.set(engine="inline")
    assert backend.effective_n_jobs(-1) == 1
    assert Parallel()(delayed(os.getpid)() for _ in range(2)) == [os.getpid()] * 2


def test_no_more_at_a_time_than_asked_for(board):
    ns.config.set(n_workers=3)

    def count():
        board.mark("begun")
        found = board.count("begun") - board.count("ended")
        board.wait("begun", 2)  # two at least
        board.mark("ended")
        return found

    assert max(run_calls((delayed(count)() for _ in range(20)), n_jobs=2)) <= 2


def inner():
    nested = Parallel(n_jobs=-1)(delayed(os.getpid)() for _ in range(3))
    named = Parallel(n_jobs=-1, backend="nbscale")(delayed(os.getpid)() for _ in range(3))
    return os.getpid(), {*nested, *named}, joblib.effective_n_jobs(-1)


@pytest.mark.parametrize("how", ["Parallel", "submit"])
def test_inside_a_task_it_is_one_after_the_other(how):
    if how == "Parallel":
        found = run_calls(delayed(inner)() for _ in range(4))
    else:
        found = ns.gather([ns.submit(inner) for _ in range(4)])
    assert all(used == {pid} and n == 1 for pid, used, n in found)
    assert os.getpid() not in {pid for pid, *_ in found}


def test_shared_memory_that_is_required_means_threads():
    found = []
    Parallel(n_jobs=2, require="sharedmem")(delayed(found.append)(i) for i in range(5))
    assert sorted(found) == list(range(5))


def test_calls_inside_a_call_of_the_main_thread_of_another():
    first = Parallel(return_as="generator")(delayed(abs)(-i) for i in range(10))
    assert next(first) == 0
    assert Parallel()(delayed(abs)(-i) for i in range(10)) == list(range(10))
    assert list(first) == list(range(1, 10))
