"""Values on disk: files without a name, each with a checksum, that end with the last process that has them.

::

    write(bytes) ──> file of a real disk, unlinked ──> SpillFile ─┬> read_into(memory): the same bytes,
                                                                  │  or an error, never others
                             its descriptor, to other processes ──┴> read_span(one piece): likewise

Only on a disk: what lies in a tmpfs lies in memory. What was written leaves the system's cache of
pages, too, which counts as this container's memory.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import tempfile
import weakref
import zlib
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path

from nbscale.errors import SpillFull
from nbscale.units import format_bytes

__all__ = [
    "Spill",
    "SpillDamaged",
    "SpillFile",
    "SpillStopped",
    "find_folder",
    "is_in_memory",
    "read_span",
]

_BLOCK = 4 << 20
"""Bytes between two looks at whether to go on."""

_SPARED = 64 << 20
"""Bytes of the disk, at least, that are left to everybody else."""

_IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs", "hugetlbfs")

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class SpillDamaged(OSError):
    """What is read is not what was written."""


class SpillStopped(Exception):
    """Nobody wants it any more."""


class SpillFile:
    """Bytes in a file that has no name: it is gone when this is.

    Attributes
    ----------
    name
        What others know it by: never used again in this process.
    nbytes
        Of it.
    """

    __slots__ = ("__weakref__", "_ends", "_fd", "_sums", "name", "nbytes")

    def __init__(self, fd: int, ends: array[int], sums: array[int]) -> None:
        self.name = next(_names)
        self._fd, self._ends, self._sums = fd, ends, sums
        self.nbytes = ends[-1]
        _open.add(self)

    @property
    def fd(self) -> int:
        """Its descriptor."""
        return self._fd

    def span(self, number: int) -> tuple[tuple[int, int], int]:
        """Where a part begins, how many bytes it has, and their checksum: for ``read_span``."""
        start = self._ends[number - 1] if number else 0
        return (start, self._ends[number] - start), self._sums[number]

    def read_into(self, target: memoryview, wanted: Callable[[], bool] = lambda: True) -> None:
        """Bring the bytes back.

        Parameters
        ----------
        target
            As long as they are.
        wanted
            Asked again and again; False stops it.

        Raises
        ------
        SpillDamaged
            They are fewer than were written, or others.
        OSError
            They cannot be read.
        SpillStopped
            They are not wanted any more.
        """
        _read(self._fd, 0, target, wanted)
        start = 0
        for end, checksum in zip(self._ends, self._sums, strict=True):
            _check(target[start:end], checksum)
            start = end

    def close(self) -> None:
        """Give its room on the disk back; nobody may be reading it."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


class Spill:
    """A folder that values are written to.

    Parameters
    ----------
    folder
        On a real disk; see ``find_folder``.

    Examples
    --------
    >>> spill = Spill(Path(tempfile.gettempdir()))
    >>> file = spill.write(memoryview(b"hello"))
    >>> there = bytearray(5)
    >>> file.read_into(memoryview(there))
    >>> bytes(there)
    b'hello'
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def free(self) -> int:
        """Bytes that may be written: what is free, less a hundredth of the disk for others."""
        disk = os.statvfs(self.folder)
        return max(
            0, disk.f_bavail * disk.f_frsize - max(_SPARED, disk.f_blocks * disk.f_frsize // 100)
        )

    def write(
        self,
        data: memoryview,
        wanted: Callable[[], bool] = lambda: True,
        ends: Sequence[int] = (),
    ) -> SpillFile:
        """Write bytes, and have them leave the cache of pages. Costs as much as the disk does.

        Parameters
        ----------
        data
            Bytes that nobody changes meanwhile.
        ends
            Where parts end that are to be read by themselves; the rest is one more.
        wanted
            Asked again and again; False stops it.

        Raises
        ------
        SpillFull
            There is not so much room; the message says how much there is.
        OSError
            They cannot be written for another reason.
        SpillStopped
            They are not wanted any more.
        """
        nbytes = len(data)
        free = self.free()
        if free < nbytes:
            raise self._full(nbytes, free)
        fd = _unnamed(self.folder)
        try:
            _write(fd, data, wanted)
            # Only what is on the disk can leave the cache.
            os.fdatasync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            os.close(fd)
            if error.errno in _FULL:
                raise self._full(nbytes, self.free()) from error
            raise
        except BaseException:
            os.close(fd)
            raise
        return _summed(fd, data, ends)

    def _full(self, nbytes: int, free: int) -> SpillFull:
        return SpillFull(
            f"{self.folder} needs {format_bytes(nbytes)}, has {format_bytes(free)}. Make room, name "
            "another folder with config.set(spill_folder=...), or raise memory_limit"
        )


def read_span(fd: int, span: tuple[int, int], checksum: int) -> memoryview:
    """One part of a file (see ``SpillFile.span``), in memory of the caller's own.

    Raises
    ------
    SpillDamaged
        It is not what was written.
    OSError
        It cannot be read.
    """
    start, nbytes = span
    found = memoryview(bytearray(nbytes))
    _read(fd, start, found, lambda: True)
    _check(found, checksum)
    return found


def _read(fd: int, start: int, target: memoryview, wanted: Callable[[], bool]) -> None:
    done = 0
    while done < len(target):
        if not wanted():
            raise SpillStopped
        got = os.preadv(fd, [target[done : done + _BLOCK]], start + done)
        if not got:
            raise SpillDamaged(f"a spilled value ends at byte {start + done}")
        done += got
    os.posix_fadvise(fd, start, len(target), os.POSIX_FADV_DONTNEED)


def _check(data: memoryview, checksum: int) -> None:
    if zlib.crc32(data) != checksum:
        raise SpillDamaged(f"{len(data)} bytes of a spilled value are not what was written")


def _write(fd: int, data: memoryview, wanted: Callable[[], bool]) -> None:
    done = 0
    while done < len(data):
        if not wanted():
            raise SpillStopped
        done += os.pwrite(fd, data[done : done + _BLOCK], done)


def _summed(fd: int, data: memoryview, ends: Sequence[int]) -> SpillFile:
    all_ends = array("Q", ends)
    if not all_ends or all_ends[-1] < len(data):
        all_ends.append(len(data))
    sums = array("I")
    start = 0
    for end in all_ends:
        sums.append(zlib.crc32(data[start:end]))
        start = end
    return SpillFile(fd, all_ends, sums)


def find_folder(setting: str | None = None) -> Path | None:
    """Where values may be written: the setting, else a folder of a real disk; None if there is none.

    The system's folder for temporary files is often a tmpfs: then it is ``/var/tmp``, which is
    meant for larger ones, or the disk of the working folder.
    """
    if setting is not None:
        return Path(setting).expanduser()
    for folder in (Path(tempfile.gettempdir()), Path("/var/tmp"), Path.cwd()):  # noqa: S108 - files without names
        if not is_in_memory(folder) and _can_be_written(folder):
            return folder
    return None


def is_in_memory(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> bool:
    """Whether files of a folder lie in memory.

    Parameters
    ----------
    folder
        Any.
    mounts
        Where the system tells what is mounted where; what cannot be read tells of no tmpfs.
    """
    try:
        text = mounts.read_text()
    except OSError:
        return False
    place = folder.resolve()
    kind, longest = "", -1
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        if len(fields) < 5 or not right:
            continue
        point = Path(fields[4].encode().decode("unicode_escape"))
        # Of two at one place the later one is seen.
        if place.is_relative_to(point) and len(point.parts) >= longest:
            kind, longest = right.split()[0], len(point.parts)
    return kind in _IN_MEMORY


def _can_be_written(folder: Path) -> bool:
    try:
        os.close(_unnamed(folder))
    except OSError:
        return False
    return True


def _unnamed(folder: Path) -> int:
    """The descriptor of a new file without a name."""
    with contextlib.suppress(OSError):  # not every disk can
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fd, name = tempfile.mkstemp(prefix="nbs-", dir=folder)
    os.unlink(name)  # noqa: PTH108 - the name is text
    return fd


_names = itertools.count(1 << 61)
_open: weakref.WeakSet[SpillFile] = weakref.WeakSet()


def _forget() -> None:
    """In a forked child: it must not keep what its parent gives back."""
    for file in list(_open):
        file.close()


os.register_at_fork(after_in_child=_forget)
