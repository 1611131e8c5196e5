"""Shared memory in segments: the kernel makes and counts them, workers map what they are told of.

::

    segment   [generation u64 … 64 bytes] extent │ extent │ extent │ free
                                                                   └ top

Extents are cut from the top and given back in any order; when the last one is gone the segment
begins anew, with another generation. Who reads an extent compares the generation it was told with
the segment's: a mistake in counting is a named error and never a wrong number. Large extents get a
segment of their own. A segment has no name (memfd): it goes with the last process that holds it.

Pages that were written to stay when their extents are gone, since new ones cost more than the copy
into them; what there is of such pages beyond ``spare`` is given back to the system. Where extents that
live lie between those that are gone, holes are punched: nobody but the dead looked there.
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
_PUNCHED = 64 << 10
"""Bytes from which an extent that is gone is worth a hole."""


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
    """One segment.

    Attributes
    ----------
    live
        Reasons to keep it: extents, and those who hold them.
    refs
        Reasons to keep an extent, by its start, where there is more than one.
    dead
        What was given back of it and may have pages, as pairs of start and length.
    top, high
        Where the next extent begins; up to where there may be pages.
    holes
        Bytes below ``high`` that have no pages.
    """

    __slots__ = (
        "common",
        "dead",
        "fd",
        "generation",
        "high",
        "holes",
        "live",
        "map",
        "nbytes",
        "number",
        "refs",
        "top",
    )

    def __init__(self, number: int, fd: int, nbytes: int, *, common: bool, generation: int) -> None:
        self.number, self.fd, self.nbytes, self.common = number, fd, nbytes, common
        self.map = mmap.mmap(fd, nbytes)
        self.generation = generation
        self.live = 0
        self.refs: dict[int, int] = {}
        self.dead: list[tuple[int, int]] = []
        self.top = self.high = _HEAD
        self.holes = 0
        _WORD.pack_into(self.map, 0, generation)

    @property
    def filled(self) -> int:
        """Bytes that may have pages."""
        return self.high - _HEAD - self.holes

    def begin_anew(self) -> None:
        if self.holes:
            self.punch_from(_HEAD)
        self.generation += 1
        self.top = _HEAD
        self.dead.clear()
        _WORD.pack_into(self.map, 0, self.generation)

    def punch_from(self, start: int) -> None:
        """Give back every page behind a place."""
        page = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        if page < self.high:
            self.map.madvise(mmap.MADV_REMOVE, page, self.nbytes - page)
        if start == _HEAD:
            self.holes = 0
        self.high = start

    def punch_dead(self) -> None:
        """Give back the pages between the extents that live, and behind them."""
        for start, room in self.dead:
            first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
            last = (start + room) // mmap.PAGESIZE * mmap.PAGESIZE
            if first < last:
                self.map.madvise(mmap.MADV_REMOVE, first, last - first)
                self.holes += last - first
        self.dead.clear()
        if self.high - self.top >= _PUNCHED:
            self.punch_from(self.top)


class Segments:
    """The kernel's side: makes segments, cuts extents, knows when they are free.

    Parameters
    ----------
    spare
        Bytes of pages in which nothing lives that are kept for the next use.
    retired
        Called with the number of each segment that is closed for good.

    Attributes
    ----------
    nbytes
        Of all extents.
    filled
        Bytes that may have pages: at least what was written.

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
        self.spare = self._patience = spare
        self._retired = retired
        self._numbers = 0
        self.nbytes = 0
        self.filled = 0
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
        if segment.top > segment.high:
            self.filled += segment.top - segment.high
            segment.high = segment.top
        self.nbytes += nbytes
        self._tidy()
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
        segment.high = segment.top
        segment.live = 1
        self._segments[number] = segment
        self.nbytes += nbytes
        self.filled += nbytes
        return Extent(number, _HEAD, nbytes, 1)

    def shrink(self, extent: Extent, nbytes: int) -> Extent:
        """Give back what of an extent was not used."""
        segment = self._of(extent)
        end = extent.start + -(-extent.nbytes // _ALIGN) * _ALIGN
        used = extent.start + -(-nbytes // _ALIGN) * _ALIGN
        if segment.top == end:
            segment.top = used
        else:
            self._died(segment, used, end - used)
        self.nbytes -= extent.nbytes - nbytes
        return extent._replace(nbytes=nbytes)

    def hold(self, extent: Extent) -> None:
        """Keep an extent for one reason more: ``release`` takes it back."""
        segment = self._of(extent)
        segment.live += 1
        segment.refs[extent.start] = segment.refs.get(extent.start, 1) + 1

    def release(self, extent: Extent) -> None:
        """Undo one ``hold``."""
        segment = self._of(extent)
        segment.live -= 1
        left = segment.refs.pop(extent.start, 1) - 1
        if not segment.live:
            self._emptied(segment)
        elif left > 1:
            segment.refs[extent.start] = left
        elif not left:
            self._died(segment, extent.start, -(-extent.nbytes // _ALIGN) * _ALIGN)

    def free(self, extent: Extent) -> None:
        """Give an extent back."""
        self._of(extent)
        self.nbytes -= extent.nbytes
        self.release(extent)
        self._tidy()

    def keep(self, spare: int) -> None:
        """Keep so many bytes of pages for the next use from now on."""
        self.spare = self._patience = spare
        self._tidy()

    def trim(self, most: int) -> None:
        """Give pages back to the system until those in which nothing lives have so many bytes."""
        for segment in [*self._spares, *self._idle]:
            if self.filled - self.nbytes <= most:
                return
            if segment.common:
                self._punch(segment, whole=True)
            else:
                self._spares.remove(segment)
                self._close(segment)
        for segment in list(self._segments.values()):
            if self.filled - self.nbytes <= most:
                return
            self._punch(segment, whole=not segment.live)

    def _tidy(self) -> None:
        """Give back what is too much; where that is not possible, not again at every extent."""
        idle = self.filled - self.nbytes
        if idle > self._patience:
            self.trim(self.spare)
            left = self.filled - self.nbytes
            self._patience = self.spare if left <= self.spare else left + (COMMON >> 3)
        elif idle <= self.spare:
            self._patience = self.spare

    def _punch(self, segment: _Segment, *, whole: bool) -> None:
        self.filled -= segment.filled
        if whole:
            segment.punch_from(_HEAD)
        else:
            segment.punch_dead()
        self.filled += segment.filled

    def _died(self, segment: _Segment, start: int, room: int) -> None:
        """Nobody looks at a part of a segment any more."""
        if room >= _PUNCHED:
            segment.dead.append((start, room))

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
        self.hold(extent)
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
        self.nbytes = self.filled = 0

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
        self.filled -= segment.filled
        segment.begin_anew()
        self.filled += segment.filled
        if not segment.common:
            self._spares.append(segment)
        elif segment not in self._current.values():
            self._idle.append(segment)
        self._tidy()

    def _close(self, segment: _Segment) -> None:
        del self._segments[segment.number]
        self.filled -= segment.filled
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
        known = segments._segments  # noqa: SLF001 - of this module
        # A child of this child must not close once more what has these numbers by then.
        while known:
            _, segment = known.popitem()
            os.close(segment.fd)
            with contextlib.suppress(BufferError):  # somebody was just looking at it
                segment.map.close()


os.register_at_fork(after_in_child=_forget)


def _private(fd: int, extent: Extent) -> tuple[mmap.mmap, memoryview]:
    page = extent.start // mmap.PAGESIZE * mmap.PAGESIZE
    skip = extent.start - page
    made = mmap.mmap(fd, skip + extent.nbytes, mmap.MAP_PRIVATE, offset=page)
    return made, memoryview(made)[skip : skip + extent.nbytes]
