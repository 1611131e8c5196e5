"""The standard frames of the oracle, and the ways in which they are cut into partitions."""

from __future__ import annotations

import numpy as np
import pandas as pd

import nbscale.dataframe as nd

FRAMES = ("range", "sorted", "repeats", "text", "dates", "empty")


def standard(name: str, rows: int = 60, seed: int = 0) -> pd.DataFrame:
    """A frame with one column of each kind, missing values, and an index of the kind named."""
    if name == "empty":
        return standard("range", 0)
    rng = np.random.default_rng(seed)
    data = pd.DataFrame(
        {
            "key": pd.Series(rng.choice(["a", "b", "c", "d"], rows), dtype="str"),
            "num": rng.integers(-9, 10, rows),
            "val": rng.normal(size=rows) * 10,
            "flag": rng.random(rows) < 0.4,
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 99, rows), "h"),
            "cat": pd.Categorical(rng.choice(["x", "y", "z"], rows), ["z", "y", "x", "w"]),
        }
    )
    if rows:
        data.loc[rng.random(rows) < 0.15, "key"] = None
        data.loc[rng.random(rows) < 0.15, "val"] = np.nan
        data.loc[rng.random(rows) < 0.1, "when"] = pd.NaT
    match name:
        case "range":
            return data
        case "sorted":
            index = pd.Index(np.cumsum(rng.integers(1, 4, rows)), name="id")
        case "repeats":
            index = pd.Index(rng.integers(0, max(1, rows // 4), rows))
        case "text":
            index = pd.Index([f"r{i:03d}" for i in rng.permutation(rows)], dtype="str")
        case "dates":
            index = pd.DatetimeIndex(
                pd.Timestamp("2021-01-01") + pd.to_timedelta(np.sort(rng.integers(0, 500, rows)), "h")
            )
        case _:
            raise KeyError(name)
    return data.set_axis(index)


def cut(data: pd.DataFrame, how: str):
    """The frame, lazy: in one part, in five, or with empty partitions among others."""
    match how:
        case "one":
            return nd.from_pandas(data, npartitions=1)
        case "five":
            return nd.from_pandas(data, npartitions=5)
        case "holes":
            return nd.from_pandas(data, npartitions=7).map_partitions(_itself)
        case _:
            raise KeyError(how)


def _itself(part):
    return part
