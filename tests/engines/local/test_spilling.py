"""Values that do not fit in memory: written, read again, and made anew where that fails."""

from __future__ import annotations

import os

import numpy as np
import pytest

from nbscale import config
from nbscale.engines.base import RunInfo
from nbscale.errors import RunCancelled, SpillFull
from nbscale.graph.axismap import All, At
from nbscale.store import spill as spills
from nbscale.testing.board import wait_until
from nbscale.testing.jobs import Results, each, everything, over, plain, run, stage
from tests.engines.local.pooled import Pooled, descriptors

MB = 1 << 20
LIMIT = 128 * MB
SIZE = 8 * MB
N = 40  # two and a half times the limit


@pytest.fixture(autouse=True)
def small(default_settings, monkeypatch):
    monkeypatch.setitem(globals(), "CAPTURED", on_disk() + CAPTURED)  # pytest's own
    with config.set(memory_limit=LIMIT):
        yield


@pytest.fixture
def disk(monkeypatch):
    """What was written and read, in numbers of bytes."""
    seen = {"written": [], "read": []}
    write, read = spills.Spill.write, spills.SpillFile.read_into

    def writing(self, data, wanted, ends):
        file = write(self, data, wanted, ends)
        seen["written"].append(len(data))
        return file

    def reading(self, target, wanted):
        read(self, target, wanted)
        seen["read"].append(len(target))

    monkeypatch.setattr(spills.Spill, "write", writing)
    monkeypatch.setattr(spills.SpillFile, "read_into", reading)
    return seen


def make(index):
    return np.full(SIZE // 8, index[0])


def twice(user_code=False, board=None):
    """Every value is read twice, the second time when all were read once."""

    def made(index):
        if board is not None:
            board.mark("made", chr(48 + index[0]))
        return make(index)

    a = stage(0, N, made, user_code=user_code)
    b = stage(1, N, lambda index, value: int(value[0]), each(a), user_code=user_code)
    c = stage(2, 1, lambda index, values: sum(values), everything(b), user_code=user_code)
    last = over(c, At(N, 1, 0), delivery="one")
    d = stage(
        3,
        N,
        lambda index, value, total: total + int(value[-1]),
        each(a),
        last,
        result=0,
        user_code=user_code,
    )
    return plain(a, b, c, d), [sum(range(N)) + i for i in range(N)]


def on_disk():
    """Files of ours that have no name."""
    return sum("(deleted)" in name and "memfd" not in name for name in descriptors()) - CAPTURED


CAPTURED = 0


def is_clean(engine):
    """Nothing is left in memory, on disk, or under way."""
    driver = engine.driver
    wait_until(lambda: driver.segments.nbytes == 0, "what values held")
    wait_until(lambda: driver._spilling.under_way == 0, "the disk")
    wait_until(lambda: on_disk() == 0, "files")
    return True


def test_values_that_do_not_fit_go_to_disk_and_come_back(engine, disk):
    job, expected = twice(user_code=True)
    assert run(engine, job) == expected
    assert sum(disk["written"]) >= N * SIZE - LIMIT
    assert disk["read"]
    assert is_clean(engine)


def exchange(board=None, user_code=True):
    """Values of which each reader takes a piece."""

    def split(index):
        if board is not None:
            board.mark("split", chr(48 + index[0]))
        return [np.full(SIZE // 8 // 8, 10 * index[0] + k) for k in range(8)]

    def merge(index, pieces):
        return [int(piece[0]) for piece in pieces]

    a = stage(0, N, split, user_code=user_code)
    edge = over(a, All(8, N), delivery="turn", pieces=True)
    b = stage(1, 8, merge, edge, result=0, user_code=user_code)
    return plain(a, b), [[10 * i + k for i in range(N)] for k in range(8)]


def test_pieces_of_an_exchange_are_read_from_disk(engine, disk):
    job, expected = exchange()
    assert run(engine, job) == expected
    assert sum(disk["written"]) >= N * SIZE - LIMIT
    assert not disk["read"]  # by the kernel, as a whole
    assert is_clean(engine)
    known = list(engine.pool._workers.values())
    wait_until(lambda: not any(w.segments - set(engine.driver.segments._segments) for w in known))


@pytest.mark.parametrize("how", ["flipped", "short"])
def test_a_piece_that_is_damaged_on_disk_is_made_again(engine, board, monkeypatch, how):
    write = spills.Spill.write

    def damaging(self, data, wanted, ends):
        file = write(self, data, wanted, ends)
        if board.count("damaged") < 5:
            board.mark("damaged")
            if how == "flipped":
                os.pwrite(file.fd, b"\xff", file.nbytes // 2)
            else:
                os.ftruncate(file.fd, file.nbytes // 3)
        return file

    monkeypatch.setattr(spills.Spill, "write", damaging)
    job, expected = exchange(board)
    assert run(engine, job) == expected
    assert board.count("split") >= N + 5
    assert is_clean(engine)


@pytest.mark.parametrize("user_code", [True, False])
@pytest.mark.parametrize("how", ["flipped", "short", "unreadable"])
def test_what_is_damaged_on_disk_is_made_again(engine, board, monkeypatch, how, user_code):
    read = spills.SpillFile.read_into

    def damaged(file, target, wanted):
        if board.count("damaged") < 3:
            board.mark("damaged")
            if how == "unreadable":
                raise OSError(5, "Input/output error")
            if how == "flipped":
                os.pwrite(file.fd, b"\xff", file.nbytes // 2)
            else:
                os.ftruncate(file.fd, file.nbytes - 1)
        read(file, target, wanted)

    monkeypatch.setattr(spills.SpillFile, "read_into", damaged)
    job, expected = twice(user_code, board)
    assert run(engine, job) == expected
    if user_code:
        assert board.count("made") == N + 3
    assert is_clean(engine)


def test_a_full_disk_is_a_named_error_and_the_next_run_is_as_before(engine, monkeypatch):
    with monkeypatch.context() as full:
        full.setattr(spills.Spill, "free", lambda self: 1_500_000)
        job, _ = twice(user_code=True)
        with pytest.raises(SpillFull, match=r"needs 8\.39 MB, has 1\.5 MB\. Make room"):
            run(engine, job)
    assert is_clean(engine)
    job, expected = twice(user_code=True)
    assert run(engine, job) == expected


def test_no_room_for_what_can_be_made_again_only_costs_time(engine, monkeypatch):
    monkeypatch.setattr(spills.Spill, "free", lambda self: 0)
    job, expected = twice(user_code=False)
    assert run(engine, job) == expected
    assert is_clean(engine)


def test_a_run_that_is_stopped_leaves_no_file(engine, board, disk):
    def wait(index, value):
        board.mark("begun")
        board.wait("never")

    a = stage(0, N, make, user_code=True)
    b = stage(1, 1, wait, over(a, At(1, N, 0), delivery="one"), result=0, user_code=True)
    c = stage(
        2, 1, lambda index, values: 0, over(a, All(1, N), delivery="turn"), result=1, user_code=True
    )
    ticket = engine.run(plain(a, b, c), info=RunInfo(1), deliver=Results())
    ticket.begin()
    wait_until(lambda: disk["written"], "the first file")
    ticket.cancel()
    with pytest.raises(RunCancelled):
        ticket.wait()
    assert is_clean(engine)


def test_a_forked_child_keeps_no_file(engine, tmp_path):
    file = spills.Spill(tmp_path).write(memoryview(b"hello"))
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, b"%d" % on_disk())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reading, 10) == b"0"
    assert on_disk() == 1
    del file
    assert on_disk() == 0
    os.close(reading)
    os.close(writing)


def test_an_engine_that_is_closed_while_it_writes(board, monkeypatch):
    engine = Pooled()
    engine.scale(2)
    write = spills.Spill.write

    def slow(self, data, wanted, ends):
        board.mark("writing")
        wait_until(lambda: not wanted(), "the end")
        return write(self, data, wanted, ends)

    monkeypatch.setattr(spills.Spill, "write", slow)
    job, _ = twice(user_code=True)
    ticket = engine.run(job, info=RunInfo(1), deliver=Results())
    ticket.begin()
    board.wait("writing")
    driver = engine.driver
    engine.close()
    with pytest.raises(RunCancelled):
        ticket.wait()
    wait_until(lambda: on_disk() == 0, "files")
    thread = driver._spilling._thread
    wait_until(lambda: not thread.is_alive(), "the thread")
