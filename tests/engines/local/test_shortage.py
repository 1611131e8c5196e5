"""A task that takes too much memory: stopped at the user's line, tried alone, told of; what tasks took."""

from __future__ import annotations

import gc
import os
import signal
import traceback
from pathlib import Path

import numpy as np
import pytest

from nbscale import config
from nbscale.engines import limits
from nbscale.engines.base import RunInfo
from nbscale.errors import TaskMemoryError
from nbscale.events import Place
from nbscale.scheduler.ledger import Ledger
from nbscale.store.shared import trim
from nbscale.testing.board import wait_until
from nbscale.testing.jobs import Results, each, everything, plain, run, stage

MB = 1 << 20
LIMIT = 256 * MB


@pytest.fixture(autouse=True)
def small(default_settings):
    gc.collect()  # what other tests have shared is taken off the limit
    trim(0)
    with config.set(memory_limit=LIMIT):
        yield


def hogs(board, times):
    """Ten tasks, of which one takes more than there is, so many times."""

    def kernel(index):
        board.mark(f"began {index[0]}")
        if index[0] == 4 and board.count("began 4") <= times:
            hog = np.ones(2 * LIMIT // 8)
            return int(hog[0])
        return index[0]

    place = Place("<cell 3>", 2)
    a = stage(0, 10, kernel, name="clean()", place=place, user_code=True, result=0)
    return plain(a)


def test_a_task_that_takes_too_much_is_tried_again_alone(engine, board):
    before = engine.workers
    assert run(engine, hogs(board, 1)) == list(range(10))
    assert board.count("began 4") == 2
    assert all(board.count(f"began {i}") == 1 for i in range(10) if i != 4)
    assert engine.workers == before


def test_one_that_always_does_is_told_of(engine, board):
    before = engine.workers
    with pytest.raises(TaskMemoryError) as caught:
        run(engine, hogs(board, 9))
    assert board.count("began 4") == 2
    text = "".join(traceback.format_exception(caught.value))
    assert ", in kernel\n" in text
    assert "while running clean() (<cell 3>, line 2), on partition 4 of 0 to 9" in text
    said = str(caught.value)
    assert "Unable to allocate 512. MiB" in said
    assert "alone, where" in said
    assert "were foreseen" in said
    assert "the memory limit is 268 MB" in said
    assert "Use smaller partitions" in said
    assert engine.workers == before
    assert run(engine, hogs(board, 0)) == list(range(10))


def test_nothing_runs_beside_what_is_tried_alone(engine, board):
    def kernel(index):
        board.mark("running")
        if index[0] == 0:
            board.mark("tried")
            if board.count("tried") == 1:
                board.wait("running", 2)
                raise MemoryError
            board.mark("beside", str(board.count("running") - board.count("over") - 1) + " ")
        else:
            board.wait("tried")
        board.mark("over")
        return index[0]

    def late(index):
        board.mark("running")
        board.mark("over")

    a = stage(0, 2, kernel, user_code=True, result=0)
    b = stage(1, 40, late, user_code=True, result=1)
    assert run(engine, plain(a, b)) == [0, 1]
    # The first attempt of the task raised: it was never over.
    assert board.text("beside") == "1 "


@pytest.mark.parametrize("times", [1, 2])
def test_a_worker_that_the_system_ends(engine, board, monkeypatch, times):
    before = engine.driver._oom_kills
    monkeypatch.setattr(limits, "oom_kills", lambda: before + board.count("killed"))

    def kernel(index):
        if index[0] == 3:
            board.mark("tried")
            if board.count("tried") <= times:
                board.mark("killed")
                os.kill(os.getpid(), signal.SIGKILL)
        return index[0]

    job = plain(stage(0, 8, kernel, user_code=True, result=0))
    if times == 1:
        assert run(engine, job) == list(range(8))
    else:
        with pytest.raises(TaskMemoryError, match="ended two processes in turn that ran it"):
            run(engine, job)
    assert board.count("tried") == 2
    engine.wait_ready()
    assert run(engine, plain(stage(0, 8, lambda index: index[0], result=0))) == list(range(8))


def test_a_worker_that_somebody_else_kills_is_not_taken_for_one(engine, board):
    def kernel(index):
        board.mark("tried")
        if board.count("tried") == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return index[0]

    seen = []
    machine = engine.driver._machine
    handle = machine.handle
    machine.handle = lambda s: (seen.append(s), handle(s))[1]
    try:
        assert run(engine, plain(stage(0, 1, kernel, user_code=True, result=0))) == [0]
    finally:
        del machine.handle
    assert [s.memory for s in seen if type(s).__name__ == "WorkerLeft"] == [False]


@pytest.fixture
def peaks(monkeypatch):
    """What the ledger was told of each task: bytes of its value, and the most it took."""
    seen = []
    measure = Ledger.measure

    def measuring(self, record, nbytes, peak):
        seen.append((nbytes, peak))
        measure(self, record, nbytes, peak)

    monkeypatch.setattr(Ledger, "measure", measuring)
    return seen


@pytest.mark.parametrize("user_code", [True, False])
def test_the_most_that_a_task_took_is_known(engine, peaks, user_code):
    def kernel(index):
        work = np.ones(60 * MB // 8)
        return work[: 10 * MB // 8] + work[-1]

    def total(index, value):
        copies = [value + k for k in range(3)]
        return float(sum(copy[0] for copy in copies))

    a = stage(0, 4, kernel, user_code=user_code)
    b = stage(1, 4, total, each(a), user_code=user_code)
    c = stage(2, 1, lambda index, values: sum(values), everything(b), result=0)
    assert run(engine, plain(a, b, c)) == [4 * (2 + 3 + 4.0)]
    made = [peak for nbytes, peak in peaks if nbytes == 10 * MB]
    # The array, and its value twice.
    assert all(75 * MB < peak < 90 * MB for peak in made), made
    read = [peak for nbytes, peak in peaks if nbytes < 1000 and peak > MB]
    assert len(read) == 4
    # Three copies less the input, which is foreseen by itself.
    assert all(15 * MB < peak < 30 * MB for peak in read), read


def test_tasks_that_are_short_are_not_measured(engine, peaks):
    run(engine, plain(stage(0, 500, lambda index: index[0], result=0)))
    assert sum(peak > 0 for _, peak in peaks) < 20


def test_what_others_take_meanwhile_is_taken_into_account(engine, board, monkeypatch):
    def kernel(index):
        board.mark("begun")
        board.wait("go")

    ticket = engine.run(
        plain(stage(0, 1, kernel, user_code=True, result=0)), info=RunInfo(1), deliver=Results()
    )
    ticket.begin()
    board.wait("begun")
    ledger = engine.driver._machine.ledger
    assert ledger.limit == LIMIT
    with monkeypatch.context() as others:
        others.setattr(limits, "room", lambda budget, ours: budget // 2)
        wait_until(lambda: ledger.limit == LIMIT // 2, "a smaller limit")
    wait_until(lambda: ledger.limit == LIMIT, "the limit as before")
    board.mark("go")
    ticket.wait()


def own(pid):
    """Bytes of memory of a process that it does not share."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("RssAnon:")[2].split()[0]) << 10


def test_a_worker_that_has_nothing_to_do_gives_memory_back(engine):
    def kernel(index):
        pieces = [bytes(50_000) for _ in range(3000)]  # below what malloc maps by itself
        return len(pieces)

    engine.wait_ready()
    before = sum(own(pid) for pid in engine.workers)
    run(engine, plain(stage(0, 4, kernel, user_code=True, result=0)))
    wait_until(lambda: sum(own(pid) for pid in engine.workers) < before + 24 * MB, "memory")
