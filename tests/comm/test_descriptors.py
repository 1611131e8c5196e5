"""Descriptors arrive with their message, are not inherited, and are not waited for unasked."""

from __future__ import annotations

import os
import socket

import pytest

from nbscale.comm import descriptors


@pytest.fixture
def pair():
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    yield ends
    for end in ends:
        end.close()


def test_they_arrive_with_their_message(pair):
    read, write = os.pipe()
    descriptors.send(pair[0], b"both", [read, write])
    descriptors.send(pair[0], b"none", [])
    data, fds = descriptors.receive(pair[1], 100, 2)
    os.write(fds[1], b"hello")
    assert (data, os.read(fds[0], 5)) == (b"both", b"hello")
    assert not any(os.get_inheritable(fd) for fd in fds)
    assert descriptors.receive(pair[1], 100, 2) == (b"none", [])
    for fd in (read, write, *fds):
        os.close(fd)


def test_what_is_not_there_is_not_waited_for(pair):
    with pytest.raises(BlockingIOError):
        descriptors.receive(pair[1], 100, 1, wait=False)
    pair[0].close()
    assert descriptors.receive(pair[1], 100, 1, wait=False) == (b"", [])


def test_nobody_waits_for_room(pair):
    def fill():
        for _ in range(10_000):
            descriptors.send(pair[0], b"x" * 1000, [0], socket.MSG_DONTWAIT)

    with pytest.raises(OSError, match=r"unavailable|references"):
        fill()


def test_what_was_sent_by_one_that_is_gone_is_there(pair):
    descriptors.send(pair[0], b"never read", [])
    descriptors.send(pair[1], b"sent", [0])
    pair[1].close()
    data, fds = descriptors.receive(pair[0], 100, 1)
    os.close(fds[0])
    assert data == b"sent"
    assert descriptors.receive(pair[0], 100, 1) == (b"", [])
