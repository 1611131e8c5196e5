"""A large array to a worker and back.

Sent means: a worker has looked at every page of it. Where pages are shared that is when they are
mapped, and where they are copied it costs next to nothing, so that nobody is timed for a promise.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.pools import WORKERS, start, starting
from benchmarks.registry import Gate, Inputs, Measured, Missing, peer, workload

_FEW = 2
"""Runs of a peer that no gate asks for: some take half a minute."""

_AGAIN = 3
"""Times that it is sent and fetched after the first, whose memory was fresh."""

_PAGE = 4096 // 8
_MB = 250
_RATE = 3e9
_BEST = 0.9


@workload(
    "pool_bytes",
    reference="ray",
    measure="send_s",
    options={"mb": _MB},
    gates=[
        # The best peer by far: the others copy through a pipe, a socket or fresh pages.
        Gate("send_s", "nbscale-put", "ray", limit=1 / _BEST),
        # The copy into memory that was used before; that a worker maps it comes on top.
        Gate("put_s", "nbscale-put", None, limit=1.0, allowance=_MB * 1e6 / _RATE),
    ],
)
def pool_bytes(value: tuple[float, float]) -> dict[str, float]:
    """An array sent to a worker and another fetched, again and again: median seconds of each."""
    sent, fetched = value
    return {"sent": sent, "fetched": fetched}


def look(block: Any) -> float:
    """Give the sum of one number a page."""
    return float(block[::_PAGE].sum())


@functools.cache
def _kept(mb: int) -> Any:
    import numpy as np

    return np.ones(mb * 10**6 // 8)


def fetch(mb: int) -> Any:
    """Give an array that the worker has: making it is not timed."""
    return _kept(mb)


def make(mb: int) -> int:
    """Have the worker make it, and take so long that every worker does."""
    _kept(mb)
    time.sleep(0.1)
    return mb


Send = Callable[[Any], tuple[float, float | None]]
"""Sends an array: what was seen of it there, and the seconds of its putting where there is one."""


def _measured(inputs: Inputs, send: Send, fetched: Callable[[], Any]) -> Callable[[], Measured]:
    import numpy as np

    block = np.arange(inputs["mb"] * 10**6 // 8, dtype=float)

    def run() -> Measured:
        sends: list[float] = []
        puts: list[float | None] = []
        gathers: list[float] = []
        sent = fetched_back = 0.0
        for number in range(1 + _AGAIN):
            block[0] = number  # so that nobody can send what was sent before
            began = time.perf_counter()
            seen, put = send(block)
            sends.append(time.perf_counter() - began)
            puts.append(put)
            began = time.perf_counter()
            back = fetched()
            found = look(back)
            gathers.append(time.perf_counter() - began)
            del back
            sent, fetched_back = sent + seen, fetched_back + found
            # Memory given back is told of by messages, which are not part of the next sending.
            time.sleep(0.1)
        again = statistics.median(sends[1:])
        measures = {
            "send_s": again,
            "send_gb_s": block.nbytes / again / 1e9,
            "first_send_s": sends[0],
            "gather_s": statistics.median(gathers[1:]),
        }
        recycled = [seconds for seconds in puts[1:] if seconds is not None]
        if recycled:
            measures["put_s"] = statistics.median(recycled)
        return Measured((sent, fetched_back), measures)

    return run


def _prime(pool: Any, mb: int) -> Any:
    pool.gather([pool.submit(make, mb) for _ in range(4 * WORKERS)])
    return pool


def _by_argument(name: str) -> Callable[[Inputs], Callable[[], Measured]]:
    """The array as an argument of the call, the other as its result."""

    def prepare(inputs: Inputs) -> Callable[[], Measured]:
        pool = _prime(start(name), inputs["mb"])

        def send(block: Any) -> tuple[float, None]:
            return pool.result(pool.submit(look, block)), None

        return _measured(inputs, send, lambda: pool.result(pool.submit(fetch, inputs["mb"])))

    return prepare


def _by_put(
    name: str, put_of: Callable[[Any], Callable[[Any], Any]]
) -> Callable[[Inputs], Callable[[], Measured]]:
    """The array put where workers read it, and a call that is given what stands for it."""

    def prepare(inputs: Inputs) -> Callable[[], Measured]:
        pool = _prime(start(name), inputs["mb"])
        put = put_of(pool.home)

        def send(block: Any) -> tuple[float, float]:
            began = time.perf_counter()
            there = put(block)
            seconds = time.perf_counter() - began
            return pool.result(pool.submit(look, there)), seconds

        return _measured(inputs, send, lambda: pool.result(pool.submit(fetch, inputs["mb"])))

    return prepare


def _put_of_nbscale(ns: Any) -> Callable[[Any], Any]:
    found: Callable[[Any], Any] | None = getattr(ns, "put", None)
    if found is None:
        msg = "this nbscale has no put"
        raise Missing(msg)
    return found


def _joblib(inputs: Inputs) -> Callable[[], Measured]:
    from joblib import Parallel, delayed

    def call(function: Callable[..., Any], argument: Any, times: int = 1) -> list[Any]:
        made: list[Any] = Parallel(n_jobs=WORKERS)(
            delayed(function)(argument) for _ in range(times)
        )
        return made

    with starting("joblib"):
        call(make, inputs["mb"], 4 * WORKERS)

    def send(block: Any) -> tuple[float, None]:
        return call(look, block)[0], None

    return _measured(inputs, send, lambda: call(fetch, inputs["mb"])[0])


peer("pool_bytes", "nbscale-put")(_by_put("nbscale", _put_of_nbscale))
peer("pool_bytes", "ray")(_by_put("ray", lambda ray: ray.put))
peer("pool_bytes", "joblib-memmap", most=_FEW)(_joblib)
peer("pool_bytes", "nbscale", most=_FEW)(_by_argument("nbscale"))
peer("pool_bytes", "distributed-scatter", most=_FEW)(
    # Straight to a worker, and under a name that does not take reading the whole array.
    _by_put("distributed", lambda c: functools.partial(c.scatter, direct=True, hash=False))
)
peer("pool_bytes", "ipyparallel", most=_FEW)(_by_argument("ipyparallel"))
peer("pool_bytes", "executor", most=_FEW)(_by_argument("executor"))
