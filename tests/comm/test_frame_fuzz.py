"""Frames that somebody has tampered with: none is let through, and nothing in one is looked at.

What is sent carries a pickle that leaves a mark when it is loaded, so that a frame whose payload is
read before it was found to be as it was sent cannot go unseen. With ``NBSCALE_LONG`` set a hundred
times as many are tried.
"""

from __future__ import annotations

import marshal
import os
import pickle
import struct
import tracemalloc
from collections import deque
from unittest import mock

import pytest
import zmq
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from nbscale.comm import frame as frames
from nbscale.comm.frame import Inbound, Outbound
from nbscale.engines.local import pool, worker
from nbscale.errors import BadFrame

KEY, OTHER = bytes(range(32)), bytes(32)
WAY, BACK = worker.ways(1)
HEAD = struct.Struct("<4sQQ")
START = HEAD.size + 32
TRIES = 700 * (100 if "NBSCALE_LONG" in os.environ else 1)  # of three frames and a half each

fuzzed = settings(
    max_examples=TRIES, suppress_health_check=[HealthCheck.too_slow], print_blob=True, derandomize=True
)  # fmt: skip

built = []
"""What canaries were made of."""


def build(what):
    built.append(what)
    return what


class Canary:
    """Makes a mark when it is unpickled."""

    def __init__(self, what):
        self.what = what

    def __reduce__(self):
        return build, (self.what,)


class Told:
    """What a message says, as ``marshal`` gives it; one that is a stage has a canary in it."""

    def __init__(self, number):
        blob = pickle.dumps(Canary(number))
        # As the codec lays it out: no buffers, then the pickle.
        self.payload = marshal.dumps(
            [("stage", number, struct.pack("<2Q", 0, len(blob)) + blob, (), "", False, 0)]
        )


LENGTHS = st.sampled_from([0, 1, 1 << 31, 1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])


@st.composite
def tampered(draw):
    """Three frames of a way, and what becomes of them on it: (frame, which it still is or None)."""
    out = Outbound(KEY, WAY)
    sent = [out.seal(Told(n).payload) for n in range(3)]
    arriving = []
    for _ in range(draw(st.integers(1, 6))):
        which = draw(st.integers(0, 2))
        frame = bytearray(sent[which])
        how = draw(st.sampled_from(sorted(_TAMPER)))
        event(how)
        _TAMPER[how](draw, frame, sent)
        same = [n for n, one in enumerate(sent) if bytes(frame) == one]
        arriving.append((bytes(frame), same[0] if same else None))
    return arriving


def _flip(draw, frame, sent):
    for _ in range(draw(st.integers(1, 3))):
        frame[draw(st.integers(0, len(frame) - 1))] ^= 1 << draw(st.integers(0, 7))


def _cut(draw, frame, sent):
    del frame[draw(st.integers(0, len(frame) - 1)) :]


def _longer(draw, frame, sent):
    frame += draw(st.binary(min_size=1, max_size=64))


def _length(draw, frame, sent):
    struct.pack_into("<Q", frame, 4, draw(LENGTHS))


def _number(draw, frame, sent):
    struct.pack_into("<Q", frame, 12, draw(LENGTHS | st.integers(0, 3)))


def _payload_of_another(draw, frame, sent):
    frame[START:] = sent[draw(st.integers(0, 2))][START:]


def _head_of_another(draw, frame, sent):
    frame[:START] = sent[draw(st.integers(0, 2))][:START]


def _signed_by_another(draw, frame, sent):
    frame[:] = Outbound(OTHER, WAY).seal(bytes(frame[START:]))


def _for_another(draw, frame, sent):
    way = draw(st.sampled_from([b"kernel>2", BACK, b"", WAY + b"\0"]))
    frame[:] = Outbound(KEY, way).seal(bytes(frame[START:]))


def _zeroed_signature(draw, frame, sent):
    frame[HEAD.size : START] = bytes(32)


def _other_content(draw, frame, sent):
    payload = Told(draw(st.integers(7, 9))).payload
    frame[:] = (
        HEAD.pack(b"nbf1", len(payload), draw(st.integers(0, 3)))
        + frame[HEAD.size : START]
        + payload
    )


def _garbage(draw, frame, sent):
    frame[:] = draw(st.binary(max_size=200))


_TAMPER = {
    "as it was": lambda draw, frame, sent: None,  # again, or out of turn
    **{
        one.__name__.strip("_"): one
        for one in (
            _flip, _cut, _longer, _length, _number, _payload_of_another, _head_of_another,
            _signed_by_another, _for_another, _zeroed_signature, _other_content, _garbage,
        )
    },
}  # fmt: skip


def accepted(arriving):
    """Which of the frames must be let through: those as they were, each once, in their turn."""
    expected = 0
    for _, which in arriving:
        if which == expected:
            yield which
            expected += 1


@fuzzed
@given(tampered())
def test_what_comes_out_was_sent_and_comes_out_once(arriving):
    into, found = Inbound(KEY, WAY), []
    for frame, _ in arriving:
        try:
            found.append(bytes(into.open(frame)))
        except BadFrame:
            continue
    assert found == [Told(n).payload for n in accepted(arriving)]
    assert into.count == len(found)


class Ended(Exception):
    """In the place of a worker's end: it trusts nothing after a frame that does not fit."""


def until_one_does_not_fit(arriving):
    """Frames as far as a worker reads them; one that it had before is no reason to end."""
    expected = 0
    for at, (_, which) in enumerate(arriving):
        if which is None or which > expected:
            return arriving[:at], True
        expected += which == expected
    return arriving, False


@fuzzed
@given(tampered())
def test_a_worker_reads_nothing_of_what_was_tampered_with(arriving):
    one = object.__new__(worker._Worker)
    one._in, one._tasks, one._stages = Inbound(KEY, WAY), deque(), {}
    built.clear()
    readable, ends = until_one_does_not_fit(arriving)
    ended = False
    with mock.patch.object(os, "_exit", side_effect=Ended):
        try:
            for frame, _ in arriving:
                one._take(frame)
        except Ended:
            ended = True
    assert ended == ends
    assert not built  # a stage is read by its first task
    assert list(one._stages) == list(accepted(readable))
    for stage in one._stages.values():
        one._read(stage)
    assert built == list(accepted(readable))


class Wire:
    """A socket on which frames arrive."""

    def __init__(self, arriving):
        self.left = deque(arriving)

    def recv_multipart(self, flags):
        if not self.left:
            raise zmq.Again
        return [b"one", self.left.popleft()]


class Side:
    """A worker as the kernel knows it."""

    def __init__(self):
        self.inbound = Inbound(KEY, WAY)
        self.doomed = False


@fuzzed
@given(tampered())
def test_the_kernel_reads_nothing_of_what_was_tampered_with(arriving):
    one = object.__new__(pool.Pool)
    heard = []
    one._socket, one._names, one._workers = Wire(f for f, _ in arriving), {b"one": 1}, {1: Side()}
    one._heard = lambda number, messages: heard.append(messages[0][1])
    one.refused, distrusted = 0, []
    one._distrusted = distrusted.append
    built.clear()
    while one._socket.left:
        one._hear_workers()
    assert heard == list(accepted(arriving))
    assert one.refused == len(arriving) - len(heard)
    assert bool(distrusted) == until_one_does_not_fit(arriving)[1]
    assert not built


@pytest.mark.parametrize("length", [1 << 31, 1 << 62, 1 << 63, (1 << 64) - 1])
def test_a_length_makes_no_room(length):
    payload = b"x" * 100
    head = HEAD.pack(b"nbf1", length, 0)
    forged = [head + bytes(32) + payload, head + frames._sign(KEY, WAY, head, payload) + payload]
    tracemalloc.start()
    try:
        for frame in forged:  # the second has the key
            with pytest.raises(BadFrame, match="longer than it says"):
                Inbound(KEY, WAY).open(frame)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_the_canary_is_one():
    built.clear()
    pickle.loads(pickle.dumps(Canary("here")))
    assert built == ["here"]
