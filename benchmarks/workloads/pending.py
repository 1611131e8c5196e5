"""What the kernel holds for each task that waits."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.pools import WORKERS, noop, start
from benchmarks.registry import Gate, Inputs, Measured, peer, workload


@workload(
    "pending",
    reference="nbscale-submit",
    measure="kb_pending",
    options={"n": 100_000},
    gates=[
        Gate(f"kb_{when}", f"nbscale-{face}", None, limit=1.0, allowance=1.0)
        for face in ("map", "delayed", "submit")
        for when in ("pending", "left")
    ],
)
def pending(value: int) -> dict[str, float]:
    """Memory of the kernel for each task that waits, in kB, and what is left of it afterwards."""
    return {"done": value}


def hold(path: str) -> None:
    """Take a worker until a file is there."""
    while not Path(path).exists():
        time.sleep(0.01)


def _in_use() -> int:
    from nbscale.testing.leaks import allocated

    gc.collect()
    return allocated()


def _until_at_rest() -> None:
    """Wait until the kernel has planned and handed over: what it does that with is no task's."""
    spent = -1.0
    while (now := time.process_time()) - spent > 0.1:
        spent = now
        time.sleep(1)


def _held(inputs: Inputs, begin: Callable[[int], Callable[[], int]]) -> Callable[[], Measured]:
    """``begin`` hands so many tasks over, and what it returns waits for them and counts them."""
    pool = start("nbscale")
    gate = Path("go").absolute()
    begin(1000)()

    def run() -> Measured:
        n = inputs["n"]
        gate.unlink(missing_ok=True)
        holding = [pool.submit(hold, str(gate)) for _ in range(4 * WORKERS)]
        time.sleep(1)  # until they are there, and more is not given out
        before = _in_use()
        wait = begin(n)
        _until_at_rest()
        waiting = _in_use()
        gate.touch()
        done = wait()
        pool.gather(holding)
        del wait
        end = time.monotonic() + 5
        while (left := _in_use() - before) > 0 and time.monotonic() < end:
            time.sleep(0.1)
        return Measured(
            done, {"kb_pending": (waiting - before) / n / 1e3, "kb_left": max(0, left) / n / 1e3}
        )

    return run


@peer("pending", "nbscale-submit")
def _submit(inputs: Inputs) -> Callable[[], Measured]:
    import nbscale as ns

    def begin(n: int) -> Callable[[], int]:
        made = [ns.submit(noop) for _ in range(n)]

        def wait() -> int:
            done = len(ns.gather(made))
            made.clear()
            return done

        return wait

    return _held(inputs, begin)


@peer("pending", "nbscale-delayed")
def _delayed(inputs: Inputs) -> Callable[[], Measured]:
    import nbscale as ns

    def begin(n: int) -> Callable[[], int]:
        lazy = ns.delayed(noop)
        return _in_a_thread(ns.delayed(len)([lazy() for _ in range(n)]))

    return _held(inputs, begin)


@peer("pending", "nbscale-map")
def _map(inputs: Inputs) -> Callable[[], Measured]:
    import numpy as np

    import nbscale.array as na

    def begin(n: int) -> Callable[[], int]:
        x = na.zeros(n, chunks=1, dtype=np.int8).map_blocks(_plus, dtype=np.int8)
        return _in_a_thread(x.sum(), n)

    return _held(inputs, begin)


def _plus(block: Any) -> Any:
    return block + 1


def _in_a_thread(lazy: Any, n: int | None = None) -> Callable[[], int]:
    found: list[Any] = []

    def work() -> None:
        found.append(int(lazy.compute(engine="local")))

    thread = threading.Thread(target=work)
    thread.start()

    def wait() -> int:
        thread.join()
        assert n is None or found[0] == n
        return int(found[0])

    return wait
