"""The faults, one function each: what it does to a pool, and what must hold."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers_faults.pools import Faulty, alive
from benchmarks.pools import WORKERS
from benchmarks.proctree import descendants, memory_mb
from benchmarks.rows import ROOT

__all__ = ["FAULTS", "Fault", "Outcome"]

_MB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a fault: whether it was survived (None: only a figure), in words."""

    survived: bool | None
    text: str


@dataclasses.dataclass(frozen=True)
class Fault:
    """A row of the table."""

    title: str
    run: Callable[[Faulty], Outcome]
    memory: int | None = None


FAULTS: dict[str, Fault] = {}


def fault(title: str, memory: int | None = None) -> Callable[[Any], Any]:
    """Add a function as a row."""

    def add(run: Callable[[Faulty], Outcome]) -> Callable[[Faulty], Outcome]:
        FAULTS[run.__name__] = Fault(title, run, memory)
        return run

    return add


def _said(error: Any) -> str:
    """An error in one line."""
    text = " ".join(f"{type(error).__name__}: {error}".split()).replace(f"{ROOT}/", "")
    return text if len(text) <= 90 else text[:89] + "…"


def _after(pool: Faulty, *, ok: bool, text: str) -> Outcome:
    """Ask the pool whether it is usable, as every fault does in the end."""
    usable = pool.is_usable()
    return Outcome(ok and usable, f"{text}; {'usable' if usable else 'NOT usable'}")


# Processes ----------------------------------------------------------------------------------


def _slow(i: int) -> int:
    time.sleep(0.05)
    return i * i


@fault("kill -9 of one worker, 40 tasks")
def killed(pool: Faulty) -> Outcome:
    victim = pool.pids()[0]
    futures = [pool.submit(_slow, i) for i in range(40)]
    pool.wait(futures[:4], 20)
    os.kill(victim, signal.SIGKILL)
    right = sum(
        type(out := pool.outcome(f, 30)) is int and out == i * i for i, f in enumerate(futures)
    )
    text = f"{right} of 40 right"
    usable = pool.is_usable()
    left = len(pool.pids()) if usable else 0
    if usable and left < WORKERS:
        text += f", {left} worker left"
    return Outcome(
        right == 40 and usable and left == WORKERS,
        text + (", usable" if usable else ", NOT usable"),
    )


@fault("SIGSTOP of one worker, 20 s")
def stopped(pool: Faulty) -> Outcome:
    victim = pool.pids()[0]
    os.kill(victim, signal.SIGSTOP)
    try:
        left = pool.wait([pool.submit(_slow, i) for i in range(20)], 20)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGCONT)
    return _after(pool, ok=not left, text=f"{len(left)} of 20 stuck")


def _exit(marks: str) -> None:
    with Path(marks).open("a") as file:
        file.write(".")
    os._exit(3)


@fault("os._exit in a task, 20 others beside it")
def exits(pool: Faulty) -> Outcome:
    marks = Path("exits")
    futures = [pool.submit(_slow, i) for i in range(10)]
    poison = pool.submit(_exit, str(marks.resolve()))
    futures += [pool.submit(_slow, i) for i in range(10, 20)]
    told = pool.outcome(poison, 30)
    right = sum(
        type(out := pool.outcome(f, 10)) is int and out == i * i for i, f in enumerate(futures)
    )
    lives = marks.stat().st_size if marks.exists() else 0
    text = f"{right} of 20 right, {lives} workers lost, {_said(told) if told else 'no word of it'}"
    usable = pool.is_usable()
    left = len(pool.pids()) if usable else 0
    ok = right == 20 and isinstance(told, Exception) and left == WORKERS
    return Outcome(
        ok, f"{text}; {left if usable else 'NOT usable'}{' workers left' if usable else ''}"
    )


@fault("kill -9 of the client, 30 s later")
def client_killed(pool: Faulty) -> Outcome:
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.peers_faults.cell", pool.name, "--wait"],
        stdout=subprocess.PIPE,
    ) as client:
        assert client.stdout is not None
        client.stdout.readline()
        below = descendants(client.pid)
        client.kill()
    end = time.monotonic() + 30
    while any(map(alive, below)) and time.monotonic() < end:
        time.sleep(0.05)
    left = [pid for pid in below if alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return Outcome(not left, f"{len(left)} of {len(below)} processes left")


# What does not travel -----------------------------------------------------------------------


def _lock() -> Any:
    return threading.Lock()


@fault("a result that does not pickle")
def result_unpicklable(pool: Faulty) -> Outcome:
    told = pool.outcome(pool.submit(_lock), 20)
    return _after(pool, ok="lock" in str(told), text=_said(told))


class Picky(Exception):
    """Cannot be made again from its args."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")


def _picky() -> None:
    raise Picky(1, 2)


@fault("an exception that fails when it is unpickled")
def exception_unreadable(pool: Faulty) -> Outcome:
    told = pool.outcome(pool.submit(_picky), 20)
    ok = "Picky" in type(told).__name__ + str(told) and "1 and 2" in str(told)
    return _after(pool, ok=ok, text=_said(told))


class Locked(Exception):
    """Holds a lock."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


def _locked() -> None:
    raise Locked("held")


@fault("an exception that holds a lock")
def exception_locked(pool: Faulty) -> Outcome:
    told = pool.outcome(pool.submit(_locked), 20)
    text = f"{type(told).__name__}: {told}"
    return _after(pool, ok="Locked" in text and "held" in text, text=_said(told))


@fault("a function that closes over a lock")
def closure(pool: Faulty) -> Outcome:
    guard = threading.Lock()

    def guarded() -> bool:
        return guard.locked()

    try:
        told: Any = pool.outcome(pool.submit(guarded), 20)
    except Exception as error:  # noqa: BLE001 - some say so at once
        told = error
    text = f"{type(told).__name__}: {told}"
    return _after(pool, ok="guard'" in text, text=_said(told))


def _deep(n: int) -> int:
    return _deep(n + 1)


@fault("RecursionError in a task")
def recursion(pool: Faulty) -> Outcome:
    told = pool.outcome(pool.submit(_deep, 0), 45)
    ok = "RecursionError" in type(told).__name__ + str(told)[:200]
    return _after(pool, ok=ok, text="pending after 45 s" if told is None else _said(told))


# Data and memory ----------------------------------------------------------------------------


def _mutate(array: Any) -> float:
    with contextlib.suppress(ValueError):  # read-only
        array[0] = 99
    return float(array[0])


def _first(array: Any) -> float:
    return float(array[0])


@fault("a task changes its input, others read it")
def mutation(pool: Faulty) -> Outcome:
    data = pool.share(np.zeros(1 << 18))
    for _ in range(4):
        pool.outcome(pool.submit(_mutate, data), 20)
    seen = {pool.outcome(pool.submit(_first, data), 20) for _ in range(8)}
    return _after(pool, ok=seen == {0.0}, text=f"others see {sorted(map(str, seen))}")


def _eat(nbytes: int) -> int:
    data = [np.ones(50 * _MB, dtype=np.uint8) for _ in range(nbytes // (50 * _MB))]
    time.sleep(1)
    return len(data)


@fault("a task needs 2.4 times the memory there is (1 GB in all)", memory=1000 * _MB)
def memory(pool: Faulty) -> Outcome:
    began = time.monotonic()
    told = pool.outcome(pool.submit(_eat, 2400 * _MB), 60)
    took = time.monotonic() - began
    ok = isinstance(told, Exception)
    text = (
        "it got them"
        if isinstance(told, int)
        else "pending after 60 s"
        if told is None
        else _said(told)
    )
    return _after(pool, ok=ok, text=f"{text}, {took:.0f} s")


def _nothing(i: int) -> None:
    return None


@fault("memory for each pending or held no-op task, of all processes")
def held(pool: Faulty) -> Outcome:
    count = 5000

    def now() -> float:
        return sum(memory_mb(pid)[0] for pid in [os.getpid(), *descendants(os.getpid())])

    pool.wait([pool.submit(_nothing, i) for i in range(count)], 60)  # warm
    before = now()
    futures = [pool.submit(_nothing, i) for i in range(count)]
    most = now()
    left = pool.wait(futures, 60)
    most = max(most, now())
    del futures
    time.sleep(2)
    each, after = (1e3 * (x - before) / count for x in (most, now()))
    return Outcome(
        None,
        f"{each:.1f} kB, {after:.1f} kB 2 s after they were let go"
        + (f", {len(left)} undone" if left else ""),
    )


# Steering and the network -------------------------------------------------------------------


def _spin(folder: str) -> None:
    Path(folder, f"spin-{os.getpid()}-{time.monotonic_ns()}").touch()
    while True:
        pass


@fault("SIGINT, then cancel, of tasks that spin")
def cancelled(pool: Faulty) -> Outcome:
    here = Path.cwd()
    futures = [pool.submit(_spin, str(here)) for _ in range(4)]
    end = time.monotonic() + 20
    while len(list(here.glob("spin-*"))) < WORKERS and time.monotonic() < end:
        time.sleep(0.01)
    threading.Timer(
        0.2, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)
    ).start()
    began = time.monotonic()
    with contextlib.suppress(KeyboardInterrupt):
        pool.result(futures[0])
    prompt = time.monotonic() - began - 0.2
    pool.cancel(futures)
    return _after(pool, ok=prompt < 1, text=f"prompt after {prompt:.1f} s")


@fault("listening TCP sockets of all its processes")
def listeners(pool: Faulty) -> Outcome:
    inodes = set()
    for pid in [os.getpid(), *descendants(os.getpid())]:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.add(str(fd.readlink()))
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                found.append(fields[1])
    return Outcome(not found, f"{len(found)}")


def _threads() -> int:
    import threadpoolctl

    np.ones((2, 2)) @ np.ones((2, 2))
    return max((pool["num_threads"] for pool in threadpoolctl.threadpool_info()), default=1)


@fault("BLAS threads in each of the workers")
def blas(pool: Faulty) -> Outcome:
    each = pool.outcome(pool.submit(_threads), 30)
    cores = len(os.sched_getaffinity(0))
    return Outcome(isinstance(each, int) and each * WORKERS <= cores, f"{each}, of {cores} cores")
