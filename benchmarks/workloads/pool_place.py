"""What a pool of two costs before it does anything: its start, and its memory while it waits."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.pools import POOLS, WORKERS, noop, start, starting
from benchmarks.proctree import descendants, pss_mb
from benchmarks.registry import Gate, Inputs, Measured, peer, workload

_FEW = 2
"""Runs of a peer that no gate asks for."""

_PEERS = ("executor", "loky", "distributed", "ray", "ipyparallel")

# Start --------------------------------------------------------------------------------------------


@workload(
    "pool_start",
    reference="pandas-twice",
    # CPU seconds, for a start that keeps a core busy behind the first result is no quick one.
    gates=[Gate("cpu_s", "nbscale", "pandas-twice", limit=1.0, allowance=0.5)],
)
def pool_start(value: Any) -> dict[str, float]:
    """From pandas not yet imported to the first result of a cold pool."""
    return {"none": float(value is None)}


@peer("pool_start", "pandas-twice")
def _twice(_inputs: Inputs) -> Callable[[], None]:
    # Here as in the kernel, and in a fresh process as in the one that workers are forked from.
    def run() -> None:
        importlib.import_module("pandas")
        subprocess.run([sys.executable, "-c", "import pandas"], check=True)

    return run


def _start(name: str) -> Callable[[Inputs], Callable[[], None]]:
    def prepare(_inputs: Inputs) -> Callable[[], None]:
        def run() -> None:
            importlib.import_module("pandas")
            with starting(name):
                pool = POOLS[name]()
                found: None = pool.result(pool.submit(noop))
            return found

        return run

    return prepare


# Waiting ------------------------------------------------------------------------------------------


@workload(
    "pool_idle",
    reference="nbscale-pandas",
    measure="idle_mb",
    gates=[
        Gate("idle_mb", "nbscale-pandas", None, limit=1.0, allowance=150.0),
        Gate("idle_mb", "nbscale-sklearn", None, limit=1.0, allowance=250.0),
    ],
)
def pool_idle(value: Any) -> dict[str, float]:
    """Proportional memory of a pool that has done a few calls, above the kernel's before it.

    ``loaded_mb`` is the same once the workers have imported what the kernel has.
    """
    return {"calls": float(value)}


def load(module: str) -> str:
    """Import a module in a worker, and take so long that every worker is given some calls."""
    importlib.import_module(module)
    time.sleep(0.1)
    return module


_CALLS = 8 * WORKERS
_SETTLED = 1.0
"""Seconds in which a pool comes to rest after its last call."""


def _held_mb() -> float:
    time.sleep(_SETTLED)
    return sum(pss_mb(pid) for pid in (os.getpid(), *descendants(os.getpid())))


def _idle(name: str, module: str) -> Callable[[Inputs], Callable[[], Measured]]:
    def prepare(_inputs: Inputs) -> Callable[[], Measured]:
        importlib.import_module(module)

        def run() -> Measured:
            # Alone, so that no page is shared with the pool yet.
            kernel = pss_mb(os.getpid())
            pool = start(name)
            idle = _held_mb() - kernel
            loaded = pool.gather([pool.submit(load, module) for _ in range(_CALLS)])
            return Measured(
                sum(found == module for found in loaded),
                {"idle_mb": idle, "loaded_mb": _held_mb() - kernel},
            )

        return run

    return prepare


peer("pool_start", "nbscale")(_start("nbscale"))
peer("pool_idle", "nbscale-pandas")(_idle("nbscale", "pandas"))
peer("pool_idle", "nbscale-sklearn")(_idle("nbscale", "sklearn.ensemble"))
for _name in _PEERS:
    peer("pool_start", _name, most=_FEW)(_start(_name))
    peer("pool_idle", f"{_name}-pandas", most=_FEW)(_idle(_name, "pandas"))
