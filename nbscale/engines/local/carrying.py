"""Values on their way into a task and out of it, in messages, shared memory and files."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import pickle
import socket
import struct
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from nbscale.comm import descriptors
from nbscale.engines.local.terms import INLINE
from nbscale.store.codec import (
    Encoded,
    decode,
    decode_piece,
    dumps,
    encode_pieces,
    join,
    piece_span,
    split,
)
from nbscale.store.segments import Extent, Maps, make_segment
from nbscale.store.spill import read_span

__all__ = ["Carrier"]

T = TypeVar("T")

COPIED = 256 << 10
"""Bytes up to which what a function of the user's gets is copied instead of mapped."""

_NUMBER = struct.Struct("<Q")
_OWN = 1 << 40


class _Unread(OSError):
    """A part of a file of spilled values cannot be read, or is not what was written."""


class Carrier:
    """Carries values in and out of a worker.

    Parameters
    ----------
    line
        Where descriptors of memory and files come, and go.
    number
        That of the worker.
    unarmed
        A context in which no signal hits the task.
    disarm
        From when it is called on, no signal hits the task.
    """

    def __init__(
        self,
        line: socket.socket,
        number: int,
        unarmed: Callable[[], AbstractContextManager[None]],
        disarm: Callable[[], None],
    ) -> None:
        self._line = line
        self._number = number
        self._unarmed = unarmed
        self._disarm = disarm
        self.maps = _Maps(self.fetch, unarmed)
        self._fds: dict[int, int] = {}
        self.released: deque[Extent] = deque()
        self.gone: set[int] = set()  # what was forgotten since there was nothing to do
        self.unread: list[int] = []  # files that could not be read
        self._made = 0

    def load(self, ref: Any, user: bool, maps: list[Any]) -> Any:
        """The value of a reference (see ``remote.Remote``)."""
        if type(ref) is bytes:
            return pickle.loads(ref)
        if len(ref) == 2:
            return self.load(ref[0], user, maps)[ref[1]]
        if len(ref) == 3:
            return decode(self._read_file(*ref))
        extent = Extent(*ref[:4])
        if not user:
            data = self.maps.read(extent)
            return decode(data) if len(ref) == 4 else decode_piece(data, ref[4])
        part = extent
        if len(ref) == 5:
            start, end = piece_span(self.maps.read(extent), ref[4])
            part = extent._replace(start=extent.start + start, nbytes=end - start)
        return decode(self._mapped(part, extent, maps))

    def _read_file(self, name: int, span: tuple[int, int], checksum: int) -> memoryview:
        try:
            return read_span(self._file(name), span, checksum)
        except OSError as error:
            self.unread.append(name)
            raise _Unread(str(error)) from error

    def check_read(self) -> None:
        """Raise if something could not be read: whoever looked at what could not be read may have gone on without."""
        if self.unread:
            raise _Unread

    def _mapped(self, part: Extent, extent: Extent, maps: list[Any]) -> memoryview:
        """Bytes that may be written to, of a part of an extent: a copy, or a map of this reader's own."""
        if part.nbytes <= COPIED:
            return memoryview(bytearray(self.maps.read(part)))
        made, view = self.maps.private(part)
        maps.append((extent, weakref.ref(made)))
        return view

    def held(self, maps: list[Any]) -> list[tuple[int, ...]] | None:
        """Extents whose maps the task has left alive: the kernel must keep them."""
        held = []
        for again in (False, True):
            if not any(ref() is not None for _, ref in maps):
                return None
            if not again:
                gc.collect()  # a cycle may be all that holds it
        for extent, ref in maps:
            made = ref()
            if made is not None:
                held.append(tuple(extent))
                weakref.finalize(made, self.released.append, extent).atexit = False
        return held

    def kept(self, value: Any, pieces: str, grant: Any) -> Any:
        """Put a value where the kernel finds it and return where that is."""
        if pieces == "cut" and not isinstance(value, (list, tuple)):
            value = [value[i] for i in range(len(value))]
        if pieces and isinstance(value, (list, tuple)):
            encoded = _with_any(encode_pieces, value)
            if encoded.nbytes <= INLINE:
                return [dumps(piece) for piece in value]
            return self._written(encoded, grant, "pieces")
        pickled, buffers = _with_any(split, value)
        if not buffers and len(pickled) <= INLINE:
            return pickled
        encoded = join(pickled, buffers)
        if encoded.nbytes <= INLINE:
            return dumps(value)
        return self._written(encoded, grant, "value")

    def _written(self, encoded: Encoded, grant: Any, what: str) -> Any:
        nbytes = encoded.nbytes
        if grant is not None and nbytes <= grant[2]:
            encoded.write(self.maps.write(Extent(*grant)))
            return ("grant", nbytes, what)
        self._made += 1
        number = _OWN * (self._number + 1) + self._made
        fd = make_segment(64 + nbytes)
        try:
            os.pwrite(fd, _NUMBER.pack(1), 0)
            for start, part in encoded.parts:
                _write_all(fd, part, 64 + start)
            self._disarm()  # what was sent will be told of
            descriptors.send(self._line, _NUMBER.pack(number), [fd])
        finally:
            os.close(fd)
        return ("own", nbytes, what, number)

    def fetch(self, number: int) -> int:
        """The descriptor of a segment, which is there or under way."""
        while number not in self._fds:
            self._receive(wait=True)
        return self._fds.pop(number)

    def shared(self, name: int) -> int:
        """The descriptor of memory that outlives runs, which is there or under way."""
        return self._file(name)

    def _file(self, name: int) -> int:
        """The descriptor of a file, which is there or under way.

        Raises
        ------
        OSError
            It was found broken after the task was given out.
        """
        with self._unarmed():
            while name not in self._fds:
                if name in self.gone:
                    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
                self._receive(wait=True)
        return self._fds[name]

    def _receive(self, *, wait: bool) -> None:
        data, fds = descriptors.receive(self._line, _NUMBER.size, 1, wait=wait)
        if not data:
            os._exit(0)  # the kernel is gone
        self._fds[_NUMBER.unpack(data)[0]] = fds[0]

    def forget(self, number: int) -> None:
        """A segment is no more; its descriptor may have come for a task that was not run here."""
        self.maps.forget(number)
        self.gone.add(number)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._receive(wait=False)
        fd = self._fds.pop(number, None)
        if fd is not None:
            os.close(fd)


def _write_all(fd: int, part: Any, start: int) -> None:
    view = memoryview(part).cast("B")
    while view:
        done = os.pwrite(fd, view, start)
        view, start = view[done:], start + done


def _with_any(make: Callable[..., T], value: Any) -> T:
    """Pickle a value in the fast way, or in the one that takes more."""
    try:
        return make(value)
    except Exception:  # noqa: BLE001 - what is defined in a notebook is pickled by value
        import cloudpickle  # noqa: PLC0415 - few values need it

        return make(value, cloudpickle.dumps)


class _Maps(Maps):
    """Maps whose making no signal can cut in two: a descriptor comes once."""

    def __init__(
        self, fetch: Callable[[int], int], unarmed: Callable[[], AbstractContextManager[None]]
    ) -> None:
        super().__init__(fetch)
        self._unarmed = unarmed

    def _made(self, number: int) -> tuple[int, memoryview, memoryview]:
        with self._unarmed():
            return super()._made(number)
