"""Elementwise work that is limited by memory, not by arithmetic. A first look, without gates."""

from __future__ import annotations

from typing import Any

from benchmarks.registry import Inputs, peer, workload


@workload("array_chain", options={"n": 40_000_000}, reference="numpy", tolerance=0.01)
def array_chain(value: Any) -> dict[str, float]:
    """`(sqrt(x * 2 + 1) - x / 3).sum()` of random numbers, never wanted in memory at once."""
    return {"sum": float(value)}


@peer("array_chain", "numpy")
def _numpy(inputs: Inputs):
    import numpy as np

    def run():
        x = np.random.default_rng(1).random(inputs["n"])
        return (np.sqrt(x * 2 + 1) - x / 3).sum()

    return run


@peer("array_chain", "nbscale")
def _nbscale(inputs: Inputs):
    import numpy as np

    import nbscale.array as na

    def run():
        x = na.random.random((inputs["n"],))
        return (np.sqrt(x * 2 + 1) - x / 3).sum().compute()

    return run


@peer("array_chain", "dask-threads")
def _dask(inputs: Inputs):
    import dask.array as da
    import numpy as np

    def run():
        x = da.random.default_rng(1).random(inputs["n"])
        return (np.sqrt(x * 2 + 1) - x / 3).sum().compute(scheduler="threads")

    return run
