"""F23: one call of many is given up, with what depends on it, asked again, and in a storm."""

from __future__ import annotations

import concurrent.futures

import pytest

import nbscale as ns
from nbscale.testing.board import wait_until
from tests.faults.holds import fails, is_usable

pytestmark = pytest.mark.timeout(100)


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
