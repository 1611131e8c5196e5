"""What a run with one worker takes, beside what a recording of one with two says it would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.registry import Gate, Inputs, Measured, peer, workload

_WORK = ("groupby", "sort", "calls", "arrays", "function")

_FURTHEST = 0.15
"""How far a prediction may be from the run, in parts of the run."""


@workload(
    "what_if",
    options={"rows": 4_000_000},
    reference="nbscale",
    gates=[Gate(f"off_{name}", "nbscale", None, limit=1.0, allowance=_FURTHEST) for name in _WORK],
)
def what_if(_value: Any) -> dict[str, float]:
    """Five runs with two workers, each predicted for one, and the same with one worker."""
    return {}


def _spin(n: int) -> int:
    total = 0
    for value in range(n):
        total += value * value
    return total


def _some(part: Any) -> Any:
    return part[part["value"].map(lambda value: value > 0.25)]


def _lazy(name: str, frame: Any) -> Any:
    """One of the five results; each call makes it anew, so that nothing is known of it."""
    import nbscale as ns
    import nbscale.array as na
    import nbscale.dataframe as nd

    df = nd.from_pandas(frame, npartitions=32)
    match name:
        case "groupby":
            return df.assign(twice=df["value"] * 2).groupby("id")["twice"].mean()
        case "sort":
            return df.sort_values("value")["value"].sum()
        case "function":
            return df.map_partitions(_some)["value"].mean()
        case "arrays":
            n = max(64, int(len(frame) ** 0.5) * 2)
            a = na.random.default_rng(1).random((n, n), chunks=(n // 4, n // 4))
            return (a @ a).sum()
        case _:
            n = len(frame) // 10
            return ns.delayed(sum)([ns.delayed(_spin)(n + n // 8 * (i % 7)) for i in range(40)])


@peer("what_if", "nbscale")
def _nbscale(inputs: Inputs) -> Callable[[], Measured]:
    import numpy as np
    import pandas as pd

    import nbscale as ns

    rng = np.random.default_rng(0)
    rows = inputs["rows"]
    frame = pd.DataFrame({"id": rng.integers(0, 1000, rows), "value": rng.random(rows)})

    def best(name: str, workers: int) -> Any:
        """The quickest of some runs, which was disturbed the least."""
        runs = []
        with ns.config.set(n_workers=workers):
            for _ in range(4):  # the first one starts the workers
                _lazy(name, frame).compute(engine="local")
                runs.append(ns.runs()[-1])
        return min(runs[1:], key=lambda run: run.recording.ended - run.recording.began)

    def run() -> Measured:
        two = {name: best(name, 2) for name in _WORK}
        one = {name: best(name, 1) for name in _WORK}
        measures = {}
        for name in _WORK:
            predicted = two[name].what_if(workers=1).seconds
            real = one[name].recording.ended - one[name].recording.began
            measures[f"real_{name}_s"] = real
            measures[f"predicted_{name}_s"] = predicted
            measures[f"off_{name}"] = abs(predicted / real - 1)
        return Measured(None, measures)

    return run
