"""Processes, files and sockets: none is left behind, and nobody else is listened to."""

from __future__ import annotations

import importlib
import json
import marshal
import os
import secrets
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import zmq

from nbscale.comm.frame import Outbound
from nbscale.engines.base import RunInfo
from nbscale.engines.local import forkserver
from nbscale.engines.local import pool as pools
from nbscale.testing.board import wait_until
from nbscale.testing.jobs import Results, everything, plain, run, stage
from tests.engines.local.pooled import SLACK, Pooled, alive, descriptors
from tests.pools import on_the_loop

SCRIPT = """
import json, os, signal, sys, time
from pathlib import Path
import numpy as np
from nbscale.engines.base import RunInfo
from nbscale.testing.board import Board, wait_until
from nbscale.testing.jobs import Results, each, plain, run, stage
from tests.engines.local.pooled import Pooled

board = Board(Path(sys.argv[1]))

def make(index):
    return np.zeros(5 << 20, np.uint8)

def kernel(index, value):
    board.mark("begun")
    if index[0] > 1:
        board.wait("never")
    return value

engine = Pooled()
engine.scale(2)
engine.wait_ready()
results = Results()
a = stage(0, 10, make)
ticket = engine.run(plain(a, stage(1, 10, kernel, each(a), result=0)), info=RunInfo(1), deliver=results)
ticket.begin()
board.wait("begun", 3)
told = {"pids": [engine.zygote, *engine.workers], "folder": engine.pool._folder, "child": 0}
def tell():
    board.mark("told", json.dumps(told))
    board.mark("ready")
"""


class Script:
    """A process with a pool that is at work."""

    def __init__(self, board, ending):
        text = SCRIPT + textwrap.dedent(ending)
        self.process = subprocess.Popen(
            [sys.executable, "-c", text, str(board._folder)],
            cwd=Path(__file__).parents[3],
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )
        wait_until(lambda: board.count("ready") or self.process.poll() is not None)
        assert board.count("ready"), self.process.stderr.read().decode()
        told = json.loads(board.text("told"))
        self.pids, self.folder, self.child = told["pids"], told["folder"], told["child"]

    def is_gone(self):
        return not any(map(alive, self.pids)) and not Path(self.folder).exists()

    def wait_gone(self):
        begun = time.monotonic()
        wait_until(self.is_gone, "the end of all that was started")
        assert time.monotonic() - begun < 5 * SLACK


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_kernel_that_is_killed_leaves_nothing(board, how):
    script = Script(board, "tell(); time.sleep(600)")
    assert all(map(alive, script.pids))
    assert len(script.pids) == 3
    assert Path(script.folder).exists()
    script.process.send_signal(how)
    script.process.communicate()
    script.wait_gone()


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("tell()", 0),
        ("tell(); sys.exit(3)", 3),
        ("tell(); 1 / 0", 1),
        ("tell(); os._exit(4)", 4),
        ("engine.close(); tell()", 0),
        ("import threading; tell(); threading.Thread(target=ticket.cancel).start()", 0),
    ],
    ids=["end", "exit", "raise", "_exit", "closed", "cancelled"],
)
def test_a_kernel_that_ends_leaves_nothing(board, ending, code):
    script = Script(board, ending)
    _, errors = script.process.communicate(timeout=60)
    assert script.process.returncode == code
    script.wait_gone()
    assert code == 1 or errors == b""


@pytest.mark.parametrize("how", ["fork", "multiprocessing"])
def test_a_forked_child_computes_and_holds_nothing(board, how):
    script = Script(
        board,
        f"""
        import multiprocessing

        def live():
            a = stage(0, 5, lambda index: index[0], result=0)
            held = [os.readlink(f"/proc/self/fd/{{fd}}") for fd in os.listdir("/proc/self/fd")
                    if os.path.exists(f"/proc/self/fd/{{fd}}")]
            held = [name for name in held if "memfd" in name]
            board.mark("answer", json.dumps([run(engine, plain(a)), held]))
            board.mark("answered")
            board.wait("end")

        board.wait("begun", 4)
        wait_until(lambda: len(results.values[0]) == 2)
        results.values[0].clear()  # what was computed is the kernel's own, and its child's
        if {how!r} == "fork":
            child = os.fork()
            if child == 0:
                live()
                os._exit(0)
        else:
            process = multiprocessing.get_context("fork").Process(target=live)
            process.start()
            child = process.pid
        board.wait("answered")
        told["child"] = child
        tell()
        time.sleep(600)
        """,
    )
    try:
        answer, held = json.loads(board.text("answer"))
        assert answer == [0, 1, 2, 3, 4]
        assert len(held) <= 1  # what the loop had in hand in that moment
        script.process.kill()
        script.process.wait()
        script.wait_gone()
        assert alive(script.child)
    finally:
        board.mark("end")
        script.process.kill()
        script.process.communicate()
    wait_until(lambda: not alive(script.child))


def test_a_closed_pool_leaves_nothing():
    engine = Pooled()
    engine.scale(2)
    engine.wait_ready()
    before = len(descriptors())
    for _ in range(3):
        pids = [engine.zygote, *engine.workers]
        folder = Path(engine.pool._folder)
        assert folder.stat().st_mode & 0o777 == 0o700
        engine.close()
        assert not any(map(alive, pids))
        assert not folder.exists()
        engine.wait_ready()
    assert len(descriptors()) <= before
    engine.close()


def test_scaled_up_and_down(engine):
    def here(index):
        return os.getpid()

    for n in (3, 1, 2):
        engine.scale(n)
        engine.wait_ready(n)
        assert run(engine, plain(stage(0, 9, lambda index: index[0], result=0))) == list(range(9))
    assert set(run(engine, plain(stage(0, 9, here, result=0)))) <= set(engine.workers)


def has_wave(index):
    return "wave" in sys.modules


@pytest.fixture
def heavy_wave(monkeypatch):
    """The package ``wave`` counts as heavy, and is not imported."""
    monkeypatch.setattr(forkserver, "_HEAVY", ("wave",))
    monkeypatch.delitem(sys.modules, "wave", raising=False)


def test_workers_begin_with_what_the_kernel_has_imported_meanwhile(heavy_wave):
    engine = Pooled()
    engine.scale(2)
    engine.wait_ready()
    first = [engine.zygote, *engine.workers]
    assert run(engine, plain(stage(0, 4, has_wave, result=0))) == [False] * 4
    importlib.import_module("wave")
    assert run(engine, plain(stage(0, 4, lambda index: index[0], result=0))) == [0, 1, 2, 3]
    wait_until(lambda: engine.zygote not in first, "another zygote")
    assert run(engine, plain(stage(0, 4, has_wave, result=0))) == [True] * 4
    wait_until(lambda: not any(map(alive, first)), "the end of the first processes")
    pids = [engine.zygote, *engine.workers]
    run(engine, plain(stage(0, 4, has_wave, result=0)))
    assert [engine.zygote, *engine.workers] == pids  # nothing more to import, nothing to replace
    engine.close()
    assert not any(map(alive, pids))


def test_workers_are_replaced_after_what_they_are_at(heavy_wave, board):
    engine = Pooled()
    engine.scale(2)
    engine.wait_ready()
    first = [engine.zygote, *engine.workers]
    importlib.import_module("wave")

    def task(index):
        board.mark("begun")
        board.wait("go")
        return os.getpid()

    results = Results()
    ticket = engine.run(plain(stage(0, 2, task, result=0)), info=RunInfo(1), deliver=results)
    ticket.begin()
    board.wait("begun", 2)
    wait_until(lambda: engine.zygote != first[0], "another zygote")
    assert all(map(alive, first))
    board.mark("go")
    ticket.wait()
    assert sorted(results.of(0)) == sorted(first[1:])
    wait_until(lambda: not any(map(alive, first)), "the end of the first processes")
    assert board.count("begun") == 2
    assert run(engine, plain(stage(0, 4, has_wave, result=0))) == [True] * 4
    engine.close()


def test_a_run_goes_on_though_all_workers_are_replaced_at_once(heavy_wave, board):
    engine = Pooled()
    engine.scale(2)
    engine.wait_ready()
    first = [engine.zygote, *engine.workers]
    numbers = engine.pool.numbers
    importlib.import_module("wave")

    def task(index):
        board.mark("begun")
        board.wait("go")
        return index[0]

    a = stage(0, 2, task)
    b = stage(1, 1, lambda index, values: sum(values), everything(a), result=0)
    results = Results()
    ticket = engine.run(plain(a, b), info=RunInfo(1), deliver=results)
    ticket.begin()
    board.wait("begun", 2)
    wait_until(lambda: engine.zygote != first[0], "another zygote")

    def go():  # both answers are there before either worker is dismissed
        board.mark("go")
        wait_until(lambda: all(map(engine.pool.waits, numbers)), "both answers")

    on_the_loop(engine.driver, go)
    ticket.wait()
    assert results.of(0) == [1]
    engine.close()


def test_a_zygote_that_fails_at_its_imports_replaces_nothing(heavy_wave, monkeypatch):
    engine = Pooled()
    engine.scale(2)
    engine.wait_ready()
    first = [engine.zygote, *engine.workers]
    importlib.import_module("wave")
    monkeypatch.setattr(forkserver, "_START", "raise SystemExit(3)")
    run(engine, plain(stage(0, 4, lambda index: index[0], result=0)))
    wait_until(lambda: engine.pool._coming is None and not engine.pool._renewable)
    assert run(engine, plain(stage(0, 4, has_wave, result=0))) == [False] * 4
    assert [engine.zygote, *engine.workers] == first
    engine.close()


# Sockets ------------------------------------------------------------------------------------


def test_the_keys_are_nowhere_to_be_read(engine):
    keys = [worker.outbound._key for worker in engine.pool._workers.values()]
    for pid in (os.getpid(), engine.zygote, *engine.workers):
        for name in ("cmdline", "environ"):
            text = Path(f"/proc/{pid}/{name}").read_bytes()
            for key in keys:
                assert key not in text
                assert key.hex().encode() not in text


class Watched:
    """``marshal``, and what it was given."""

    def __init__(self):
        self.read = []

    def loads(self, data):
        self.read.append(bytes(data))
        return marshal.loads(data)

    def dumps(self, value):
        return marshal.dumps(value)


def test_frames_of_others_are_dropped_unread(engine, monkeypatch, board):
    pool = engine.pool
    number, worker = next((n, w) for n, w in pool._workers.items() if w.ready)
    key, way = worker.outbound._key, b"%d>kernel" % number
    payload = marshal.dumps([("done", [("evil",)])])

    def sealed(key, way, number):
        out = Outbound(key, way)
        out._number = number
        return out.seal(payload)

    count = worker.inbound.count
    right = sealed(key, way, count)
    bad = [
        b"",
        payload,
        secrets.token_bytes(10_000),
        right[:-1],
        right + b".",
        right[:60] + bytes([right[60] ^ 1]) + right[61:],
        right[:4] + (1 << 63).to_bytes(8, "little") + right[12:],
        sealed(secrets.token_bytes(32), way, count),
        sealed(key, b"kernel>%d" % number, count),
        sealed(key, b"%d>kernel" % (number + 1), count),
        sealed(key, way, count + 1_000_000),
    ]
    if count:
        bad.append(sealed(key, way, 0))
    watched = Watched()
    monkeypatch.setattr(pools, "marshal", watched)
    before = pool.refused
    context = zmq.Context()
    stranger = context.socket(zmq.DEALER)
    stranger.setsockopt(zmq.IDENTITY, b"stranger")
    stranger.setsockopt(zmq.LINGER, 0)
    stranger.connect(pool._endpoint)
    try:
        ticket_results = Results()

        def kernel(index):
            board.mark("ran")
            board.wait("sent")
            return index[0]

        job = plain(stage(0, 50, kernel, result=0))
        ticket = engine.run(job, info=RunInfo(1), deliver=ticket_results)
        ticket.begin()
        board.wait("ran", 2)
        for frame in bad:
            stranger.send(frame)
            stranger.send_multipart([frame, frame])
        wait_until(lambda: pool.refused >= before + 2 * len(bad), "the frames")
        board.mark("sent")
        ticket.wait()
        assert ticket_results.of(0) == list(range(50))
    finally:
        stranger.close()
        context.term()
    assert pool.refused == before + 2 * len(bad)
    assert worker.ready
    assert not worker.doomed  # what strangers send costs nobody anything
    assert payload not in watched.read
    assert not any(b"evil" in read for read in watched.read)


def test_the_name_of_a_worker_cannot_be_taken(engine):
    pool = engine.pool
    worker = next(w for w in pool._workers.values() if w.ready)
    context = zmq.Context()
    double = context.socket(zmq.DEALER)
    double.setsockopt(zmq.IDENTITY, worker.identity)
    double.setsockopt(zmq.LINGER, 0)
    double.connect(pool._endpoint)
    for _ in range(10):
        double.send(b"garbage")
    for _ in range(20):
        assert run(engine, plain(stage(0, 9, lambda index: index[0], result=0))) == list(range(9))
    assert not double.poll(0)
    double.close()
    context.term()


def test_more_values_than_descriptors_are_usual(board):
    text = """
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 4096))
    from nbscale.store import segments
    segments.LARGE = 1 << 16  # each value has a segment of its own
    from nbscale.engines.local import LocalEngine
    from nbscale.testing.jobs import everything, plain, run, stage

    a = stage(0, 600, lambda index: bytes(1 << 17))
    b = stage(1, 1, lambda index, values: len(values), everything(a), result=0)
    engine = LocalEngine()
    assert run(engine, plain(a, b)) == [600]
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)], check=True, cwd=Path(__file__).parents[3]
    )
