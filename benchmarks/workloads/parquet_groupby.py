"""A filter and a group-by over parquet. A first look, without gates."""

from __future__ import annotations

from typing import Any

from benchmarks.data import found_files, parquet_files
from benchmarks.registry import Inputs, peer, workload


def _setup(options: dict[str, int]) -> Inputs:
    return {"files": parquet_files(options["rows"], options["files"]) + "/part-*.parquet"}


@workload(
    "parquet_groupby",
    setup=_setup,
    options={"rows": 6_000_000, "files": 8},
    reference="pandas",
)
def parquet_groupby(value: Any) -> dict[str, float]:
    """`df[df.x > 0].groupby("name").value.mean()`, 6 million rows in 8 files."""
    return {str(name): float(mean) for name, mean in value.items()}


@peer("parquet_groupby", "nbscale-threads")
def _nbscale(inputs: Inputs):
    import nbscale.dataframe as nd

    def run():
        df = nd.read_parquet(inputs["files"])
        return df[df["x"] > 0].groupby("name")["value"].mean().compute(engine="threads")

    return run


@peer("parquet_groupby", "pandas")
def _pandas(inputs: Inputs):
    import pandas as pd

    def run():
        columns = ["name", "value", "x"]
        files = found_files(inputs["files"])
        df = pd.concat([pd.read_parquet(file, columns=columns) for file in files])
        return df[df["x"] > 0].groupby("name")["value"].mean()

    return run


@peer("parquet_groupby", "dask-threads")
def _dask(inputs: Inputs):
    import dask.dataframe as dd

    def run():
        df = dd.read_parquet(inputs["files"])
        return df[df["x"] > 0].groupby("name")["value"].mean().compute(scheduler="threads")

    return run


@peer("parquet_groupby", "polars-streaming")
def _polars(inputs: Inputs):
    import polars as pl

    def run():
        frame = pl.scan_parquet(inputs["files"]).filter(pl.col("x") > 0)
        frame = frame.group_by("name").agg(pl.col("value").mean())
        return dict(frame.collect(engine="streaming").iter_rows())

    return run
