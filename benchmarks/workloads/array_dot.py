"""A matrix product and a mean taken from it: arithmetic that NumPy does nearly at full speed."""

from __future__ import annotations

from typing import Any

from benchmarks.registry import Gate, Inputs, peer, workload


@workload(
    "array_dot",
    options={"n": 6000},
    reference="numpy",
    tolerance=0.01,  # each peer draws its own numbers, so only their means agree
    gates=[Gate("wall_s", "nbscale", "numpy", limit=1.15)],
)
def array_dot(value: Any) -> dict[str, float]:
    """`x = random((n, n)); x.dot(x.T) - x.mean(axis=0)`, the whole result in memory."""
    return {"rows": value.shape[0], "columns": value.shape[1], "mean": float(value.mean())}


@peer("array_dot", "numpy")
def _numpy(inputs: Inputs):
    import numpy as np

    def run():
        x = np.random.default_rng(1).random((inputs["n"], inputs["n"]))
        return x.dot(x.T) - x.mean(axis=0)

    return run


@peer("array_dot", "nbscale")
def _nbscale(inputs: Inputs):
    import nbscale.array as na

    def run():
        x = na.random.random((inputs["n"], inputs["n"]))
        return (x.dot(x.T) - x.mean(axis=0)).compute()

    return run


@peer("array_dot", "dask-threads")
def _dask(inputs: Inputs):
    import dask.array as da

    def run():
        x = da.random.default_rng(1).random((inputs["n"], inputs["n"]))
        return (x.dot(x.T) - x.mean(axis=0)).compute(scheduler="threads")

    return run
