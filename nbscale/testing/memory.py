"""Memory of processes that share some: what each has of its own, and what is shared, once."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

__all__ = ["Usage", "peak_of", "usage"]

_PERIOD = 0.05
"""Seconds between two looks: each reads the page tables of every process."""


class Usage:
    """Bytes of some processes.

    Attributes
    ----------
    own
        Their proportional memory, without what is shared.
    shared
        Pages of shared memory, whether somebody maps them or not.
    """

    __slots__ = ("own", "shared")

    def __init__(self, own: int, shared: int) -> None:
        self.own, self.shared = own, shared

    @property
    def total(self) -> int:
        """Both."""
        return self.own + self.shared

    def __repr__(self) -> str:
        return f"Usage(own={self.own >> 20} MiB, shared={self.shared >> 20} MiB)"


def usage(pids: Iterable[int], others: Iterable[int] = ()) -> Usage:
    """Memory of processes, and the shared memory that they or others hold.

    Examples
    --------
    >>> usage([os.getpid()]).own > 10 << 20
    True
    """
    pids = list(pids)
    pages: dict[int, int] = {}
    for pid in [*pids, *others]:
        pages.update(_segments(pid))
    return Usage(sum(map(_own, pids)), sum(pages.values()))


def _own(pid: int) -> int:
    """Proportional memory of a process but for shared memory; 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    found = {}
    for line in text.splitlines()[1:]:
        name, _, value = line.partition(":")
        found[name] = int(value.split()[0]) << 10
    return found["Pss"] - found["Pss_Shmem"]


def _segments(pid: int) -> Iterator[tuple[int, int]]:
    """Numbers and bytes of pages of the shared memory that a process holds."""
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - thousands, again and again
            with contextlib.suppress(OSError):
                path = f"{folder}/{name}"
                if os.readlink(path).startswith("/memfd:nbscale"):  # noqa: PTH115 - as above
                    seen = os.stat(path)  # noqa: PTH116 - as above
                    yield seen.st_ino, 512 * seen.st_blocks


@contextlib.contextmanager
def peak_of(look: Callable[[], Usage]) -> Iterator[list[Usage]]:
    """Look again and again while something goes on; the list holds the most that was seen."""
    most = [look()]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_PERIOD):
            seen = look()
            if seen.total > most[0].total:
                most[0] = seen

    watcher = threading.Thread(target=watch, name="peak", daemon=True)
    watcher.start()
    try:
        yield most
    finally:
        over.set()
        watcher.join()
