"""``python -m benchmarks.sampler PID``: the memory of a process and all below it, seen from outside.

::

    peer ── starts ──> this process: looks at the peer's tree every 50 ms
         ── "mark" ──> what there is now is the baseline; the peak is counted from here
         <── JSON ──── on "end": baseline, peak, and what the peak was made of

Shared memory is counted once, by the pages that there are of it, whoever maps them or nobody. It is not
a thread of the peer, which would wait for the interpreter just when there is most to see.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.proctree import descendants

__all__ = ["Sampler"]

_PERIOD = 0.05
_LOOKS = 5
"""Samples between two looks for new processes: each reads all processes of the machine."""

_SHM = Path("/dev/shm")


class Sampler:
    """The sampling process, as the process that is looked at has it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.sampler", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _ask(self, word: str) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(word + "\n")
        stdin.flush()
        found: dict[str, Any] = json.loads(stdout.readline())
        return found

    def mark(self) -> None:
        """Count from what there is now."""
        self._ask("mark")

    def end(self) -> dict[str, Any]:
        """Return bytes of ``base``, of ``peak``, and ``looks``, how many there were; then it ends."""
        found = self._ask("end")
        self._process.wait()
        return found


def _kb(text: str, name: str) -> int:
    """Bytes of a line of smaps_rollup."""
    return int(text.partition(f"\n{name}:")[2].split(None, 1)[0]) << 10


def _files(pid: int, disks: frozenset[int]) -> Iterator[tuple[tuple[int, int], int]]:
    """Files in memory that a process has open, with or without a name, and the bytes of their pages."""
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - thousands, again and again
            with contextlib.suppress(OSError):
                path = f"{folder}/{name}"
                where = os.readlink(path)  # noqa: PTH115 - as above
                seen = os.stat(path)  # noqa: PTH116 - as above
                if where.startswith("/memfd:") or seen.st_dev in disks:
                    yield (seen.st_dev, seen.st_ino), 512 * seen.st_blocks


def _in_memory() -> frozenset[int]:
    """The devices of all tmpfs."""
    found = set()
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.startswith("tmpfs "):
            with contextlib.suppress(OSError):
                found.add(Path(left.split()[4]).stat().st_dev)
    return frozenset(found)


def _named() -> Iterator[tuple[tuple[int, int], int]]:
    """Files of ours in the folder of shared memory that nobody has open."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(_SHM):
            if entry.name.startswith("nb"):
                seen = entry.stat(follow_symlinks=False)
                yield (seen.st_dev, seen.st_ino), 512 * seen.st_blocks


def _group() -> Path | None:
    """Where the control group tells of its memory, of either version."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, place = line.split(":", 2)
        for top in ("/sys/fs/cgroup/memory",) if controllers == "memory" else ("/sys/fs/cgroup",):
            for path in (Path(top) / place.lstrip("/"), Path(top)):
                if controllers in ("", "memory") and (path / "memory.stat").exists():
                    return path / "memory.stat"
    return None


def _in_group(stat: Path | None) -> int:
    """Bytes of the group that are no cache of files: it may have other processes in it, too."""
    if stat is None:
        return 0
    fields = dict(line.split()[:2] for line in stat.read_text().splitlines())
    if "total_rss" in fields:
        return int(fields["total_rss"]) + int(fields.get("total_shmem", 0))
    return int(fields.get("anon", 0)) + int(fields.get("shmem", 0))


class _Tree:
    """The processes that are looked at."""

    def __init__(self, root: int) -> None:
        self._root, self._looks = root, 0
        self._pids: list[int] = []
        self._disks, self._stat = _in_memory(), _group()

    def look(self) -> dict[str, int]:
        """Bytes of what they have of their own, of what is shared, and of their group."""
        if self._looks % _LOOKS == 0:
            mine = {os.getpid(), *descendants(os.getpid())}
            self._pids = [self._root, *(p for p in descendants(self._root) if p not in mine)]
        self._looks += 1
        own = mapped = kernel = 0
        pages = dict(_named())
        for pid in self._pids:
            pages.update(_files(pid, self._disks))
            with contextlib.suppress(OSError, IndexError, ValueError):
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                shmem = _kb(text, "Pss_Shmem")
                here = _kb(text, "Pss") - shmem
                own += here
                mapped += shmem
                if pid == self._root:
                    kernel = here
        # What is mapped though its descriptor was closed everywhere is in the second only.
        shared = max(sum(pages.values()), mapped)
        group = _in_group(self._stat)
        return {"all": own + shared, "own": own, "shared": shared, "kernel": kernel, "group": group}


def main(root: int) -> None:
    """Look until told to end."""
    tree = _Tree(root)
    base = peak = tree.look()
    looks = group = 0
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], _PERIOD)
        seen = tree.look()
        looks += 1
        group = max(group, seen["group"])
        if seen["all"] > peak["all"]:
            peak = seen
        if not ready:
            continue
        word = sys.stdin.readline().strip()
        if word == "mark":
            base = peak = seen
            looks, group = 0, seen["group"]
            print("{}", flush=True)
        else:
            print(
                json.dumps({"base": base, "peak": peak, "group": group, "looks": looks}), flush=True
            )
            return


if __name__ == "__main__":
    main(int(sys.argv[1]))
