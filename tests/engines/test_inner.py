"""Inner threads are held to one while any run is active, and come back afterwards."""

from __future__ import annotations

import threading

import numpy as np
import pyarrow as pa
import pytest
import threadpoolctl

from nbscale.engines import inner
from nbscale.engines.base import load_engine
from nbscale.testing.jobs import plain, run, stage


def threads():
    """How many threads BLAS and Arrow would use now, and OpenMP if something brought it."""
    np.ones((2, 2)) @ np.ones((2, 2))
    pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
    return [*pools, pa.cpu_count()]


def of_the_process():
    with inner.here():  # OpenMP has a limit for each thread
        return set(threads())


@pytest.fixture(autouse=True)
def three_threads():
    with threadpoolctl.threadpool_limits(3):
        before = pa.cpu_count()
        pa.set_cpu_count(3)
        assert min(threads()) > 1
        yield
        pa.set_cpu_count(before)


def test_the_last_release_gives_them_back():
    before = threads()
    inner.hold()
    inner.hold()
    assert of_the_process() == {1}
    inner.release()
    assert of_the_process() == {1}
    inner.release()
    assert threads() == before


@pytest.mark.parametrize("name", ["inline", "threads"])
def test_tasks_have_one_and_the_user_her_own(name):
    engine = load_engine(name)
    before = threads()
    a = stage(0, 4, lambda index: set(threads()), result=0)
    assert run(engine, plain(a)) == [{1}] * 4
    assert threads() == before
    failing = stage(0, 4, lambda index: 1 / 0, result=0)
    with pytest.raises(ZeroDivisionError):
        run(engine, plain(failing))
    assert threads() == before
    engine.close()


class Library:
    """Stands for a library whose limit is each thread's own."""

    internal_api = "openmp"

    def __init__(self):
        self.limits = threading.local()

    @property
    def num_threads(self):
        return getattr(self.limits, "n", 8)

    def set_num_threads(self, n):
        self.limits.n = n


@pytest.mark.parametrize("name", ["inline", "threads"])
def test_limits_of_a_thread_are_set_by_each(name, monkeypatch):
    library = Library()
    monkeypatch.setattr(inner, "_libraries", lambda: [library])
    engine = load_engine(name)
    engine.scale(1)
    a = stage(0, 4, lambda index: library.num_threads, result=0)
    assert run(engine, plain(a)) == [1] * 4
    assert library.num_threads == 8
    engine.close()
