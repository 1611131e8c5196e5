"""Four times as much data as the memory limit: nobody is killed, and how much is held at most.

``share`` is the most that processes, shared memory and tmpfs hold above a pool that is warm and idle,
divided by the limit; the kernel counts, too. ``share_of_pool`` is the same without what the kernel has
of its own.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.data import cache
from benchmarks.pools import WORKERS
from benchmarks.registry import Gate, Inputs, Measured, peer, workload
from benchmarks.sampler import Sampler

_FILES = 64
_WIDE = 30
"""Columns of numbers beside two keys."""

_TIMES = 4
_MOST = 1.15
_SETTLED = 1.0
_JOBS = ("sort", "group", "join", "partial-fit")


def _write(options: dict[str, int]) -> Inputs:
    """Files of four times the limit, made once."""
    import numpy as np
    import pandas as pd

    rows = options["mb"] * 1_000_000 * _TIMES // _FILES // ((_WIDE + 2) * 8)
    folder = cache() / f"memory-{options['mb']}"
    if not folder.exists():
        making = folder.with_name(f"{folder.name}-{os.getpid()}")
        making.mkdir(parents=True)
        for i in range(_FILES):
            chance = np.random.default_rng(i)
            columns: dict[str, Any] = {"key": chance.permutation(rows) * _FILES + i}
            columns["group"] = chance.integers(0, _FILES * rows // 2, rows)
            for k in range(_WIDE):
                columns[f"x{k}"] = chance.integers(0, 1000, rows).astype(float)
            frame = pd.DataFrame(columns)
            frame.to_parquet(making / f"{i:03}.parquet", index=False, compression=None)
        try:
            making.rename(folder)
        except OSError:  # another was quicker
            shutil.rmtree(making)
    return {**options, "folder": str(folder), "rows": rows * _FILES}


@workload(
    "memory",
    setup=_write,
    reference="nbscale-sort",
    measure="share",
    options={"mb": 1000},
    gates=[
        gate
        for job in _JOBS
        for gate in (
            Gate("share", f"nbscale-{job}", None, limit=_MOST, allowance=1.0, every=True),
            Gate("kills", f"nbscale-{job}", None, limit=0.0, allowance=1.0, every=True),
        )
    ],
)
def memory(value: float) -> dict[str, float]:
    """Data of four times the memory limit, sorted, grouped, joined, learned from: the most that is held."""
    return {"share_right": value}


def ends(part: Any) -> Any:
    """What is needed of a sorted partition to see that the whole is sorted."""
    import pandas as pd

    key = part.key
    return pd.DataFrame(
        {
            "rows": [len(part)],
            "first": key.min(),
            "last": key.max(),
            "rising": [key.is_monotonic_increasing],
        }
    )


def _sort(frame: Any, inputs: Inputs) -> bool:
    found = frame.sort_values("key").map_partitions(ends).compute()
    rising = found["rising"].all() and (found["first"].values[1:] > found["last"].values[:-1]).all()
    return bool(rising and found["rows"].sum() == inputs["rows"])


def _group(frame: Any, inputs: Inputs) -> bool:
    found = frame.groupby("group").sum().agg(["sum"]).compute().loc["sum"]
    # Each key is there once.
    return int(found["key"]) == inputs["rows"] * (inputs["rows"] - 1) // 2


def _join(frame: Any, inputs: Inputs) -> bool:
    half = _WIDE // 2
    left = frame[["key", *(f"x{k}" for k in range(half))]]
    right = frame[["key", *(f"x{k}" for k in range(half, _WIDE))]]
    found = left.merge(right, on="key").agg(["sum", "count"]).compute()
    return bool((found.loc["count"] == inputs["rows"]).all())


def _fit(frame: Any, inputs: Inputs) -> bool:
    from sklearn.linear_model import SGDRegressor

    model = SGDRegressor(random_state=0)
    rows = 0
    for i in range(_FILES):
        part = frame.partitions[i].compute()
        model.partial_fit(part[["x0", "x1"]] / 1000, part["x0"] / 1000)
        rows += len(part)
    return rows == inputs["rows"] and abs(model.coef_ - [1, 0]).max() < 0.05


def _peer(work: Callable[[Any, Inputs], bool]) -> Callable[[Inputs], Callable[[], Measured]]:
    def prepare(inputs: Inputs) -> Callable[[], Measured]:
        import sklearn.linear_model  # noqa: F401 - a pool is renewed for what is imported later

        import nbscale as ns
        import nbscale.dataframe as nd
        from nbscale.engines import limits

        limit = inputs["mb"] * 1_000_000
        ns.config.set(
            memory_limit=limit,
            partition_size=f"{inputs['mb'] // 16} MB",
            n_workers=WORKERS,
            engine="local",
        )
        frame = nd.read_parquet(str(Path(inputs["folder"]) / "*.parquet"))
        warm = nd.from_pandas(frame.head(1000), npartitions=4 * WORKERS)
        warm.groupby("group").sum().compute()

        def pids() -> set[int]:
            return set(ns.gather([ns.submit(_number, i) for i in range(16 * WORKERS)]))

        before = pids()
        killed = limits.oom_kills()
        sampler = Sampler()
        time.sleep(_SETTLED)
        sampler.mark()

        def run() -> Measured:
            began = time.perf_counter()
            right = work(frame, inputs)
            seconds = time.perf_counter() - began
            seen = sampler.end()
            base, peak = seen["base"], seen["peak"]
            grown = peak["all"] - base["all"]
            kernel = peak["kernel"] - base["kernel"]
            lost = len(before - pids())
            return Measured(
                float(right),
                {
                    "share": grown / limit,
                    "share_of_pool": (grown - kernel) / limit,
                    "kills": max(lost, limits.oom_kills() - killed),
                    "idle_mb": base["all"] / 1e6,
                    "peak_own_mb": peak["own"] / 1e6,
                    "peak_shared_mb": peak["shared"] / 1e6,
                    "share_of_group": (seen["group"] - base["group"]) / limit,
                    "looks": seen["looks"],
                    "looks_per_s": seen["looks"] / seconds,
                },
            )

        return run

    return prepare


def _number(_: int) -> int:
    time.sleep(0.01)  # so that every worker gets some
    return os.getpid()


for _name, _work in zip(_JOBS, (_sort, _group, _join, _fit), strict=True):
    peer("memory", f"nbscale-{_name}")(_peer(_work))
