"""F25: what is pickled or read raises, exits, crashes, is interrupted or hangs, wherever that happens."""

from __future__ import annotations

import _thread
import concurrent.futures
import ctypes
import gc
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import nbscale as ns
from nbscale.errors import WorkerLost
from tests.faults.holds import fails

pytestmark = pytest.mark.timeout(60)

HOW = ("raise", "exit", "_exit", "segfault", "interrupt", "hang")


def act(how, board):
    board.mark("acted")
    if how == "raise":
        raise ValueError("it acts")
    if how == "exit":
        raise SystemExit(3)
    if how == "_exit":
        os._exit(3)
    if how == "segfault":
        ctypes.string_at(0)
    if how == "interrupt":
        raise KeyboardInterrupt
    board.wait("never")


class Acts:
    """Does something when it is pickled, or when it is read, in the kernel or in a worker."""

    def __init__(self, at, how, board, kernel, *, there):
        self._told = (at, how, board, kernel, there)

    def __reduce__(self):
        if self._told[0] == "pickle":
            perhaps(*self._told[1:])
        return again, self._told


def perhaps(how, board, kernel, there):
    if (os.getpid() != kernel) is there:
        act(how, board)


def again(at, how, board, kernel, there):
    if at == "unpickle":
        perhaps(how, board, kernel, there)
    return Acts(at, how, board, kernel, there=there)


class ActsAsError(Exception):
    def __init__(self, *told):
        super().__init__("it fails")
        self._told = told

    def __reduce__(self):
        if self._told[0] == "pickle":
            perhaps(*self._told[1:])
        return error_again, self._told


def error_again(at, *told):
    if at == "unpickle":
        perhaps(*told)
    return ActsAsError(at, *told)


def take(value):
    return 1


def give(*told, there):
    return Acts(*told, there=there)


def fail(*told):
    raise ActsAsError(*told)


def hangs_until_it_is_given_up(future, board):
    board.wait("acted")
    assert future.cancel()
    fails(concurrent.futures.CancelledError, future.result)


def in_the_worker(future, how, board, named):
    """What becomes of a call if it happens in the worker."""
    if how == "hang":
        hangs_until_it_is_given_up(future, board)
    elif how in ("_exit", "segfault"):
        cause = "exit code 3" if how == "_exit" else "SIGSEGV"
        fails(WorkerLost, lambda: future.result(30), cause)
    else:
        fails(named[how], lambda: future.result(30))
    assert ns.submit(abs, -1).result(30) == 1


OWN = {"raise": ValueError, "exit": SystemExit, "interrupt": KeyboardInterrupt}


@pytest.mark.parametrize("how", HOW)
def test_f25_an_argument_is_read(engine, board, how):
    argument = Acts("unpickle", how, board, os.getpid(), there=True)
    in_the_worker(ns.submit(take, argument), how, board, OWN)


@pytest.mark.parametrize("how", HOW)
def test_f25_a_result_is_pickled(engine, board, how):
    future = ns.submit(give, "pickle", how, board, os.getpid(), there=True)
    in_the_worker(future, how, board, OWN)


@pytest.mark.parametrize("at", ["pickle", "unpickle"])
@pytest.mark.parametrize("how", HOW)
def test_f25_an_exception_is_pickled_or_tried_to_read(engine, board, at, how):
    future = ns.submit(fail, at, how, board, os.getpid(), True)
    # It is made of its parts then, without what acts.
    in_the_worker(future, how, board, dict.fromkeys(OWN, ActsAsError))


def interrupted(call, board):
    """Make a call that hangs, and interrupt it as a user does."""

    def interrupt():
        board.wait("acted")
        _thread.interrupt_main()

    other = threading.Thread(target=interrupt)
    other.start()
    try:
        fails(KeyboardInterrupt, call)
    finally:
        other.join()


@pytest.mark.parametrize("how", ["raise", "exit", "interrupt", "hang"])
def test_f25_an_argument_is_pickled(engine, board, how):
    argument = Acts("pickle", how, board, os.getpid(), there=False)
    if how == "hang":
        interrupted(lambda: ns.submit(take, argument), board)
    else:
        kind = TypeError if how == "raise" else OWN[how]
        with pytest.raises(kind):
            ns.submit(take, argument)
    assert ns.submit(abs, -1).result(30) == 1


@pytest.mark.parametrize("how", ["raise", "exit", "interrupt", "hang"])
def test_f25_a_result_is_read(engine, board, how):
    others = ns.map(abs, range(-9, 0))
    future = ns.submit(give, "unpickle", how, board, os.getpid(), there=False)
    if how == "hang":
        interrupted(future.result, board)
    else:
        with pytest.raises(OWN[how]):
            future.result(30)
    assert ns.gather(others) == list(range(9, 0, -1))
    assert ns.submit(abs, -1).result(30) == 1


SCRIPT = """
import os, sys
from pathlib import Path
import nbscale as ns
from nbscale import session
from nbscale.testing.board import Board
from tests.engines.local.pooled import Pooled
from tests.faults.test_f25_pickling import Acts, give, take

board = Board(Path(sys.argv[1]))
engine = Pooled()
engine.scale(2)
session.current()._engines["local"] = (engine, (None, None))
engine.wait_ready()
board.mark("pids", " ".join(map(str, [engine.zygote, *engine.workers])))
"""

CASES = {
    "an argument is pickled": "ns.submit(take, Acts('pickle', {!r}, board, os.getpid(), there=False))",
    "a result is read": (
        "ns.submit(give, 'unpickle', {!r}, board, os.getpid(), there=False).result(30)"
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("how", ["_exit", "segfault"])
def test_f25_a_kernel_that_ends_its_own_life_so_leaves_nothing(board, case, how):
    text = textwrap.dedent(SCRIPT) + CASES[case].format(how)
    done = subprocess.run(
        [sys.executable, "-c", text, str(board._folder)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
    )
    assert done.returncode == (3 if how == "_exit" else -11), done.stderr.decode()
    assert len(board.text("pids").split()) == 3  # that they are gone is looked at after each test


class CrashesAtItsEnd:
    def __init__(self):
        self.itself = self

    def __del__(self):
        os._exit(9)


def leave_garbage(number):
    if number == 5:
        CrashesAtItsEnd()
    return number


def collect(number):
    gc.collect()
    return number


@pytest.mark.parametrize("second", [collect, abs])
def test_f25_a_crash_when_garbage_is_collected(engine, second):
    # Whoever is at work then is run again: the garbage is gone with its worker.
    assert ns.gather(ns.map(leave_garbage, range(20))) == list(range(20))
    assert ns.gather(ns.map(second, range(20))) == list(range(20))
