"""What a process holds of the machine, and what of it is left over when it should hold no more.

Reads ``/proc``, so it is for Linux. Nothing is asked of the engine: it is the engine that is judged.
"""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from nbscale.record import record

__all__ = [
    "Holdings",
    "allocated",
    "descendants",
    "holdings",
    "kind_of",
    "mark",
    "orphans",
    "unmarked",
]

SERVICES = ("nbscale-loop", "nbscale-news", "nbscale-futures", "nbscale-progress")
"""Threads of nbscale that stay once they are there; they are one each in a process."""

_MARK = "NBSCALE_TEST_OWNER"


@record
class Holdings:
    """What a process holds at some moment.

    Attributes
    ----------
    children
        Processes it has made and not waited for, dead ones included.
    threads
        Python threads by their identity and name, without those that serve for good.
    descriptors
        How many there are of each kind.
    folders
        Folders of pools that nobody answers in.
    shared
        Files in ``/dev/shm`` that bear this process's number.
    """

    children: frozenset[int]
    threads: frozenset[tuple[int, str]]
    descriptors: Counter[str]
    folders: frozenset[str]
    shared: frozenset[str]


def holdings() -> Holdings:
    """What this process holds now; some tenths of a millisecond."""
    return Holdings(
        frozenset(_children()),
        frozenset(
            (thread.ident or 0, thread.name)
            for thread in threading.enumerate()
            if thread.name not in SERVICES
        ),
        Counter(map(kind_of, _descriptors())),
        frozenset(_deserted()),
        frozenset(name for name in os.listdir("/dev/shm") if str(os.getpid()) in name),  # noqa: PTH208, S108
    )


def _children() -> Iterator[int]:
    for task in Path("/proc/self/task").iterdir():
        try:
            yield from map(int, (task / "children").read_text().split())
        except OSError:  # the thread has ended
            continue


def _descriptors() -> Iterator[str]:
    for path in Path("/proc/self/fd").iterdir():
        try:
            yield str(path.readlink())
        except OSError:  # that of the listing itself
            continue


def kind_of(target: str) -> str:
    """What kind of descriptor leads to a target: a socket, memory of the pool's, a file by its name.

    Examples
    --------
    >>> kind_of("socket:[4711]"), kind_of("/memfd:nbscale (deleted)"), kind_of("/tmp/data.csv")
    ('socket', 'memory', '/tmp/data.csv')
    """
    if target.startswith("/memfd:nbscale"):
        return "memory"
    if target.startswith("/"):
        return target
    kind, _, inner = target.partition(":")
    return inner if kind == "anon_inode" else kind


def _deserted() -> Iterator[str]:
    """Folders of pools whose socket nobody has open: those of other processes are left alone."""
    folders = list(Path(tempfile.gettempdir()).glob("nbs-*"))
    if folders:
        bound = Path("/proc/net/unix").read_text()
        yield from (str(folder) for folder in folders if f"{folder}/s" not in bound)


def descendants(pids: Collection[int]) -> set[int]:
    """Processes that descend from some, those included; a look at every process of the machine."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(fields[1])
    found = set(pids)
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        grown = bool(more)
        found |= more
    return found


def mark() -> None:
    """Mark this process, and those it will start, as one family."""
    os.environ[_MARK] = str(os.getpid())


def unmarked() -> dict[str, str]:
    """The environment for a program that leaves its family by design, as a browser does."""
    return {name: value for name, value in os.environ.items() if name != _MARK}


def orphans() -> set[int]:
    """Living processes of this family that no longer descend from this process.

    They are known by their environment, whoever their parent is by now.
    """
    sought = f"{_MARK}={os.getpid()}\0".encode()
    mine = descendants({os.getpid()})
    found = set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        if int(path.parent.name) not in mine:
            try:
                if sought in path.read_bytes():
                    found.add(int(path.parent.name))
            except OSError:  # another user's, or gone
                continue
    return found


_BLOCK = 64
"""Bytes, about, of what Python counts as one block."""


class _Mallinfo(ctypes.Structure):
    """``struct mallinfo2`` of the GNU C library."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
        )
    )


def allocated() -> int:
    """Bytes that are in use of the heaps of C and, about, of Python.

    What is free between them is not counted, though the system does not get it back: how much that
    is depends on all that the process did before. Needs the GNU C library 2.33 or newer.
    """
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = _Mallinfo
    info = mallinfo2()
    return info.uordblks + info.hblkhd + _BLOCK * sys.getallocatedblocks()
