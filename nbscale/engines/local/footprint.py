"""What a worker's own memory is: the most a task took, what is given back, and a fence around it.

Memory of a worker's own is what it does not share: neither the segments that it maps nor files. The
system knows the most that a process ever had, and forgets it on request, so what a task took is known
exactly. Each look costs microseconds, too much for tasks that take no longer: see ``_Worker``.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource

__all__ = ["Footprint"]

_LEAST = 4 << 20
"""Bytes that are not worth giving back."""


class Footprint:
    """The memory of this process, which has one thread.

    Examples
    --------
    >>> footprint = Footprint()
    >>> footprint.begin(fence=0)
    >>> work = b"x" * (50 << 20)
    >>> del work
    >>> footprint.peak() > 49 << 20
    True
    """

    def __init__(self) -> None:
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
        self._reset = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
        self._limits = resource.getrlimit(resource.RLIMIT_DATA)
        self._fenced = False
        self._resident = self._shared = 0
        self._trim = ctypes.CDLL(None).malloc_trim
        self._own = self._kept = 0
        self._own = self._kept = self._look()

    def begin(self, fence: int) -> None:
        """A task begins.

        Parameters
        ----------
        fence
            Bytes above what there is now at which it gets a MemoryError; 0 for none.
        """
        os.write(self._reset, b"5")
        pages = os.pread(self._statm, 128, 0).split()
        self._resident = int(pages[1]) * mmap.PAGESIZE
        self._shared = int(pages[2]) * mmap.PAGESIZE
        if fence:
            soft, hard = self._limits
            fence += int(pages[5]) * mmap.PAGESIZE
            if soft == resource.RLIM_INFINITY or fence < soft:
                resource.setrlimit(resource.RLIMIT_DATA, (fence, hard))
                self._fenced = True
        elif self._fenced:
            self.open()

    def open(self) -> None:
        """Take the fence away."""
        resource.setrlimit(resource.RLIMIT_DATA, self._limits)
        self._fenced = False

    def peak(self, mapped: int = 0) -> int:
        """The most bytes of its own that this process had since ``begin``, above what it had then.

        Parameters
        ----------
        mapped
            Bytes of shared memory that it mapped meanwhile, and may map no longer.
        """
        found = {}
        for line in os.pread(self._status, 4096, 0).splitlines():
            name, _, value = line.partition(b":")
            if name in (b"VmHWM", b"RssFile", b"RssShmem"):
                found[name] = int(value.split()[0]) << 10
        if len(found) < 3:
            return 0  # a system that does not tell
        shared = found[b"RssFile"] + found[b"RssShmem"] - self._shared
        return max(0, found[b"VmHWM"] - self._resident - max(shared, mapped, 0))

    def give_back(self, slack: int) -> None:
        """Give free memory back to the system if there may be more than so many bytes of it.

        Costs about a millisecond for each thousand pieces that lie between others. What did not
        help is not tried again until there is as much more.
        """
        if self._look() > self._kept + max(slack, _LEAST):
            self._trim(0)
            self._kept = max(self._own, self._look())

    def _look(self) -> int:
        pages = os.pread(self._statm, 128, 0).split()
        own = (int(pages[1]) - int(pages[2])) * mmap.PAGESIZE
        if own < self._kept:
            self._kept = max(own, self._own)
        return own
