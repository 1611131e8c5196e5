"""What this process may use of the machine: cores and bytes, containers and limits considered."""

from __future__ import annotations

import functools
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

from nbscale import config

__all__ = ["budget", "cores", "oom_kills", "room", "workers"]

_SHARE = 0.6
"""Of the memory there is, what the work may add: the rest is for the kernel and everybody else."""

_UNLIMITED = 1 << 60
"""Kernels write "no limit" as a number near 2**63."""


def workers() -> int:
    """Tasks to run at the same time: the setting ``n_workers``, else the cores there are."""
    return config.get().n_workers or _measured(_now())[0]


def budget() -> int:
    """Bytes that the work may use: the setting ``memory_limit``, else 0.6 of what there is."""
    limit = config.get().memory_limit
    return limit if limit is not None else int(_measured(_now())[1] * _SHARE)


def _now() -> int:
    """Changes every five seconds: limits can change, but reading them takes half a millisecond."""
    return int(time.monotonic() / 5)


@functools.lru_cache(maxsize=1)
def _measured(when: int) -> tuple[int, int]:
    del when
    return cores(Path("/")), memory()


def cores(root: Path | None = None) -> int:
    """Cores this process may use: the least of its affinity and the quota of its control groups.

    Parameters
    ----------
    root
        Where ``proc`` and ``sys`` are found; None for this machine as it was a moment ago.
    """
    if root is None:
        return _measured(_now())[0]
    count = float(_affinity())
    for folder in _groups(root, "cpu"):
        quota, period = _quota(folder)
        if quota is not None and quota > 0:
            count = min(count, quota / period)
    return max(1, math.ceil(count))


def memory(root: Path = Path("/")) -> int:
    """Bytes this process could ever use: the least of physical memory, control groups and rlimits.

    Parameters
    ----------
    root
        Where ``proc`` and ``sys`` are found.
    """
    least = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for folder in _groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = _number(folder / name)
            if limit is not None and 0 < limit < _UNLIMITED:
                least = min(least, limit)
    return min(least, *_rlimits()) if _rlimits() else least


def oom_kills(root: Path = Path("/")) -> int:
    """A number that grows when the system ends a process for want of memory, here or around.

    Parameters
    ----------
    root
        Where ``proc`` and ``sys`` are found.
    """
    found = _named(root / "proc/vmstat", "oom_kill")
    for folder in _groups(root, "memory"):
        found += _named(folder / "memory.events", "oom_kill")
        found += _named(folder / "memory.oom_control", "oom_kill")
    return found


def room(budget: int, ours: int, root: Path = Path("/")) -> int:
    """Bytes that the work may use now: its budget, or less where others leave less.

    What is free is free for others, too, so a tenth of it is left to them. An eighth of the budget
    is there whatever is told: others may give back what they use.

    Parameters
    ----------
    budget
        Of the work.
    ours
        Bytes that the work uses already, which are no others'.
    root
        Where ``proc`` and ``sys`` are found.
    """
    left = min((limit - used for limit, used in _used(root)), default=None)
    if left is None:
        return budget
    return max(budget // 8, min(budget, ours + max(0, left) * 9 // 10))


def _used(root: Path) -> Iterator[tuple[int, int]]:
    """Of each level that has a limit: the limit, and what is used there and cannot be given back."""
    for folder in _groups(root, "memory"):
        for most, current, stale in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit, used = _number(folder / most), _number(folder / current)
            if limit is not None and used is not None and 0 < limit < _UNLIMITED:
                cached = _named(folder / "memory.stat", stale)
                yield limit, max(0, used - cached)
    found = _text(root / "proc/meminfo") or ""
    values = {line.partition(":")[0]: line.split() for line in found.splitlines()}
    if "MemTotal" in values and "MemAvailable" in values:
        whole, free = (int(values[name][1]) << 10 for name in ("MemTotal", "MemAvailable"))
        yield whole, whole - free


def _named(path: Path, name: str) -> int:
    """A number of a file of names and numbers; 0 if it is not there."""
    for line in (_text(path) or "").splitlines():
        found, _, value = line.partition(" ")
        if found == name:
            return int(value)
    return 0


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _rlimits() -> list[int]:
    try:
        import resource  # noqa: PLC0415 - not everywhere
    except ImportError:
        return []
    found = []
    for name in ("RLIMIT_AS", "RLIMIT_DATA"):
        soft, _ = resource.getrlimit(getattr(resource, name))
        if soft != resource.RLIM_INFINITY and 0 < soft < _UNLIMITED:
            found.append(soft)
    return found


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of the control groups this process is in, upwards, of both versions.

    Inside a container the path may be that of the host, which is not there: then the root of the
    controller, which is always there, is the container's own group.
    """
    lines = _text(root / "proc/self/cgroup") or ""
    mount = root / "sys/fs/cgroup"
    for line in lines.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        top = mount / controllers if controllers else mount
        if controllers and not top.is_dir():
            top = mount / controller
        folder = top / path.lstrip("/")
        while folder != top:
            yield folder
            folder = folder.parent
        yield top


def _quota(folder: Path) -> tuple[float | None, float]:
    """Microseconds of processor time for each period of so many, or None for no limit."""
    both = (_text(folder / "cpu.max") or "").split()
    if len(both) == 2:
        return (None if both[0] == "max" else float(both[0])), float(both[1])
    quota = _number(folder / "cpu.cfs_quota_us")
    period = _number(folder / "cpu.cfs_period_us")
    return (None if quota is None else float(quota)), float(period or 100_000)


def _number(path: Path) -> int | None:
    text = _text(path)
    try:
        return None if text is None else int(text)
    except ValueError:  # "max"
        return None


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
