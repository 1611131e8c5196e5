"""A large array that a worker reads where it lies: its first element, and its sum.

``first_ms`` is the whole way of a call there and back, in a worker that has not seen the array: more
than mapping takes, and far less than reading would. ``sum_ratio`` is the least time of a sum after the first,
divided by the least of NumPy's own over a copy in the same process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.pools import noop, start
from benchmarks.registry import Gate, Inputs, Measured, peer, workload

_REPEATED = 9


@workload(
    "huge_array",
    reference="nbscale",
    measure="first_ms",
    options={"mb": 1024},
    gates=[
        Gate("first_ms", "nbscale", None, limit=1.0, allowance=5.0),
        Gate("sum_ratio", "nbscale", None, limit=1.1, allowance=1.0),
    ],
)
def huge_array(value: float) -> dict[str, float]:
    """An array of a gigabyte: its first element in a worker, and a sum that is as quick as NumPy's own."""
    return {"right": value}


def first(array: Any) -> float:
    """Give the first element."""
    return float(array[0])


def sums(array: Any) -> tuple[float, float, float, float]:
    """Give the sum, the seconds of the first, and the least of later ones, here and over a copy."""
    began = time.perf_counter()
    total = float(array.sum())
    cold = time.perf_counter() - began
    copy = array.copy()
    shared, own = [], []
    # In turn: the machine drifts.
    for _ in range(_REPEATED):
        for source, seconds in ((array, shared), (copy, own)):
            began = time.perf_counter()
            source.sum()
            seconds.append(time.perf_counter() - began)
    return total, cold, min(shared), min(own)


@peer("huge_array", "nbscale")
def _nbscale(inputs: Inputs) -> Callable[[], Measured]:
    import numpy as np

    ns = start("nbscale").home
    n = (inputs["mb"] << 20) // 8
    array = np.ones(n)
    array[0] = 7.0
    small = ns.put(np.ones(100_000))
    ns.submit(first, small).result()  # the function is known from then on

    def run() -> Measured:
        began = time.perf_counter()
        handle = ns.put(array)
        put = time.perf_counter() - began
        ns.submit(noop).result()
        began = time.perf_counter()
        value = ns.submit(first, handle).result()
        first_ms = (time.perf_counter() - began) * 1e3
        total, cold, shared, own = ns.submit(sums, handle).result()
        return Measured(
            float(value == array[0] and total == n + 6.0),
            {
                "put_s": put,
                "first_ms": first_ms,
                "first_sum_s": cold,
                "sum_s": shared,
                "own_sum_s": own,
                "sum_ratio": shared / own,
            },
        )

    return run
