"""F33 and F34: an environment that drifts, clocks that jump, and files that change under a run."""

from __future__ import annotations

import locale
import os
import random
import sys
import threading
import time
import warnings

import numpy as np
import pandas as pd
import pytest

import nbscale as ns
import nbscale.dataframe as nd
from nbscale.errors import SourceChanged
from nbscale.testing.jobs import plain, run, stage
from tests.faults.holds import fails, is_usable

pytestmark = pytest.mark.timeout(60)


def warm_up():
    frame = pd.DataFrame({"x": np.arange(10)})
    assert len(nd.from_pandas(frame, npartitions=2).x.compute(engine="local")) == 10


# F33: the environment -------------------------------------------------------------------------


def test_f33_numbers_of_chance_are_no_ones_repetition(engine, board):
    """State of the kernel's generators does not come along, and workers do not share theirs."""
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    here = (random.random(), float(np.random.rand()))  # noqa: NPY002

    def draw(index):
        board.mark("here")
        board.wait("here", 2)
        return (random.random(), float(np.random.rand()))  # noqa: NPY002

    found = run(engine, plain(stage(0, 2, draw, result=0)))
    numbers = [n for pair in [*found, here] for n in pair]
    assert len(set(numbers)) == len(numbers)


def test_f33_one_task_cannot_change_the_answers_of_the_next(engine):
    """Warnings, the locale, print options and float errors that a task sets: a frame is the same."""

    def spoil(index):
        warnings.simplefilter("ignore")
        np.seterr(all="ignore")
        np.set_printoptions(precision=1)
        pd.set_option("display.max_rows", 1)
        locale.setlocale(locale.LC_ALL, "C")
        os.environ["LC_ALL"] = "C"
        sys.setrecursionlimit(500)
        return index[0]

    frame = pd.DataFrame({"x": np.linspace(0, 1, 1000), "s": [f"{i:.3f}" for i in range(1000)]})
    lazy = nd.from_pandas(frame, npartitions=8)
    expected = lazy.groupby("s").x.sum().compute(engine="inline")
    run(engine, plain(stage(0, 8, spoil, result=0)))
    pd.testing.assert_series_equal(lazy.groupby("s").x.sum().compute(engine="local"), expected)


@pytest.mark.parametrize("jump", [-3600.0, 86_400.0])
def test_f33_the_clock_jumps(engine, monkeypatch, jump):
    """Nothing that is waited for is measured by the time of day."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    assert is_usable(engine)
    assert ns.gather(ns.map(abs, range(-50, 0))) == list(range(50, 0, -1))
    with pytest.raises(TimeoutError):
        ns.submit(time.sleep, 0.3).result(timeout=0.01)


def test_f33_no_file_of_the_scheduler_or_the_engines_reads_the_time_of_day():
    from pathlib import Path

    home = Path(ns.__file__).parent
    for folder in ("scheduler", "engines", "comm", "store"):
        for path in (home / folder).rglob("*.py"):
            assert "time.time()" not in path.read_text(), path


def test_f33_threads_of_the_kernel_do_not_matter(engine):
    """The zygote was forked by nobody: threads that the kernel has begun are not in it."""
    over = threading.Event()
    threads = [threading.Thread(target=over.wait) for _ in range(20)]
    for thread in threads:
        thread.start()
    try:
        engine.pool.kill(next(iter(engine.pool._workers)))
        engine.wait_ready()
        found = ns.gather([ns.submit(threading.active_count) for _ in range(4)])
        assert set(found) == {1}
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_f33_a_working_directory_that_is_gone(engine, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    engine.pool.kill(next(iter(engine.pool._workers)))
    assert is_usable(engine)


# F34: files -----------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "t.parquet"
    pd.DataFrame({"x": np.arange(1000), "y": np.arange(1000) * 0.5}).to_parquet(
        path, row_group_size=100
    )
    return path


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "t.csv"
    pd.DataFrame({"x": np.arange(5000)}).to_csv(path, index=False)
    return path


def test_f34_a_file_that_has_changed_between_plan_and_read(engine, text):
    lazy = nd.read_csv(text, blocksize=4000)
    pd.DataFrame({"x": np.arange(100)}).to_csv(text, index=False)
    fails(SourceChanged, lambda: lazy.x.sum().compute(engine="local"), "t.csv")
    assert nd.read_csv(text).x.sum().compute(engine="local") == 4950


def test_f34_a_table_that_has_changed_between_plan_and_read(engine, table):
    lazy = nd.read_parquet(table)
    pd.DataFrame({"x": np.arange(10), "y": np.arange(10) * 0.5}).to_parquet(table)
    fails(SourceChanged, lambda: lazy.x.sum().compute(engine="local"), "t.parquet")
    assert nd.read_parquet(table).x.sum().compute(engine="local") == 45


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_f34_a_file_that_is_gone(engine, text, table, kind):
    path = text if kind == "csv" else table
    lazy = (nd.read_csv if kind == "csv" else nd.read_parquet)(path)
    path.unlink()
    with pytest.raises((FileNotFoundError, SourceChanged), match=path.name):
        lazy.x.sum().compute(engine="local")


@pytest.mark.parametrize("left", [0, 3, 200, 5000])
def test_f34_a_table_that_is_half_written(engine, table, left):
    data = table.read_bytes()
    table.write_bytes(data[:left])
    with pytest.raises((OSError, ValueError), match=r"[Pp]arquet"):
        nd.read_parquet(table).x.sum().compute(engine="local")


def test_f34_one_bad_row_far_behind_the_sample(engine, text):
    """The column is what pandas says it is."""
    lines = text.read_text().splitlines()
    lines[4900] = "bad"
    text.write_text("\n".join(lines) + "\n")
    found = nd.read_csv(text, blocksize=4000).x.compute(engine="local")
    pd.testing.assert_series_equal(found, pd.read_csv(text).x)


def test_f34_a_row_of_too_many_fields(engine, text):
    lines = text.read_text().splitlines()
    lines[4900] = "1,2,3"
    text.write_text("\n".join(lines) + "\n")
    with pytest.raises(pd.errors.ParserError):
        nd.read_csv(text, blocksize=4000).x.sum().compute(engine="local")
