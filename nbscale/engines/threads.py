"""The engine ``threads``: built-in operations, in threads of the kernel.

For kernels that spend their time outside Python's interpreter lock, on data that fits a quarter of
the budget. A thread cannot be stopped: the value of a task that nobody wants any more is thrown
away, and a thread that does not come back is replaced, so that the next run has its workers.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Sequence
from typing import Any

from nbscale.engines import limits, loop
from nbscale.engines.base import (
    Capabilities,
    Deliver,
    Engine,
    RunInfo,
    Ticket,
    deadline,
    forbid_here,
)
from nbscale.engines.desk import Desk, Station, depth, work_off
from nbscale.engines.hands import KernelDriver
from nbscale.engines.news import wire
from nbscale.engines.running import Running
from nbscale.engines.serve import serve
from nbscale.errors import EngineError
from nbscale.events import Observer
from nbscale.graph.job import Job
from nbscale.store.base import KernelStore, Ref

__all__ = ["ThreadsEngine"]

_SHARE = 4
"""Of the budget this engine uses one in so many: nothing fences its tasks in."""


class _Crew:
    """The threads, all fetching from one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lock = threading.Lock()
        self._threads: dict[Station, threading.Thread] = {}
        self.count = 0
        self._hired = 0

    def resize(self, count: int) -> None:
        """Start threads, or have some end when they are done with what they are at."""
        with self._lock:
            for _ in range(count - self.count):
                self._hire()
            for _ in range(self.count - count):
                self._desk.items.put(None)
            self.count = count

    def relieve(self, run: Running) -> None:
        """Replace the threads that are at a task of a run."""
        with self._lock:
            for station in list(self._threads):
                work = station.at
                if work is not None and work.run is run:
                    station.given_up = True
                    del self._threads[station]
                    self._hire()

    def dismiss(self, timeout: float) -> None:
        """End all threads, waiting no longer than so many seconds."""
        threads = list(self._threads.values())
        self.resize(0)
        left = deadline(timeout)
        for thread in threads:
            thread.join(left())

    def _hire(self) -> None:
        station = Station()
        name = f"nbscale-worker-{self._hired}"
        self._hired += 1
        thread = threading.Thread(target=self._work, args=(station,), name=name, daemon=True)
        self._threads[station] = thread
        thread.start()

    def _work(self, station: Station) -> None:
        work_off(self._desk, station, deadline(None), interruptible=False)
        with self._lock:
            self._threads.pop(station, None)


class ThreadsEngine(Engine):
    """Runs tasks in threads of the kernel, as many as the setting ``n_workers``, else as cores.

    Started by the first run, with no thread before it. Some 10 us a task. While a run is active
    BLAS and Arrow are held to one thread. A run started inside a task, or in a forked child where
    the threads are not, runs in the thread that waits for it.
    """

    name = "threads"
    capabilities = Capabilities(user_code=False, parallel=True, processes=False)

    def __init__(self) -> None:
        self._store = KernelStore()
        self._tickets: weakref.WeakSet[Ticket] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._driver: KernelDriver | None = None
        self._crew: _Crew | None = None
        self._scaled: int | None = None
        self._pid = os.getpid()

    def start(self) -> None:
        """Start the threads."""
        with self._lock:
            if self._driver is None:
                self._start()

    def _start(self) -> KernelDriver:
        count = self._scaled or limits.workers()
        driver = KernelDriver(
            loop.shared(), limits.budget() // _SHARE, count, self._store, relieve=self._relieve
        )
        self._crew = _Crew(driver.desk)
        self._crew.resize(count)
        self._driver = driver
        atexit.register(self.close)
        return driver

    def close(self) -> None:
        """Stop every run and end the threads."""
        with self._lock:
            driver, crew = self._driver, self._crew
            self._driver = self._crew = None
        if driver is None or crew is None or os.getpid() != self._pid:
            return
        atexit.unregister(self.close)
        driver.cancel_all()
        left = deadline(Ticket.patience)
        for ticket in list(self._tickets):
            ticket.settle(left())
        crew.dismiss(1.0)
        self._store.clear()

    def put(self, value: Any) -> Ref:
        return self._store.put(value)

    def get(self, ref: Ref) -> Any:
        return self._store.get(ref)

    def run(
        self, job: Job, *, info: RunInfo, deliver: Deliver, observers: Sequence[Observer] = ()
    ) -> Ticket:
        forbid_here()
        if depth() or os.getpid() != self._pid:
            return serve(self.name, job, info, deliver, observers)
        reply = job.step(None)
        with self._lock:
            driver = self._driver if self._driver is not None else self._start()
            self._fit(driver)
        limit = limits.budget() // _SHARE
        ticket = Ticket(
            lambda: driver.open(run, reply, limit),
            lambda: driver.cancel(run),
        )
        run = Running(job, info, deliver, wire(observers), self.name, ticket)
        self._tickets.add(ticket)
        return ticket

    def scale(self, n: int) -> None:
        if n < 1:
            raise EngineError(f"the engine 'threads' needs at least one thread, not {n}")
        with self._lock:
            self._scaled = n
            if self._driver is not None:
                self._fit(self._driver)

    def _fit(self, driver: KernelDriver) -> None:
        """Have as many threads as the settings say now."""
        count = self._scaled or limits.workers()
        if self._crew is not None and count != self._crew.count:
            driver.scale(count)
            self._crew.resize(count)

    def _relieve(self, run: Running) -> None:
        if self._crew is not None:
            self._crew.relieve(run)
