"""Lines: messages in order, data beside them, and the end of the other side."""

from __future__ import annotations

import socket

import numpy as np
import pytest

from nbscale.comm.line import Bulk, Line
from nbscale.store.codec import decode, encode


@pytest.fixture
def lines():
    one, other = (Line(end) for end in socket.socketpair())
    yield one, other
    for line in (one, other):
        line.end()
        line.close()


def test_messages_come_in_order(lines):
    one, other = lines
    for n in range(100):
        one.post(("n", n, "x" * n * 100))
    assert [other.receive()[0][1] for _ in range(100)] == list(range(100))


@pytest.mark.parametrize("size", [0, 10, 1_000_000])
def test_data_lies_beside_a_message_as_it_was_and_may_be_written_to(lines, size):
    one, other = lines
    array = np.arange(size)
    bulk = Bulk(encode(array))
    array += 1
    one.post("array", bulk)
    one.post("next")
    message, data = other.receive()
    found = decode(data)
    assert message == "array"
    assert np.array_equal(found, np.arange(size))
    found += 1
    assert other.receive()[0] == "next"
    one.end()
    assert bulk.fd == -1  # given back


def test_what_is_large_does_not_travel(lines):
    assert Bulk(encode(np.zeros(1_000_000))).data == b""


def test_the_end_of_the_other_side(lines):
    one, other = lines
    one.post("last")
    one.end()
    one.close()
    assert other.receive()[0] == "last"
    assert other.receive() is None
    other.post("to nobody")
    other.end()
