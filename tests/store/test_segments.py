"""Shared memory: what is granted never overlaps, comes back, and says when it is misused."""

from __future__ import annotations

import gc
import os
import random
import weakref

import pytest

from nbscale.errors import Stuck
from nbscale.store.segments import COMMON, LARGE, Maps, Segments, make_segment


@pytest.fixture
def segments():
    made = Segments(spare=0)
    yield made
    made.close()


@pytest.fixture
def maps(segments):
    """A worker's side of them, with descriptors of its own."""
    numbers = set()

    def fetch(number):
        numbers.add(number)
        return os.dup(segments.fd(number))

    made = Maps(fetch)
    yield made
    for number in numbers:
        made.forget(number)


def test_what_is_written_there_is_read_here(segments, maps):
    for nbytes in (1, 1000, LARGE + 1):
        extent = segments.grant(nbytes)
        maps.write(extent)[:] = os.urandom(nbytes)
        assert bytes(segments.view(extent)) == bytes(maps.read(extent))


def test_a_reader_cannot_write(segments, maps):
    with pytest.raises(TypeError):
        maps.read(segments.grant(10))[0] = 1


def test_a_private_map_is_seen_by_nobody_else(segments, maps):
    extent = segments.grant(100_000)
    segments.view(extent)[:] = b"a" * 100_000
    held, view = maps.private(extent)
    view[:] = b"b" * 100_000
    assert bytes(segments.view(extent)) == b"a" * 100_000
    gone = weakref.ref(held)
    del held, view
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("nbytes", [1000, LARGE])
def test_what_is_lent_is_the_borrowers_own(segments, nbytes):
    extent = segments.grant(nbytes)
    segments.view(extent)[:] = b"a" * nbytes
    returned = []
    view = segments.lend(extent, returned.append)
    view[:1] = b"b"
    assert bytes(segments.view(extent)) == b"a" * nbytes
    segments.free(extent)
    part = view[-1:]
    del view
    gc.collect()
    assert not returned
    assert bytes(part) == b"a"
    del part
    gc.collect()
    assert returned == ([extent] if nbytes == LARGE else [])
    for one in returned:
        segments.take_back(one)
    assert len(segments) == 0


def test_what_is_lent_outlives_the_segments(segments):
    extent = segments.grant(LARGE)
    returned = []
    view = segments.lend(extent, returned.append)
    segments.close()
    assert not any(view[:100])
    del view
    gc.collect()
    segments.take_back(*returned)


def test_few_are_lent(segments, monkeypatch):
    monkeypatch.setattr("nbscale.store.segments._MOST_LENT", 3)
    returned = []
    views = [segments.lend(segments.grant(LARGE), returned.append) for _ in range(9)]
    del views
    gc.collect()
    assert len(returned) == 3


def test_an_old_extent_is_a_named_error(segments, maps):
    old = segments.grant(100)
    maps.read(old)
    segments.free(old)
    new = segments.grant(100)
    assert (new.segment, new.start) == (old.segment, old.start)
    for look in (segments.view, segments.hold, segments.free, maps.read, maps.check):
        with pytest.raises(Stuck):
            look(old)
    maps.check(new)


def test_what_is_held_is_not_used_again(segments):
    extent = segments.grant(100)
    segments.hold(extent)
    segments.free(extent)
    assert segments.view(extent) is not None
    segments.release(extent)
    with pytest.raises(Stuck):
        segments.view(extent)


def test_what_was_not_used_comes_back(segments):
    extent = segments.shrink(segments.grant(1 << 20), 10)
    assert segments.nbytes == 10
    assert segments.grant(10).start < extent.start + 1000


def test_a_segment_made_elsewhere(segments):
    fd = make_segment(64 + 5)
    os.pwrite(fd, b"hello", 64)
    extent = segments.adopt(1 << 40, fd, 5)
    assert bytes(segments.view(extent)) == b"hello"
    segments.free(extent)
    assert len(segments) == 0


def pages(segments):
    """Bytes of pages there really are."""
    return sum(512 * os.fstat(s.fd).st_blocks for s in segments._segments.values())


@pytest.mark.parametrize("nbytes", [1 << 20, 2 * LARGE])
def test_what_is_gone_is_given_back_to_the_system(nbytes):
    segments = Segments(spare=1 << 20)
    extents = [segments.grant(nbytes) for _ in range(20)]
    for extent in extents:
        segments.view(extent)[:] = b"a" * nbytes
    assert pages(segments) >= 20 * nbytes
    for at, extent in enumerate(extents):
        if at % 3:
            segments.free(extent)
    left = extents[::3]
    assert pages(segments) <= len(left) * nbytes + COMMON // 8 + (1 << 20)
    assert segments.filled >= pages(segments) - 4096 * len(segments._segments)
    segments.trim(0)
    assert pages(segments) <= len(left) * (nbytes + 2 * 4096) + 4096 * len(segments._segments)
    assert all(bytes(segments.view(extent)) == b"a" * nbytes for extent in left)
    for extent in left:
        segments.free(extent)
    segments.trim(0)
    assert pages(segments) <= 4096 * len(segments._segments)
    assert segments.filled == 0
    segments.close()


def test_what_is_held_keeps_its_pages():
    segments = Segments(spare=0)
    held, other = segments.grant(1 << 20), segments.grant(1 << 20)
    segments.view(held)[:] = b"a" * (1 << 20)
    segments.hold(held)
    segments.hold(held)
    segments.free(held)
    segments.release(held)
    segments.trim(0)
    assert bytes(segments.view(held)) == b"a" * (1 << 20)
    segments.release(held)
    segments.trim(0)
    assert pages(segments) <= 2 * 4096
    segments.free(other)
    segments.close()


def mark(segments, extent, byte):
    view = segments.view(extent)
    if len(view):
        view[0] = view[-1] = byte


def test_no_two_overlap_and_all_comes_back():
    chance = random.Random(0)
    closed = []
    segments = Segments(spare=3 * LARGE, retired=closed.append)
    live = []
    for _ in range(3000):
        if live and chance.random() < 0.5:
            extent, byte = live.pop(chance.randrange(len(live)))
            view = segments.view(extent)
            assert not len(view) or (view[0], view[-1]) == (byte, byte)
            segments.free(extent)
        else:
            nbytes = chance.choice([0, 1, 63, 64, 65, 5000, 1 << 20, LARGE, 2 * LARGE])
            extent = segments.grant(nbytes, lasting=chance.random() < 0.2)
            if chance.random() < 0.5:
                extent = segments.shrink(extent, min(nbytes, 64))
            byte = chance.randrange(256)
            mark(segments, extent, byte)
            live.append((extent, byte))
        assert segments.nbytes == sum(extent.nbytes for extent, _ in live)
    for extent, _ in live:
        segments.free(extent)
    assert (segments.nbytes, len(segments)) == (0, 0)
    assert closed
    assert sum(s.nbytes for s in segments._segments.values()) < 60 * COMMON
    segments.close()
    assert not segments._segments
