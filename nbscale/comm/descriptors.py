"""Descriptors that are handed to another process over a local socket.

``socket.send_fds`` and ``recv_fds`` take flags and, up to Python 3.13 at least, ignore them.
"""

from __future__ import annotations

import array
import errno
import os
import socket
from collections.abc import Sequence

__all__ = ["receive", "send"]

_SIZE = array.array("i").itemsize


def send(line: socket.socket, data: bytes, fds: Sequence[int], flags: int = 0) -> None:
    """Send a message and descriptors with it."""
    beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    line.sendmsg([data], beside, flags)


def receive(
    line: socket.socket, size: int, most: int, *, wait: bool = True
) -> tuple[bytes, list[int]]:
    """Receive a message of so many bytes at most and the descriptors that came with it.

    No program started later inherits them. No bytes: the other end is gone.

    Raises
    ------
    BlockingIOError
        There is none, and it was not to be waited for.
    OSError
        This process may not have so many.
    """
    flags = socket.MSG_CMSG_CLOEXEC | (0 if wait else socket.MSG_DONTWAIT)
    room = socket.CMSG_SPACE(most * _SIZE)
    try:
        data, beside, told, _ = line.recvmsg(size, room, flags)
    except ConnectionResetError:
        # The other end is gone and left something unread. That is said once; what it sent is there.
        data, beside, told, _ = line.recvmsg(size, room, flags)
    fds = array.array("i")
    for level, kind, content in beside:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % _SIZE])
    if told & socket.MSG_CTRUNC:
        for fd in fds:
            os.close(fd)
        raise OSError(errno.EMFILE, "too many open files for one more that was sent")
    return data, list(fds)
