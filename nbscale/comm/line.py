"""A line between a process and a child that it made: messages in order, with large data beside them.

::

    length of message u64 │ bytes beside it u64 │ message │ what is beside it, unless a descriptor came

It is a socket pair whose ends nobody else holds, so frames need no signature. What is large lies in
memory without a name, whose descriptor travels: the reader maps it, private and writable.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import pickle
import queue
import socket
import struct
import threading
from typing import Any

from nbscale.comm import descriptors
from nbscale.store.codec import Encoded

__all__ = ["Bulk", "Line"]

_HEAD = struct.Struct("<QQ")

_INLINE = 1 << 20
"""Bytes up to which data travels in the frame itself."""


class Bulk:
    """Data on its way, as it was when this was made."""

    def __init__(self, encoded: Encoded) -> None:
        self.nbytes = encoded.nbytes
        self.fd = -1
        self.data = b""
        if encoded.nbytes <= _INLINE or not hasattr(os, "memfd_create"):
            self.data = encoded.to_bytes()
            return
        self.fd = os.memfd_create("nbscale", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, self.nbytes)
        with mmap.mmap(self.fd, self.nbytes) as space, memoryview(space) as view:
            encoded.write(view)

    def close(self) -> None:
        """Give the memory back, once it is sent or will not be."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


class Line:
    """One end of a line.

    A thread of its own sends, so ``post`` never waits and no interrupt can cut a frame in two.

    Parameters
    ----------
    end
        Of a socket pair of streams.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._waiting: queue.SimpleQueue[tuple[Any, Bulk | None] | None] = queue.SimpleQueue()
        self._sender = threading.Thread(target=self._send_all, name="nbscale-line", daemon=True)
        self._sender.start()

    @property
    def waiting(self) -> int:
        """How many messages were not sent yet."""
        return self._waiting.qsize()

    def post(self, message: Any, bulk: Bulk | None = None) -> None:
        """Send a message of plain values, soon. To one that is gone: nothing.

        One that can be called is called for the message when it is sent.
        """
        self._waiting.put((message, bulk))

    def end(self, timeout: float | None = None) -> None:
        """Send what was posted, and nothing after it."""
        self._waiting.put(None)
        self._sender.join(timeout)

    def close(self) -> None:
        """Give the line up: the other end reads its end. For after the last ``receive``."""
        self._waiting.put(None)
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)
        self._sender.join()  # what waited to be sent is refused
        self._end.close()

    def _send_all(self) -> None:
        while (item := self._waiting.get()) is not None:
            message, bulk = item
            if callable(message):
                message = message()
            data = pickle.dumps(message, protocol=5)
            head = _HEAD.pack(len(data), 0 if bulk is None else bulk.nbytes)
            try:
                fds = [] if bulk is None or bulk.fd < 0 else [bulk.fd]
                descriptors.send(self._end, head, fds)
                self._end.sendall(data)
                if bulk is not None and bulk.fd < 0:
                    self._end.sendall(bulk.data)
            except OSError:
                return  # who reads here is told that the other end is gone
            finally:
                if bulk is not None:
                    bulk.close()
            del item, message, bulk, data  # nothing of it lives on while the thread waits

    def receive(self) -> tuple[Any, memoryview] | None:
        """Wait for a message and what is beside it; None when the other end is gone.

        For one thread. What comes is unpickled, since it comes from the process that this one made,
        or was made by.
        """
        try:
            head, fds = descriptors.receive(self._end, _HEAD.size, 1)
            if not head:
                return None
            if len(head) < _HEAD.size:
                head += self._exactly(_HEAD.size - len(head))
            length, beside = _HEAD.unpack(head)
            message = pickle.loads(self._exactly(length))
            if fds:
                with os.fdopen(fds[0], "rb") as file:
                    data = memoryview(mmap.mmap(file.fileno(), beside, access=mmap.ACCESS_COPY))
            else:
                data = memoryview(self._exactly(beside))
        except (OSError, EOFError):
            return None
        return message, data

    def _exactly(self, size: int) -> bytearray:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            count = self._end.recv_into(view)
            if not count:
                raise EOFError
            view = view[count:]
        return data
