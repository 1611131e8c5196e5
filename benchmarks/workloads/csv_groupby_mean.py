"""A gigabyte of CSV files, and the mean of one column by another: the first job of a newcomer."""

from __future__ import annotations

from typing import Any

from benchmarks.data import csv_files, found_files
from benchmarks.registry import Gate, peer, workload


def _setup(options: dict[str, int]) -> dict[str, Any]:
    made = csv_files(options["megabytes"], options["files"], quoted=bool(options["quoted"]))
    return {"files": made + "/part-*.csv"}


@workload(
    "csv_groupby_mean",
    setup=_setup,
    options={"megabytes": 1000, "files": 12, "quoted": 0},
    reference="dask-threads",
    gates=[
        Gate("wall_s", "nbscale-threads", "dask-threads", limit=0.6),
        Gate("peak_mb", "nbscale-threads", "dask-threads", limit=0.5),
    ],
)
def csv_groupby_mean(value: Any) -> dict[str, float]:
    """`read_csv("*.csv").groupby("name").value.mean()` over 1 GB, files in the page cache."""
    return {str(name): float(mean) for name, mean in value.items()}


@peer("csv_groupby_mean", "nbscale-threads")
def _nbscale(inputs: dict[str, Any]):
    import nbscale.dataframe as nd

    return lambda: (
        nd.read_csv(inputs["files"]).groupby("name")["value"].mean().compute(engine="threads")
    )


@peer("csv_groupby_mean", "dask-threads")
def _dask(inputs: dict[str, Any]):
    import dask.dataframe as dd

    return lambda: (
        dd.read_csv(inputs["files"]).groupby("name").value.mean().compute(scheduler="threads")
    )


@peer("csv_groupby_mean", "pandas-concat")
def _concat(inputs: dict[str, Any]):
    import pandas as pd

    def run():
        files = found_files(inputs["files"])
        return pd.concat([pd.read_csv(file) for file in files]).groupby("name").value.mean()

    return run


@peer("csv_groupby_mean", "pandas-loop-usecols")
def _loop(inputs: dict[str, Any]):
    import pandas as pd

    def run():
        total = None
        for file in found_files(inputs["files"]):
            found = pd.read_csv(file, usecols=["name", "value"]).groupby("name").value
            found = found.agg(["sum", "count"])
            total = found if total is None else total.add(found, fill_value=0)
        return total["sum"] / total["count"]

    return run


@peer("csv_groupby_mean", "polars-streaming")
def _polars(inputs: dict[str, Any]):
    import polars as pl

    def run():
        frame = pl.scan_csv(inputs["files"]).group_by("name").agg(pl.col("value").mean())
        return dict(frame.collect(engine="streaming").iter_rows())

    return run
