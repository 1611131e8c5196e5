"""Random jobs on a pool to which something happens every three seconds: nothing may be wrong or pile up."""

# ruff: noqa: SLF001 - it does to a pool what nobody else may
from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import os
import random
import secrets
import signal
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.proctree import memory_mb
from benchmarks.registry import Inputs, Measured, peer, workload
from benchmarks.workloads.soak import check_array, check_frame

_EVERY = 3.0
"""Seconds between faults."""

_HANGS = 60.0
"""Seconds after which a job is taken to hang: the stacks are shown and the process ends."""

_MOST = {"rss_mb": 40.0, "files": 4.0, "threads": 0.0, "children": 0.0}
"""How far the median of the second half may lie above that of the first."""


@workload("faults_soak", options={"seconds": 20}, reference="nbscale")
def faults_soak(_value: Any) -> dict[str, float]:
    """Random jobs for some seconds, a fault every three; each answer is right, nothing piles up."""
    return {}


class _Injector(threading.Thread):
    """Does something bad to the pool every three seconds, which by a seed.

    Attributes
    ----------
    done
        How often each fault was injected.
    begun
        When the last ones were.
    """

    def __init__(self, seed: int, driver: Callable[[], Any]) -> None:
        super().__init__(name="faults", daemon=True)
        self._chance = random.Random(seed)
        self._driver = driver
        self._over = threading.Event()
        self.done: Counter[str] = Counter()
        self.begun: list[float] = []
        self.error: BaseException | None = None
        self.wants: list[str] = []  # what the main thread is to do
        self.stopped: dict[int, float] = {}  # pidfds of frozen processes, and when they go on

    def run(self) -> None:
        faults = [
            self.kill, self.kill_all, self.freeze, self.kill_zygote, self.spoil, self.stranger,
        ]  # fmt: skip
        asked = ["crash", "interrupt", "cancel"]
        try:
            while not self._over.wait(_EVERY / 6):
                self._thaw(time.monotonic())
                if self.begun and time.monotonic() - self.begun[-1] < _EVERY:
                    continue
                which = self._chance.randrange(len(faults) + len(asked))
                self.begun.append(time.monotonic())
                if which < len(faults):
                    if faults[which]():
                        self.done[faults[which].__name__] += 1
                else:
                    self.wants.append(asked[which - len(faults)])
        except BaseException as error:  # noqa: BLE001 - raised by who waits for this thread
            self.error = error
        finally:
            self._thaw(float("inf"))

    def stop(self) -> None:
        """End, and let what is frozen go on."""
        self._over.set()
        self.join()
        if self.error is not None:
            raise self.error

    def _workers(self) -> list[int]:
        pool = self._driver().pool
        return [worker.pid for worker in list(pool._workers.values()) if worker.ready]

    def kill(self) -> bool:
        """End a worker."""
        pids = self._workers()
        return bool(pids) and _signal(self._chance.choice(pids), signal.SIGKILL)

    def kill_all(self) -> bool:
        """End all workers at once."""
        return any([_signal(pid, signal.SIGKILL) for pid in self._workers()])  # noqa: C419 - all

    def kill_zygote(self) -> bool:
        """End the process that workers are forked from."""
        server = self._driver().pool._server
        return server is not None and _signal(server.pid, signal.SIGKILL)

    def freeze(self) -> bool:
        """Stop a worker for some seconds."""
        pids = self._workers()
        if not pids:
            return False
        pid = self._chance.choice(pids)
        with contextlib.suppress(OSError):
            fd = os.pidfd_open(pid)
            self.stopped[fd] = time.monotonic() + self._chance.uniform(0.1, 8)
            signal.pidfd_send_signal(fd, signal.SIGSTOP)
        return True

    def _thaw(self, now: float) -> None:
        for fd, end in list(self.stopped.items()):
            if end <= now:
                with contextlib.suppress(OSError):
                    signal.pidfd_send_signal(fd, signal.SIGCONT)
                os.close(fd)
                del self.stopped[fd]

    def spoil(self) -> bool:
        """Change a bit of the next frame from a worker."""
        driver, at = self._driver(), self._chance.random()

        def patch() -> None:
            pool = driver.pool
            if pool._socket is not None and not isinstance(pool._socket, _Spoiling):
                pool._socket = _Spoiling(pool, pool._socket, at)

        driver._loop.post(patch)
        return True

    def stranger(self) -> bool:
        """Send frames that nobody has sealed."""
        import zmq

        pool = self._driver().pool
        if pool._socket is None:
            return False
        with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
            socket.setsockopt(zmq.LINGER, 100)
            socket.connect(pool._endpoint)
            for _ in range(50):
                socket.send(secrets.token_bytes(self._chance.randrange(1, 300)))
        return True


class _Spoiling:
    """In the place of a pool's socket until it has changed one frame."""

    def __init__(self, pool: Any, socket: Any, at: float) -> None:
        self._pool, self._socket, self._at = pool, socket, at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def recv_multipart(self, flags: int) -> list[bytes]:
        name, frame = self._socket.recv_multipart(flags)
        if self._pool._socket is self:
            self._pool._socket = self._socket
        at = int(self._at * len(frame))
        return [name, frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]]


def _signal(pid: int, what: signal.Signals) -> bool:
    try:
        os.kill(pid, what)
    except ProcessLookupError:
        return False
    return True


def _square(number: int) -> int:
    return number * number


def _crashing(number: int, how: int) -> int:
    if how == 0:
        os._exit(3)
    if how == 1:
        os.abort()
    if how == 2:
        ctypes.string_at(0)
    return number


def _noting(path: str, number: int) -> int:
    with Path(path).open("a") as file:
        file.write(f"{number}\n")
    return number


def _spinning() -> None:
    while True:
        time.sleep(0.01)


class _Soak:
    """What runs jobs in the main thread, and what it counts."""

    def __init__(self, seed: int, folder: str) -> None:
        import numpy as np

        from nbscale import session

        self.rng: Any = np.random.default_rng(seed)
        self._chance = random.Random(seed)
        self.engine: Any = session.current().engine("local")
        self.injector = _Injector(seed, lambda: self.engine._driver)
        self.calls = str(Path(folder) / "calls")
        Path(self.calls).touch()
        self.numbers = 0
        self._interruptible = False
        signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, *_: object) -> None:
        # One that comes when a job is over is for nobody, as at a prompt.
        if self._interruptible:
            self._interruptible = False
            raise KeyboardInterrupt

    # Jobs -----------------------------------------------------------------------------------

    def frame(self) -> None:
        check_frame(self.rng, "local")

    def array(self) -> None:
        check_array(self.rng, "local")

    def futures(self) -> None:
        """Calls that may be made again."""
        import nbscale as ns

        n = int(self.rng.integers(1, 300))
        assert ns.gather(ns.map(_square, range(n))) == [k * k for k in range(n)]

    def once(self) -> None:
        """Calls that may not."""
        import nbscale as ns
        from nbscale.errors import WorkerLost

        first, self.numbers = self.numbers, self.numbers + int(self.rng.integers(1, 40))
        numbers = range(first, self.numbers)
        calls = [ns.submit(_noting, self.calls, k, once=True) for k in numbers]
        for number, call in zip(numbers, calls, strict=True):
            error = call.exception()
            assert call.result() == number if error is None else isinstance(error, WorkerLost)

    def crash(self) -> None:
        """A call that kills its worker, among others."""
        import nbscale as ns
        from nbscale.errors import WorkerLost

        bad, how = self._chance.randrange(20), self._chance.randrange(3)
        calls = [ns.submit(_crashing, k, how if k == bad else -1) for k in range(20)]
        for number, call in enumerate(calls):
            if number == bad:
                assert isinstance(call.exception(), WorkerLost)
            else:
                assert call.result() == number

    def cancel(self) -> None:
        """Calls that have no end and are given up, among others."""
        import nbscale as ns

        endless = [ns.submit(_spinning) for _ in range(self._chance.randrange(1, 5))]
        with contextlib.suppress(TimeoutError):  # calls of one batch are stopped together only
            endless[-1].exception(0.01)
        calls = ns.map(_square, range(20))
        time.sleep(self._chance.uniform(0, 0.3))
        ns.cancel(endless)
        assert ns.gather(calls) == [k * k for k in range(20)]
        assert all(call.cancelled() for call in endless)

    def interrupt(self) -> None:
        """A job that is interrupted, and another behind it."""
        delay = self._chance.uniform(0, 0.3)
        timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        self._interruptible = True
        try:
            for _ in range(4):
                self._chance.choice([self.frame, self.array, self.futures])()
        except KeyboardInterrupt:
            pass
        finally:
            self._interruptible = False
        timer.join()
        self.futures()

    def next(self) -> str:
        """Run a job, what was asked for first; return its name."""
        from nbscale.errors import WorkerLost

        name = self._chance.choices(["frame", "array", "futures", "once"], [5, 2, 2, 1])[0]
        if self.injector.wants:
            name = self.injector.wants.pop(0)
            self.injector.done[name] += 1
        faulthandler.dump_traceback_later(_HANGS, exit=True)
        begun = time.monotonic()
        try:
            getattr(self, name)()
        except WorkerLost:
            # What two workers were lost with is given up: only if two faults came meanwhile.
            if sum(when >= begun - 1 for when in self.injector.begun) < 2:
                raise
            name = "lost twice"
        finally:
            faulthandler.cancel_dump_traceback_later()
        return name

    # What is held ---------------------------------------------------------------------------

    def held(self) -> dict[str, float]:
        """What this process holds, when the pool is whole."""
        self._settle()
        gc.collect()
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return {
            "rss_mb": memory_mb(os.getpid())[0],
            "threads": len(list(Path("/proc/self/task").iterdir())),
            "files": len(list(Path("/proc/self/fd").iterdir())) - len(self.injector.stopped),
            "children": len(children),
        }

    def _settle(self) -> None:
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            driver = self.engine._driver
            workers = list(driver.pool._workers.values())
            if len(workers) == 2 and all(w.ready and not w.doomed for w in workers):
                return
            time.sleep(0.02)


def _grown(samples: list[dict[str, float]]) -> dict[str, float]:
    """By how much the median of the second half lies above that of the first, what is warm only."""
    warm = samples[len(samples) // 5 :]
    half = len(warm) // 2
    first, second = warm[:half], warm[half:]
    return {
        name: statistics.median(s[name] for s in second) - statistics.median(s[name] for s in first)
        for name in _MOST
    }


@peer("faults_soak", "nbscale")
def _nbscale(inputs: Inputs) -> Callable[[], Measured]:
    from nbscale import config

    config.set(n_workers=2)
    seed = int(inputs["round"])

    def run() -> Measured:
        with tempfile.TemporaryDirectory() as folder:
            soak = _Soak(seed, folder)
            for _ in range(3):
                soak.next()  # the pool is there before anything happens to it
            soak.injector.start()
            ends = time.monotonic() + inputs["seconds"]
            looked = time.monotonic()
            samples: list[dict[str, float]] = []
            jobs: Counter[str] = Counter()
            try:
                while time.monotonic() < ends:
                    try:
                        jobs[soak.next()] += 1
                    except Exception as error:
                        faults = dict(soak.injector.done)
                        error.add_note(f"after {dict(jobs)} and {faults} of round {seed}")
                        raise
                    if time.monotonic() - looked > 2:
                        samples.append(soak.held())
                        looked = time.monotonic()
            finally:
                soak.injector.stop()
            soak.futures()
            noted = Counter(Path(soak.calls).read_text().split())
            twice = [number for number, count in noted.items() if count > 1]
            assert not twice, f"calls that are made once were made twice: {twice}"
        grown = _grown(samples)
        wrong = {name: more for name, more in grown.items() if more > _MOST[name]}
        trail = {name: [round(s[name]) for s in samples] for name in wrong}
        assert not wrong, f"grown: {wrong}: {trail}"
        found = {f"{name}_grown": more for name, more in grown.items()}
        found |= {f"fault_{name}": float(count) for name, count in soak.injector.done.items()}
        return Measured(
            None,
            {
                "jobs": sum(jobs.values()),
                "faults": soak.injector.done.total(),
                "lost_twice": jobs["lost twice"],
                "samples": len(samples),
                **found,
            },
        )

    return run
