"""Memory and CPU time of a process and everything below it, read from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["cpu_seconds", "descendants", "memory_mb", "pss_mb"]

_TICK = os.sysconf("SC_CLK_TCK")


def _stat(pid: int | str) -> list[str]:
    """Fields of /proc/PID/stat from the state on; none if the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def descendants(root: int) -> list[int]:
    """Processes below ``root``, without it. Reads one small file a process of the machine."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - a Path a process is three times slower
        if name.isdigit():
            fields = _stat(name)
            if fields:
                children.setdefault(int(fields[1]), []).append(int(name))
    found: list[int] = []
    stack = [root]
    while stack:
        below = children.get(stack.pop(), [])
        found += below
        stack += below
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU seconds of processes and of children they have waited for, in ticks of 10 ms."""
    ticks = 0
    for pid in pids:
        fields = _stat(pid)
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / _TICK


def _kb(path: str, key: str) -> int:
    try:
        text = Path(path).read_text()
    except OSError:
        return 0
    _, found, rest = text.partition(f"\n{key}:")
    return int(rest.split(None, 1)[0]) if found else 0


def memory_mb(pid: int) -> tuple[float, float]:
    """Resident memory of a process now, and the most it has been, in MB."""
    status = f"/proc/{pid}/status"
    return _kb(status, "VmRSS") * 1024 / 1e6, _kb(status, "VmHWM") * 1024 / 1e6


def pss_mb(pid: int) -> float:
    """Proportional memory of a process in MB: a page shared by n counts 1/n."""
    return _kb(f"/proc/{pid}/smaps_rollup", "Pss") * 1024 / 1e6
