"""Pools as faults need them: what became of a call, which processes there are, whether it is usable."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks import pools
from benchmarks.registry import Missing

__all__ = ["PEERS", "Faulty", "alive"]

PEERS = ("nbscale", "distributed", "loky", "ipyparallel")

_USABLE = 5.0
"""Seconds in which a pool must answer three calls after a fault."""


def alive(pid: int) -> bool:
    """Whether a process lives: one that is dead and not waited for does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


def _where() -> int:
    time.sleep(0.05)
    return os.getpid()


def _double(x: int) -> int:
    return 2 * x


class Faulty:
    """A pool of two processes that something is done to.

    Parameters
    ----------
    name
        Whose.
    memory
        Bytes that its tasks may use together, if it can be told.
    """

    def __init__(self, name: str, memory: int | None = None) -> None:
        self.name = name
        if memory is not None and name not in ("nbscale", "distributed"):
            msg = "knows no limit"
            raise Missing(msg)
        with pools.starting(name):
            self._pool = pools.warm(_limited(name, memory) or pools.POOLS[name]())

    def submit(self, function: Callable[..., Any], *args: Any) -> Any:
        return self._pool.submit(function, *args)

    def share(self, value: Any) -> Any:
        """A value for many calls to read, as this pool shares it."""
        if self.name == "nbscale":
            return self._pool.home.put(value)
        if self.name == "distributed":
            return self._pool.home.scatter(value, broadcast=True)
        return value

    def cancel(self, futures: list[Any]) -> None:
        if self.name in ("nbscale", "distributed"):
            self._pool.home.cancel(futures)
        else:
            for future in futures:
                (future.abort if self.name == "ipyparallel" else future.cancel)()

    def result(self, future: Any) -> Any:
        return self._pool.result(future)

    def wait(self, futures: Iterable[Any], seconds: float) -> list[Any]:
        """Wait for calls, and return those that have no end by then."""
        end = time.monotonic() + seconds
        left = list(futures)
        while left and time.monotonic() < end:
            left = [future for future in left if not self._is_done(future)]
            time.sleep(0.01)
        return left

    def outcome(self, future: Any, seconds: float) -> Any:
        """What a call returned or raised; None if neither."""
        if self.wait([future], seconds):
            return None
        try:
            return self._pool.result(future)
        except Exception as error:  # noqa: BLE001 - it is what came of it
            return error

    def _is_done(self, future: Any) -> bool:
        if self.name == "ipyparallel":
            return bool(future.ready())
        return bool(future.done())

    def pids(self) -> list[int]:
        """The processes that answer."""
        futures = [self.submit(_where) for _ in range(12)]
        left = self.wait(futures, 20)
        done = [future for future in futures if future not in left]
        return sorted({self._pool.result(future) for future in done})

    def is_usable(self) -> bool:
        """Whether three calls come back right, soon."""
        try:
            futures = [self.submit(_double, i) for i in range(3)]
            return not self.wait(futures, _USABLE) and [
                self._pool.result(future) for future in futures
            ] == [0, 2, 4]
        except Exception:  # noqa: BLE001 - then it is not
            return False


def _limited(name: str, memory: int | None) -> pools.Pool | None:
    if memory is None:
        return None
    if name == "nbscale":
        import nbscale as ns

        ns.config.set(memory_limit=memory)
        return None
    from distributed import Client, LocalCluster

    share = memory // pools.WORKERS
    cluster = LocalCluster(
        n_workers=pools.WORKERS,
        threads_per_worker=1,
        dashboard_address=None,
        memory_limit=share,
    )
    client = Client(cluster)
    return pools.Pool(
        lambda f, *args: client.submit(f, *args, pure=False),
        lambda future: future.result(),
        client.gather,
        client,
    )
