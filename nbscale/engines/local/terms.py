"""What the kernel and its workers have agreed on: names, codes, sizes, and the page both look at."""

from __future__ import annotations

import struct

__all__ = ["AT", "DISTRUST", "HEED", "INLINE", "PAGE", "WAITS", "ways"]

DISTRUST = 71
"""The exit code of a worker that got a frame that is not what was sent to it."""

INLINE = 4096
"""Bytes up to which a value travels in the message."""

AT = struct.Struct("<qq")
"""Stage and task that a worker is at, in memory the kernel can read when the worker is dead."""

HEED = struct.Struct("<q")
"""After it: how many frames there are to be read by a worker that is interrupted."""

WAITS = AT.size + HEED.size
"""Where behind them a worker says that it waits for work: 1, else 0."""

PAGE = WAITS + 1
"""Bytes of it."""


def ways(number: int) -> tuple[bytes, bytes]:
    """The names of the ways between the kernel and a worker: to it and from it."""
    return b"kernel>%d" % number, b"%d>kernel" % number
