"""What every test that had to do with a pool is checked for when it is over.

Whatever it did to the pool: nothing is left over that no living pool accounts for, the scheduler's
counts are right, and a pool that lives computes.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import shutil
import tempfile
import threading
import time
from collections import Counter

from nbscale import session
from nbscale.engines.local import LocalEngine
from nbscale.engines.local import pool as pools
from nbscale.scheduler.check import validate
from nbscale.store import shared
from nbscale.testing import leaks
from nbscale.testing.jobs import plain, run, stage

PATIENCE = 5.0
"""Seconds until what is no longer needed must be gone."""

_SOCKETS_OF_A_POOL = 14
_SOCKETS_OF_A_WORKER = 6
"""ZeroMQ opens some for itself; one that is lost with each run would soon be more."""


class Errors(logging.Handler):
    """Keeps what is logged as an error, by us or by asyncio for us."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.said = []
        for name in ("nbscale", "asyncio"):
            logging.getLogger(name).addHandler(self)

    def emit(self, record):
        self.said.append(record.getMessage())


class Starts:
    """Counts the pools that were started in this process."""

    def __init__(self):
        self.count = 0
        self._start = pools.Pool.start
        pools.Pool.start = lambda pool: self.start(pool)

    def start(self, pool):
        self.count += pool._server is None
        self._start(pool)


starts, errors = Starts(), Errors()

fixtures = set()
"""Processes that a fixture of a larger scope has started meanwhile."""

leaks.mark()


def _apart():
    """Give this process and those it starts a folder for temporary files that no others use."""
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())  # pytest's stay there
    folder = tempfile.mkdtemp(prefix="nbt-")
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


_apart()


def living():
    """The pools that have processes."""
    return [pool for pool in list(pools._pools) if pool._server is not None]


def driver_of(pool):
    return pool._joined.__self__


def on_the_loop(driver, call):
    """What a call returns that the loop's thread makes, where nothing changes meanwhile."""
    found, done = [], threading.Event()

    def make():
        try:
            found.append(call())
        except BaseException as error:  # noqa: BLE001 - raised in the test's thread
            found.append(error)
        done.set()

    driver._loop.post(make)
    assert done.wait(60)
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


def known_memory():
    """How many descriptors of shared memory somebody answers for."""
    count = 2 * len(shared._known) + len(shared._spares._left)
    for pool in list(pools._pools):  # also one whose zygote is gone until the next run
        driver = driver_of(pool)
        count += len(pool._workers) + len(driver._showing._fds)
        count += 2 * len(driver.segments._segments)
    return count


class Before:
    """What there was before a test."""

    def __init__(self):
        errors.said.clear()
        self.held = leaks.holdings()
        self.starts = starts.count
        # Less than nothing: a worker came between the two looks.
        self.memory = max(0, self.held.descriptors["memory"] - known_memory())

    @property
    def had_pool(self):
        """Whether a pool was started since, or one lives."""
        return self.starts < starts.count or bool(living())

    def left_over(self):
        """What is there now that was not, and that no living pool accounts for."""
        now, then, alive = leaks.holdings(), self.held, living()
        found = []
        pids = {pid for pool in alive for pid in pool.pids()}
        stray = now.children - then.children - pids - fixtures
        if stray:
            found.append(f"processes {sorted(stray)}")
        threads = sorted(
            name
            for _, name in now.threads - then.threads
            if not name.startswith("asyncio_")  # a loop of Playwright's or Jupyter's keeps them
        )
        if "threads" in session.current()._engines:  # those of the engine stay with it
            threads = [name for name in threads if not name.startswith("nbscale-worker-")]
        for _ in alive:  # each has one at most, from the first value that does not fit
            if "nbscale-spill" in threads:
                threads.remove("nbscale-spill")
        if threads:
            found.append(f"threads {threads}")
        more = Counter(now.descriptors)
        more.subtract(then.descriptors)
        memory = now.descriptors["memory"] - known_memory()
        if memory > self.memory:
            found.append(f"{memory - self.memory} descriptors of memory that nobody knows")
        sockets = sum(
            _SOCKETS_OF_A_POOL + _SOCKETS_OF_A_WORKER * len(pool._workers) for pool in alive
        )
        if more["socket"] > sockets:
            found.append(f"{more['socket']} sockets more")
        files = {k: n for k, n in more.items() if n > 0 and k.startswith("/") and "/nbs-" in k}
        if files:
            found.append(f"files {files}")
        if now.folders - then.folders:
            found.append(f"folders {sorted(now.folders - then.folders)}")
        if now.shared - then.shared:
            found.append(f"shared memory {sorted(now.shared - then.shared)}")
        if self.had_pool:
            strays = leaks.orphans()
            if strays:
                found.append(f"processes without a parent {sorted(strays)}")
            strangers = leaks.descendants(pids) - pids
            if strangers:
                found.append(f"processes that workers have made {sorted(strangers)}")
        return found

    def check(self, *, logs=True):
        """Fail if something is left over, an error was logged, or a pool is broken."""
        end = time.monotonic() + PATIENCE
        while (found := self.left_over()) and time.monotonic() < end:
            gc.collect()  # what a cycle holds is not lost
            time.sleep(0.005)
        assert not found, f"left over: {'; '.join(found)}"
        assert not (logs and errors.said), errors.said
        for pool in living():
            driver = driver_of(pool)
            on_the_loop(driver, lambda driver=driver: validate(driver._machine))
            if not driver._runs:  # one that is held open by a larger scope says itself how it is
                canary(driver)


def canary(driver):
    """Have three tasks run by a pool."""
    engine = LocalEngine()
    engine._driver, engine._scaled = driver, driver._wanted
    assert run(engine, plain(stage(0, 3, lambda index: index[0], result=0))) == [0, 1, 2]
