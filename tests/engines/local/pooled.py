"""A pool of two processes, and where one sees what it is made of."""

from __future__ import annotations

from pathlib import Path

from nbscale.engines.local import LocalEngine
from nbscale.testing.board import wait_until

SLACK = 4.0
"""Times what is asked of a quiet machine: tests run beside others."""


class Pooled(LocalEngine):
    """The engine, and a look into it."""

    @property
    def driver(self):
        return self._driver

    @property
    def pool(self):
        return self._driver.pool

    @property
    def workers(self):
        """Process numbers of the workers that are ready."""
        if self._driver is None:
            return []
        return [worker.pid for worker in list(self.pool._workers.values()) if worker.ready]

    @property
    def zygote(self):
        zygote = self.pool._server
        return 0 if zygote is None else zygote.pid

    def wait_ready(self, count=2):
        self.start()

        def is_whole():
            # One that was frozen may have been replaced and have come back; another may die only now.
            return self.is_whole(count) or self.scale(count)

        self.scale(count)
        wait_until(is_whole, "workers")

    def is_whole(self, count):
        """Whether there are so many workers, and none that comes or goes."""
        workers = [] if self._driver is None else list(self.pool._workers.values())
        return len(workers) == count and all(w.ready and alive(w.pid) for w in workers)


def state(pid):
    """The letter of a process's state in /proc, or '' if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def alive(pid):
    return state(pid) not in ("", "Z", "X")


def ticks(pid):
    """Time a process has used the processor, in hundredths of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def descriptors(pid="self"):
    """What the open descriptors of a process are."""
    found = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(path.readlink()))
        except FileNotFoundError:
            continue
    return found
