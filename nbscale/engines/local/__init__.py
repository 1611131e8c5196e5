"""The engine ``local``: a pool of worker processes on this machine, driven from the kernel."""

from __future__ import annotations

import atexit
import functools
import os
import sys
import threading
import warnings
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbscale import config
from nbscale.engines import limits, loop
from nbscale.engines.base import (
    Capabilities,
    Deliver,
    Engine,
    RunInfo,
    Ticket,
    deadline,
    forbid_here,
    inside,
)
from nbscale.engines.desk import depth
from nbscale.engines.local.driving import PoolDriver
from nbscale.engines.news import wire
from nbscale.engines.running import Running
from nbscale.engines.serve import serve
from nbscale.errors import EngineError, MemoryNotice
from nbscale.events import Observer
from nbscale.graph.job import Job
from nbscale.store.base import KernelStore, Ref
from nbscale.store.shared import held, trim
from nbscale.store.spill import find_folder

__all__ = ["LocalEngine"]


class _PoolTicket(Ticket):
    """A run in other processes: the prompt need not wait until a stubborn one is killed."""

    patience = 0.4


class LocalEngine(Engine):
    """Runs tasks in processes, as many as the setting ``n_workers``, else as cores.

    Started by the first run: one import of what the kernel has imported, in the background, then
    a fork for each worker. Values between tasks lie in shared memory. A worker that dies is replaced
    and its tasks are run again; a task that does not stop is killed with its worker. A run started
    inside a task runs in that task.

    Linux only: it needs memory and processes that are named by descriptors.
    """

    name = "local"
    capabilities = Capabilities(user_code=True, parallel=True, processes=True)

    def __init__(self) -> None:
        self._store = KernelStore()
        self._tickets: weakref.WeakSet[Ticket] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._driver: PoolDriver | None = None
        self._scaled: int | None = None
        self._count = 0  # workers that the driver was told of
        self._folder: Path | None = None
        self._pid = os.getpid()

    def __reduce__(self) -> Any:
        return LocalEngine, ()

    def start(self) -> None:
        """Begin to start the processes; returns at once."""
        if self._is_ours():
            with self._lock:
                self._started().start()

    def _is_ours(self) -> bool:
        return not inside() and os.getpid() == self._pid

    def _started(self) -> PoolDriver:
        if self._driver is None:
            if sys.platform != "linux":
                raise EngineError("the engine 'local' needs Linux; use engine='threads'")
            self._count = self._scaled or limits.workers()
            self._driver = PoolDriver(loop.shared(), limits.budget(), self._count)
            atexit.register(self.close)
        return self._driver

    def close(self) -> None:
        """Stop every run and end the processes."""
        if os.getpid() != self._pid:
            return  # they are another's, and the lock may be held by a thread that is not here
        with self._lock:
            driver, self._driver, self._folder = self._driver, None, None
        if driver is None:
            return
        atexit.unregister(self.close)
        driver.cancel_all()
        left = deadline(Ticket.patience)
        for ticket in list(self._tickets):
            ticket.settle(left())
        closed = threading.Event()
        driver.close(closed.set)
        closed.wait(Ticket.patience)
        self._store.clear()

    def put(self, value: Any) -> Ref:
        return self._store.put(value)

    def get(self, ref: Ref) -> Any:
        return self._store.get(ref)

    def run(
        self, job: Job, *, info: RunInfo, deliver: Deliver, observers: Sequence[Observer] = ()
    ) -> Ticket:
        forbid_here()
        if depth() or not self._is_ours():
            return serve(self.name, job, info, deliver, observers)
        reply = job.step(None)
        with self._lock:
            driver = self._started()
            count = self._scaled or limits.workers()
            if count != self._count:
                self._count = count
                driver.scale(count)
        folder = _spill_folder(config.get().spill_folder)
        if folder != self._folder:
            self._folder = folder
            driver.spill_to(folder)
        budget = limits.budget()
        trim(budget // 8)
        limit = max(1, budget - held())
        ticket = _PoolTicket(
            lambda: driver.open(run, reply, limit),
            lambda: driver.cancel(run),
        )
        run = Running(job, info, deliver, wire(observers), self.name, ticket)
        self._tickets.add(ticket)
        return ticket

    def scale(self, n: int) -> None:
        if n < 1:
            raise EngineError(f"the engine 'local' needs at least one process, not {n}")
        with self._lock:
            self._scaled = self._count = n
            if self._driver is not None:
                self._driver.scale(n)


@functools.lru_cache(maxsize=8)
def _spill_folder(setting: str | None) -> Path | None:
    """Where values go that do not fit in memory; says once that there is no such place."""
    folder = find_folder(setting)
    if folder is None:
        warnings.warn(
            "there is no disk to write values to that do not fit in memory: they are made again when "
            "they are needed. Name a folder of a disk with config.set(spill_folder=...)",
            MemoryNotice,
            stacklevel=2,
        )
    return folder
