"""F24: work inside work, four deep: no deadlock, no more processes or threads than there were.

What is deepest looks about: how many processes the pool has then, and how many threads its libraries
would use. Nothing waits for a worker while it holds one.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import threadpoolctl
from sklearn.datasets import make_classification
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.model_selection import GridSearchCV

import nbscale as ns
import nbscale.dataframe as nd
from nbscale.engines import limits
from nbscale.engines.base import inside
from nbscale.testing.board import Board, wait_until

pytestmark = pytest.mark.timeout(100)

DEPTH = 4


@pytest.fixture
def board(tmp_path):
    return Board(tmp_path)


@pytest.fixture(autouse=True)
def usable():
    """After each of them the pool does what it is asked to."""
    yield
    assert ns.gather(ns.map(math.factorial, range(3))) == [1, 1, 2]


def stat(pid):
    """State, parent, group, session of a process; None if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *numbers = text.rpartition(")")[2].split()[:4]
    return (state, *map(int, numbers))


def processes():
    """Living processes of this one's session: in a worker the zygote, workers and what they started."""
    mine = os.getsid(0)
    found = (stat(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    return sum(one is not None and one[0] not in "ZX" and one[3] == mine for one in found)


def look(board):
    """Make a mark of what there is, in a process of the pool: elsewhere rows are only sampled."""
    if not inside():
        return
    np.ones((2, 2)) @ np.ones((2, 2))
    inner = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
    ours = sum(one.name.startswith("nbscale-") for one in threading.enumerate())
    threads = len(list(Path("/proc/self/task").iterdir())) - ours
    board.mark("seen", f"{processes()} {max(inner)} {threads}\n")


def check(board, fewest=1):
    """No fork bomb, one thread for each library in each process, three of the process itself."""
    seen = [tuple(map(int, line.split())) for line in board.text("seen").splitlines()]
    assert len(seen) >= fewest
    most, inner, threads = map(max, zip(*seen, strict=True))
    assert most <= limits.workers() + 1  # the zygote
    assert inner == 1
    assert threads <= 3  # its own and two of ZeroMQ's, beside those of nbscale's, one for each use


# Tasks that submit and compute --------------------------------------------------------------


def submits(board, depth, width=3):
    look(board)
    if depth == 0:
        return 1
    return sum(ns.gather([ns.submit(submits, board, depth - 1, width) for _ in range(width)]))


def test_f24_tasks_that_submit_tasks(board):
    assert submits.__module__ != "__main__"
    futures = [ns.submit(submits, board, DEPTH - 1) for _ in range(6)]
    assert ns.gather(futures) == [3 ** (DEPTH - 1)] * 6
    check(board, 6 * 3 ** (DEPTH - 1))


def computes(part, board, depth):
    look(board)
    if depth == 0:
        return part
    inner = nd.from_pandas(part, npartitions=2)
    return inner.map_partitions(computes, board=board, depth=depth - 1).compute()


def test_f24_tasks_that_compute(board):
    ns.config.set(engine="local")  # a small one would be computed in the kernel
    frame = pd.DataFrame({"x": np.arange(64)})
    lazy = nd.from_pandas(frame, npartitions=4)
    done = lazy.map_partitions(computes, board=board, depth=DEPTH - 1).compute()
    pd.testing.assert_frame_equal(done, frame)
    check(board)


def test_f24_tasks_that_wait_for_one_another(board):
    """More tasks wait, in a chain of results and inside one another, than there are workers."""

    def waits(before):
        look(board)
        return before + ns.submit(abs, -1).result()

    last = 0
    for _ in range(20):
        last = ns.submit(waits, last)
    assert last.result() == 20
    check(board, 20)


# joblib and scikit-learn --------------------------------------------------------------------


def parallel(board, depth):
    if depth == 0:
        look(board)
        return 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calls = (joblib.delayed(parallel)(board, depth - 1) for _ in range(3))
        return sum(joblib.Parallel(n_jobs=-1)(calls))


@pytest.mark.parametrize("backend", ["nbscale", "loky", "multiprocessing", "threading"])
def test_f24_joblib_in_joblib(board, backend):
    """Whatever a task asks joblib for."""

    def outer():
        with joblib.parallel_config(backend=backend):
            return parallel(board, DEPTH - 1)

    with joblib.parallel_config(backend="nbscale"):
        assert (
            joblib.Parallel(n_jobs=-1)(joblib.delayed(outer)() for _ in range(3))
            == [3 ** (DEPTH - 1)] * 3
        )
    check(board, 3**DEPTH)


class Looking(RandomForestClassifier):
    """A forest that looks about as it grows."""

    def __init__(self, board=None, max_depth=None, n_jobs=None):
        super().__init__(n_estimators=5, max_depth=max_depth, n_jobs=n_jobs, random_state=0)
        self.board = board

    def fit(self, X, y):
        if self.board is not None:
            look(self.board)
        return super().fit(X, y)


def search(board, jobs):
    X, y = make_classification(120, random_state=0)
    forest = Looking(board, n_jobs=jobs)
    bagged = BaggingClassifier(forest, n_estimators=2, n_jobs=jobs, random_state=0)
    found = GridSearchCV(bagged, {"estimator__max_depth": [2, 3]}, cv=2, n_jobs=jobs).fit(X, y)
    return found.cv_results_["mean_test_score"].tolist(), found.predict(X).tolist()


def test_f24_forests_in_bags_in_searches_in_calls(board):
    serial = search(None, 1)
    with joblib.parallel_config(backend="nbscale"):
        calls = [joblib.delayed(search)(board, -1) for _ in range(2)]
        assert joblib.Parallel(n_jobs=-1)(calls) == [serial] * 2
    check(board, 2 * 8)  # forests, and one of each search for the best


def test_f24_a_search_that_the_pool_makes_for_the_kernel(board):
    serial = search(None, 1)
    with joblib.parallel_config(backend="nbscale"):
        assert search(None, -1) == serial


# multiprocessing ----------------------------------------------------------------------------


def in_children(n):
    with multiprocessing.Pool(2) as pool:
        return pool.map(math.factorial, range(n))


def test_f24_multiprocessing_in_a_task():
    assert ns.gather(ns.map(in_children, [3, 4, 5, 6])) == [
        [math.factorial(i) for i in range(n)] for n in (3, 4, 5, 6)
    ]


def test_f24_a_child_of_a_task_is_no_worker():
    """Signals and prints that a worker would tell the kernel of are the child's own."""

    def forks():
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                os.write(write, b"its own, " if sys.stdout is sys.__stdout__ else b"the worker's, ")
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(60)
            except KeyboardInterrupt:
                os.write(write, b"interrupted")
            os._exit(0)
        return os.waitpid(pid, 0)[1], os.read(read, 100)

    assert ns.submit(forks).result() == (0, b"its own, interrupted")


def gone(pid):
    one = stat(pid)
    return one is None or one[0] in "ZX"


def children(board):
    board.wait("there")
    found = board.text("children").split()
    assert len(found) >= 2
    return found


def starts(board):
    """Starts children that would outlive it by far, and says which."""
    with multiprocessing.Pool(2) as pool:
        for child in multiprocessing.active_children():
            board.mark("children", f"{child.pid} ")
        board.mark("there")
        pool.map(time.sleep, [1000, 1000])


def test_f24_what_a_killed_task_started_ends_with_it(board):
    def killed():
        pool = multiprocessing.Pool(2)
        pool.map_async(time.sleep, [1000, 1000])
        for child in multiprocessing.active_children():
            board.mark("children", f"{child.pid} ")
        board.mark("there")
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(ns.errors.WorkerLost):
        ns.submit(killed).result()
    wait_until(lambda: all(map(gone, children(board))), "the end of the children")


def test_f24_what_a_cancelled_task_started_ends_with_it(board):
    future = ns.submit(starts, board)
    board.wait("there")
    future.cancel()
    wait_until(lambda: all(map(gone, children(board))), "the end of the children")


@pytest.mark.parametrize("how", ["killed", "closed"])
def test_f24_what_a_task_started_ends_with_the_kernel(board, tmp_path, how):
    script = (
        "import sys; from pathlib import Path; import nbscale as ns\n"
        "from nbscale.testing.board import Board; from tests.faults.test_f24_nested import starts\n"
        "board = Board(Path(sys.argv[1])); ns.submit(starts, board); board.wait('there')\n"
        "if sys.argv[2] == 'killed': input()"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", script, tmp_path, how], stdin=subprocess.PIPE, cwd=root
    ) as kernel:
        board.wait("there")
        if how == "killed":
            kernel.kill()
    wait_until(lambda: all(map(gone, children(board))), "the end of the children")


def test_f24_a_child_of_the_kernel_that_forks_closes_nothing_of_its_own():
    """What a forked child lets go of, a child of that one must not let go of again."""
    values = [ns.submit(np.ones, 1 << 20).result() for _ in range(3)]  # a pool, with segments
    pid = os.fork()
    if not pid:
        code = 1
        try:
            ends = [os.pipe() for _ in range(32)]  # every number that was let go of is another's
            inner = os.fork()
            if not inner:
                for read, write in ends:
                    os.write(write, b"x")
                    os.read(read, 1)
                os._exit(0)
            code = os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert [value.sum() for value in values] == [1 << 20] * 3
