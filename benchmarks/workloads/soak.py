"""Random jobs, one after another in one process: answers must stay right and nothing pile up."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.proctree import memory_mb
from benchmarks.registry import Inputs, Measured, peer, workload

_MOST_GROWN_MB = 100
"""What the allocator may keep after the first third: a leak of a frame a job is far beyond it."""


@workload("soak", options={"seconds": 20}, reference="nbscale")
def soak(_value: Any) -> dict[str, float]:
    """Random jobs on frames and arrays for some seconds, each answer compared with pandas'."""
    return {}


def _frame(rng: Any) -> Any:
    import numpy as np
    import pandas as pd

    rows = int(rng.integers(0, 200_000))
    values = rng.normal(size=rows)
    values[rng.random(rows) < 0.1] = np.nan
    return pd.DataFrame(
        {
            "name": np.array(["a", "b", "c", "d", "e"])[rng.integers(0, 5, rows)],
            "id": rng.integers(0, 1000, rows),
            "value": values,
        }
    )


def _sum(df: Any) -> Any:
    return df["value"].sum()


def _filter(df: Any) -> Any:
    return df[df["value"] > 0.5]


def _groupby_mean(df: Any) -> Any:
    return df.groupby("name")["value"].mean()


def _groupby_id(df: Any) -> Any:
    return df.groupby("id")["value"].sum()


def _columns(df: Any) -> Any:
    return df.assign(twice=df["value"] * 2)[["id", "twice"]]


def _cumsum(df: Any) -> Any:
    return df["id"].cumsum()


def _sort(df: Any) -> Any:
    return df.sort_values(["id", "value"])


_JOBS: tuple[Callable[[Any], Any], ...] = (
    _sum, _filter, _groupby_mean, _groupby_id, _columns, _cumsum, _sort,
)  # fmt: skip


def check_frame(rng: Any, engine: str) -> None:
    import pandas as pd

    import nbscale.dataframe as nd

    df = _frame(rng)
    job = _JOBS[int(rng.integers(len(_JOBS)))]
    parts = int(rng.integers(1, 40))
    found = job(nd.from_pandas(df, npartitions=parts)).compute(engine=engine)
    expected = job(df)
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected)
    elif isinstance(expected, pd.Series):
        pd.testing.assert_series_equal(found, expected)
    else:
        assert abs(found - expected) <= 1e-9 * len(df), f"{job.__name__}: {found} != {expected}"


def check_array(rng: Any, engine: str) -> None:
    import numpy as np

    import nbscale.array as na

    shape = tuple(int(n) for n in rng.integers(1, 600, 2))
    chunks = tuple(int(rng.integers(max(1, n // 8), n + 1)) for n in shape)
    plain = rng.normal(size=shape)
    lazy = na.from_array(plain, chunks=chunks)
    axis = int(rng.integers(2))
    found = (lazy.dot(lazy.T) - lazy.mean(axis=1) + lazy.sum(axis=axis)[0]).compute(engine=engine)
    expected = plain.dot(plain.T) - plain.mean(axis=1) + plain.sum(axis=axis)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def _held() -> dict[str, float]:
    gc.collect()
    return {
        "rss_mb": memory_mb(os.getpid())[0],
        "threads": threading.active_count(),
        "files": len(list(Path("/proc/self/fd").iterdir())),
    }


@peer("soak", "nbscale")
def _nbscale(inputs: Inputs) -> Callable[[], Measured]:
    import numpy as np

    def run() -> Measured:
        rng = np.random.default_rng(inputs["round"])
        ends = time.monotonic() + inputs["seconds"]
        settled = time.monotonic() + inputs["seconds"] / 3
        first: dict[str, float] | None = None
        jobs = 0
        while (now := time.monotonic()) < ends:
            if first is None and now >= settled:
                first = _held()
            engine = ("inline", "threads")[int(rng.integers(2))]
            try:
                (check_array if rng.random() < 0.3 else check_frame)(rng, engine)
            except Exception as error:
                error.add_note(f"job {jobs} of round {inputs['round']}, engine {engine}")
                raise
            jobs += 1
        last = _held()
        first = first or last
        grown = {name: last[name] - first[name] for name in last}
        assert grown["rss_mb"] < _MOST_GROWN_MB, f"memory grew by {grown['rss_mb']:.0f} MB"
        assert grown["threads"] <= 0, f"{grown['threads']:.0f} threads more"
        assert grown["files"] <= 0, f"{grown['files']:.0f} open files more"
        return Measured(None, {"jobs": jobs, "rss_grown_mb": grown["rss_mb"]})

    return run
