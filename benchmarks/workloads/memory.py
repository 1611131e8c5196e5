"""Four times as much data as the memory limit, and memory of what waits."""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.pools import WORKERS, noop, start
from benchmarks.registry import Gate, Inputs, Measured, peer, workload

# Data four times the limit -------------------------------------------------------------------------

_JOBS = {
    "sort": "test_sort",
    "group": "test_group_by_keys_of_which_there_are_many",
    "join": "test_join_of_two_large_sides",
    "learn": "test_a_model_that_learns_part_by_part",
}

_MOST = 1.15


@workload(
    "four_times",
    reference="nbscale",
    options={"scale": 4},
    gates=[Gate(f"{job}_share", "nbscale", None, limit=1.0, allowance=_MOST) for job in _JOBS],
)
def four_times(_value: Any) -> dict[str, float]:
    """A sort, a group-by of many keys, a join and a model that learns, on four times the limit.

    The limit is 256 MB times the scale. A share is the most memory that workers and values took over
    the idle pool, in parts of the limit; a worker that is killed fails the run.
    """
    return {}


@peer("four_times", "nbscale")
def _four_times(inputs: Inputs) -> Callable[[], Measured]:
    import os
    import subprocess
    import sys
    import xml.etree.ElementTree as ET

    report = Path("report.xml").absolute()
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}"]

    def run() -> Measured:
        done = subprocess.run(
            [*command, "tests/engines/local/test_four_times.py"],
            cwd=Path(__file__).parents[2],  # each measurement has a folder of its own
            env=os.environ | {"NBSCALE_MEMORY_SCALE": str(inputs["scale"])},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise AssertionError(done.stdout[-3000:])
        measures = {}
        cases = {case.get("name"): case for case in ET.parse(report).iter("testcase")}
        for job, test in _JOBS.items():
            case = cases[test]
            found = {p.get("name"): p.get("value") for p in case.iter("property")}
            measures[f"{job}_share"] = float(found["share_of_limit"] or "nan")
            measures[f"{job}_s"] = float(case.get("time") or "nan")
        return Measured(None, measures)

    return run


# What waits ----------------------------------------------------------------------------------------


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
        return _in_a_thread(ns.delayed(len)([ns.delayed(noop)() for _ in range(n)]))

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


# A gibibyte ----------------------------------------------------------------------------------------


@workload(
    "huge_array",
    reference="nbscale",
    measure="first_s",
    options={"mib": 1024},
    gates=[
        Gate("first_s", "nbscale", None, limit=1.0, allowance=0.005),
        Gate("second_to_warm", "nbscale", None, limit=1.0, allowance=1.1),
    ],
)
def huge_array(value: float) -> dict[str, float]:
    """An array that was put: seconds from the call to its first element, and of its sum in a worker.

    ``warm`` is the sum of an array of the worker's own, at its second time, too.
    """
    return {"total": value}


def first(block: Any) -> float:
    """Its first element."""
    return float(block[0])


def _timed(block: Any) -> float:
    began = time.perf_counter()
    block.sum()
    return time.perf_counter() - began


def sums(block: Any) -> tuple[float, list[float], list[float]]:
    """Its sum; seconds of four sums of it, and of four of an array of this process's own."""
    import numpy as np

    own = np.ones_like(block)
    pairs = [(_timed(block), _timed(own)) for _ in range(4)]
    return float(block.sum()), [pair[0] for pair in pairs], [pair[1] for pair in pairs]


@peer("huge_array", "nbscale")
def _huge(inputs: Inputs) -> Callable[[], Measured]:
    import numpy as np

    import nbscale as ns

    pool = start("nbscale")
    block = np.ones(inputs["mib"] * (1 << 20) // 8)
    pool.gather([pool.submit(first, ns.put(np.ones(8))) for _ in range(8)])

    def run() -> Measured:
        firsts = []
        for _ in range(3):  # each time another array
            there = ns.put(block)
            began = time.perf_counter()
            assert pool.result(pool.submit(first, there)) == 1.0
            firsts.append(time.perf_counter() - began)
        total, shared, own = pool.result(pool.submit(sums, there))
        warm = statistics.median(own[1:])
        return Measured(
            total,
            {
                "first_s": statistics.median(firsts),
                "sum_s": shared[0],
                "second_to_warm": statistics.median(shared[1:]) / warm,
                "warm_s": warm,
            },
        )

    return run
