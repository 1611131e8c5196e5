"""Shared memory in segments: the kernel makes and counts them, workers map what they are told of.

::

    segment   [generation u64 … 64 bytes] extent │ extent │ extent │ free
                                                                   └ top

Extents are cut from the top and given back in any order; when the last one is gone the segment
begins anew, with another generation. Who reads an extent compares the generation it was told with
the segment's: a mistake in counting is a named error and never a wrong number. Large extents get a
segment of their own. A segment has no name (memfd): it goes with the last process that holds it.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import weakref
from collections.abc import Callable
from typing import NamedTuple

from nbscale.errors import Stuck

__all__ = ["Extent", "Maps", "Segments", "make_segment"]

_HEAD = 64
_WORD = struct.Struct("<Q")

COMMON = 64 << 20
"""Bytes of a segment that many extents share."""

LARGE = 4 << 20
"""Bytes from which an extent gets a segment of its own."""

_ALIGN = 64

_MOST_LENT = 128
"""Segments beyond which none is lent: one takes a descriptor, and its map another."""


class Extent(NamedTuple):
    """Where bytes lie: a segment, the start in it, how many, and the segment's generation."""

    segment: int
    start: int
    nbytes: int
    generation: int


def make_segment(nbytes: int) -> int:
    """Make memory of so many bytes, header included, and return its descriptor."""
    fd = os.memfd_create("nbscale", os.MFD_CLOEXEC)
    os.ftruncate(fd, nbytes)
    return fd


class _Segment:
    __slots__ = ("common", "fd", "generation", "live", "map", "nbytes", "number", "top")

    def __init__(self, number: int, fd: int, nbytes: int, *, common: bool, generation: int) -> None:
        self.number, self.fd, self.nbytes, self.common = number, fd, nbytes, common
        self.map = mmap.mmap(fd, nbytes)
        self.generation = generation
        self.live = 0
        self.top = _HEAD
        _WORD.pack_into(self.map, 0, generation)

    def begin_anew(self) -> None:
        self.generation += 1
        self.top = _HEAD
        _WORD.pack_into(self.map, 0, self.generation)


class Segments:
    """The kernel's side: makes segments, cuts extents, knows when they are free.

    Parameters
    ----------
    spare
        Bytes of large segments that are kept for the next use.
    retired
        Called with the number of each segment that is closed for good.

    Examples
    --------
    >>> segments = Segments(spare=0)
    >>> extent = segments.grant(5)
    >>> segments.view(extent)[:] = b"hello"
    >>> bytes(segments.view(extent)), segments.nbytes
    (b'hello', 5)
    >>> segments.free(extent)
    >>> segments.close()
    """

    def __init__(self, spare: int, retired: Callable[[int], None] | None = None) -> None:
        self._segments: dict[int, _Segment] = {}
        self._current: dict[bool, _Segment] = {}
        self._idle: list[_Segment] = []
        self._spares: list[_Segment] = []
        self._spare = spare
        self._retired = retired
        self._numbers = 0
        self.nbytes = 0
        _all.add(self)

    def __len__(self) -> int:
        """How many segments hold something."""
        return sum(segment.live > 0 for segment in self._segments.values())

    def grant(self, nbytes: int, *, lasting: bool = False) -> Extent:
        """Give so many bytes away; they stay until ``free``.

        Parameters
        ----------
        nbytes
            Of them.
        lasting
            They will stay for longer than their neighbours: they are put among their like.
        """
        room = -(-nbytes // _ALIGN) * _ALIGN
        segment = self._large(room) if room >= LARGE else self._common(room, lasting)
        start = segment.top
        segment.top += room
        segment.live += 1
        self.nbytes += nbytes
        return Extent(segment.number, start, nbytes, segment.generation)

    def adopt(self, number: int, fd: int, nbytes: int, *, lasting: bool = False) -> Extent:
        """Take over a segment made elsewhere, with one extent in it; nbytes without the header.

        What is small is copied to its like: descriptors are scarce.
        """
        if nbytes < LARGE:
            extent = self.grant(nbytes, lasting=lasting)
            view = self.view(extent)
            try:
                done = 0
                while done < nbytes:
                    got = os.preadv(fd, [view[done:]], _HEAD + done)
                    if not got:
                        raise Stuck(f"a segment made elsewhere is shorter than {nbytes} bytes")
                    done += got
            finally:
                os.close(fd)
            return extent
        segment = _Segment(number, fd, nbytes + _HEAD, common=False, generation=1)
        segment.top += nbytes
        segment.live = 1
        self._segments[number] = segment
        self.nbytes += nbytes
        return Extent(number, _HEAD, nbytes, 1)

    def shrink(self, extent: Extent, nbytes: int) -> Extent:
        """Give back what of an extent was not used."""
        segment = self._of(extent)
        room = -(-extent.nbytes // _ALIGN) * _ALIGN
        if segment.top == extent.start + room:
            segment.top = extent.start + -(-nbytes // _ALIGN) * _ALIGN
        self.nbytes -= extent.nbytes - nbytes
        return extent._replace(nbytes=nbytes)

    def hold(self, extent: Extent) -> None:
        """Keep an extent for one reason more: ``release`` takes it back."""
        self._of(extent).live += 1

    def release(self, extent: Extent) -> None:
        """Undo one ``hold``."""
        segment = self._of(extent)
        segment.live -= 1
        if not segment.live:
            self._emptied(segment)

    def free(self, extent: Extent) -> None:
        """Give an extent back."""
        self.nbytes -= extent.nbytes
        self.release(extent)

    def view(self, extent: Extent) -> memoryview:
        """The bytes of an extent, shared with everybody; gone when the segment is."""
        whole = memoryview(self._of(extent).map)
        return whole[extent.start : extent.start + extent.nbytes]

    def lend(self, extent: Extent, returned: Callable[[Extent], object]) -> memoryview:
        """The bytes of an extent, for the caller to change: nobody else sees it.

        They are a copy where that costs little, or where descriptors get scarce: as long as a map
        lives its segment must.

        Parameters
        ----------
        extent
            Of them.
        returned
            Called with the extent, from any thread, when nobody has the bytes any more, if they are
            no copy; must have ``take_back`` called.
        """
        segment = self._of(extent)
        if extent.nbytes < LARGE or len(self._segments) > _MOST_LENT:
            return memoryview(bytearray(self.view(extent)))
        made, view = _private(segment.fd, extent)
        segment.live += 1
        weakref.finalize(made, returned, extent).atexit = False
        return view

    def take_back(self, extent: Extent) -> None:
        """Nobody has what was lent any more; there may be no segments either."""
        if extent.segment in self._segments:
            self.release(extent)

    def fd(self, number: int) -> int:
        """The descriptor of a segment."""
        return self._segments[number].fd

    def close(self) -> None:
        """Give all memory back; views that still live keep their bytes."""
        for segment in list(self._segments.values()):
            self._close(segment)
        self._current.clear()
        self._idle.clear()
        self._spares.clear()
        self.nbytes = 0

    def _of(self, extent: Extent) -> _Segment:
        segment = self._segments.get(extent.segment)
        if segment is None or segment.generation != extent.generation:
            raise Stuck(f"shared memory was given back while it was in use: {extent}")
        return segment

    def _new(self, nbytes: int, *, common: bool) -> _Segment:
        self._numbers += 1
        size = nbytes + _HEAD
        segment = _Segment(self._numbers, make_segment(size), size, common=common, generation=1)
        self._segments[segment.number] = segment
        return segment

    def _common(self, room: int, lasting: bool) -> _Segment:
        segment = self._current.get(lasting)
        if segment is None or segment.top + room > segment.nbytes:
            segment = self._idle.pop() if self._idle else self._new(COMMON, common=True)
            self._current[lasting] = segment
        return segment

    def _large(self, room: int) -> _Segment:
        fitting = [s for s in self._spares if room <= s.nbytes - _HEAD <= 2 * room]
        if fitting:
            best = min(fitting, key=lambda segment: segment.nbytes)
            self._spares.remove(best)
            return best
        step = max(LARGE, (1 << room.bit_length()) >> 4)
        return self._new(-(-room // step) * step, common=False)

    def _emptied(self, segment: _Segment) -> None:
        segment.begin_anew()
        if segment.common:
            if segment not in self._current.values():
                self._idle.append(segment)
            return
        self._spares.append(segment)
        while sum(s.nbytes for s in self._spares) > self._spare:
            self._close(self._spares.pop(0))

    def _close(self, segment: _Segment) -> None:
        del self._segments[segment.number]
        os.close(segment.fd)
        if self._retired is not None:
            self._retired(segment.number)


class Maps:
    """A worker's side: maps segments it got the descriptors of.

    Parameters
    ----------
    fetch
        Returns the descriptor of a segment that is not known yet.
    """

    def __init__(self, fetch: Callable[[int], int]) -> None:
        self._fetch = fetch
        self._known: dict[int, tuple[int, memoryview, memoryview]] = {}

    def read(self, extent: Extent) -> memoryview:
        """The bytes of an extent, not to be changed."""
        return self._checked(extent)[1][extent.start : extent.start + extent.nbytes]

    def write(self, extent: Extent) -> memoryview:
        """The bytes of an extent that was granted."""
        return self._checked(extent)[2][extent.start : extent.start + extent.nbytes]

    def private(self, extent: Extent) -> tuple[mmap.mmap, memoryview]:
        """The bytes of an extent, for the caller to change: nobody else sees it."""
        return _private(self._checked(extent)[0], extent)

    def check(self, extent: Extent) -> None:
        """Raise if an extent is not what it was.

        Raises
        ------
        Stuck
            It was given back while it was in use.
        """
        self._checked(extent)

    def forget(self, number: int) -> None:
        """Close a segment."""
        known = self._known.pop(number, None)
        if known is not None:
            os.close(known[0])

    def _checked(self, extent: Extent) -> tuple[int, memoryview, memoryview]:
        known = self._known.get(extent.segment)
        if known is None:
            known = self._made(extent.segment)
        (generation,) = _WORD.unpack_from(known[1])
        if generation != extent.generation:
            raise Stuck(f"shared memory was given back while it was in use: {extent}")
        return known

    def _made(self, number: int) -> tuple[int, memoryview, memoryview]:
        fd = self._fetch(number)
        whole = memoryview(mmap.mmap(fd, 0))
        known = self._known[number] = (fd, whole.toreadonly(), whole)
        return known


_all: weakref.WeakSet[Segments] = weakref.WeakSet()


def _forget() -> None:
    """In a forked child: it must not keep the memory of its parent's pool for as long as it lives."""
    for segments in _all:
        for segment in list(segments._segments.values()):  # noqa: SLF001 - of this module
            os.close(segment.fd)
            with contextlib.suppress(BufferError):  # somebody was just looking at it
                segment.map.close()


os.register_at_fork(after_in_child=_forget)


def _private(fd: int, extent: Extent) -> tuple[mmap.mmap, memoryview]:
    page = extent.start // mmap.PAGESIZE * mmap.PAGESIZE
    skip = extent.start - page
    made = mmap.mmap(fd, skip + extent.nbytes, mmap.MAP_PRIVATE, offset=page)
    return made, memoryview(made)[skip : skip + extent.nbytes]
