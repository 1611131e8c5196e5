"""What a frame protects from."""

from __future__ import annotations

import os
import tracemalloc

import pytest

from nbscale.comm.frame import Inbound, Outbound
from nbscale.errors import BadFrame, OldFrame

KEY = os.urandom(32)


def ends(way=b"kernel>1", key=KEY):
    return Outbound(key, way), Inbound(KEY, b"kernel>1")


def test_frames_come_out_as_they_went_in():
    out, into = ends()
    for payload in (b"", b"x", os.urandom(1000), os.urandom(200_000)):
        assert bytes(into.open(out.seal(payload))) == payload


def test_every_changed_byte_is_found():
    out, into = ends()
    frame = out.seal(b"payload")
    for at in range(len(frame)):
        changed = bytearray(frame)
        changed[at] ^= 1
        with pytest.raises(BadFrame):
            into.open(bytes(changed))
    assert bytes(into.open(frame)) == b"payload"


@pytest.mark.parametrize("size", [(1 << 16) - 1, 1 << 16, 200_000])
def test_every_part_of_a_large_frame_is_signed(size):
    out, into = ends()
    frame = out.seal(bytes(size))
    for at in (0, 4, 12, 19, 20, 51, 52, 53, len(frame) // 2, len(frame) - 1):
        changed = bytearray(frame)
        changed[at] ^= 1
        with pytest.raises(BadFrame):
            into.open(bytes(changed))
    assert bytes(into.open(frame)) == bytes(size)
    with pytest.raises(BadFrame, match="signature"):
        ends()[1].open(ends(b"kernel>2")[0].seal(bytes(size)))


def test_the_number_is_signed_however_large_the_frame():
    for size in (10, 1 << 17):
        out, into = ends()
        frame = bytearray(out.seal(bytes(size)))
        into.open(bytes(frame))
        frame[12] = 1  # the next, if only it were not signed
        with pytest.raises(BadFrame, match="signature"):
            into.open(bytes(frame))


def test_both_ends_count():
    out, into = ends()
    assert (out.count, into.count) == (0, 0)
    for n in (1, 2):
        into.open(out.seal(b"x"))
        assert (out.count, into.count) == (n, n)
    with pytest.raises(BadFrame):
        into.open(b"")
    assert into.count == 2


def test_what_is_large_is_not_copied_to_be_checked():
    out, into = ends()
    frame = out.seal(bytes(8 << 20))
    tracemalloc.start()
    try:
        assert into.open(frame).nbytes == 8 << 20
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("length", [0, 10, 51, 52, 58])
def test_a_cut_frame(length):
    out, into = ends()
    with pytest.raises(BadFrame):
        into.open(out.seal(b"payload")[:length])


def test_what_is_wrong_is_said_before_anything_is_signed():
    out, into = ends()
    frame = out.seal(b"payload")
    for wrong, text in (
        (frame[:51], "shorter than a header"),
        (b"nbf2" + frame[4:], "no frame of nbscale"),
        (frame + b"x", "longer than it says"),
        (frame[:-1] + b"x", "signature"),
    ):
        with pytest.raises(BadFrame, match=text):
            into.open(wrong)


def test_sent_again_or_out_of_turn():
    out, into = ends()
    first, second = out.seal(b"1"), out.seal(b"2")
    with pytest.raises(BadFrame, match="number 1"):
        into.open(second)
    into.open(first)
    with pytest.raises(OldFrame, match="number 0"):
        into.open(first)
    assert bytes(into.open(second)) == b"2"


def test_for_another_or_by_another():
    for other, _ in (ends(b"kernel>2"), ends(b"1>kernel"), ends(key=b"guessed")):
        with pytest.raises(BadFrame, match="signature"):
            ends()[1].open(other.seal(b"payload"))
