"""The standard frames of the oracle, and the ways in which they are cut into partitions."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

import nbscale.dataframe as nd
from nbscale import config
from nbscale.collection import wrap
from nbscale.dataframe import narrow, regroup
from nbscale.dataframe.source import FromPandas, Snapshot

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
                pd.Timestamp("2021-01-01")
                + pd.to_timedelta(np.sort(rng.integers(0, 500, rows)), "h")
            )
        case _:
            raise KeyError(name)
    return data.set_axis(index)


CUTS = ("one", "five", "holes")


@functools.cache
def standard_cut(name: str, how: str, rows: int = 60, seed: int = 0):
    """A standard frame as (pandas, lazy), cut; made once, so that nodes over it are shared."""
    return cut(standard(name, rows, seed), how)


def cut(data: pd.DataFrame, how: str):
    """The frame as (pandas, lazy): in one part, in five, or with empty partitions among others.

    The two are equal; with holes both went through a filter, which may change the type of the
    index as it does in pandas.
    """
    if how != "holes":
        return data, nd.from_pandas(data, npartitions={"one": 1, "five": 5}[how])
    parts = [data.iloc[i * len(data) // 4 : (i + 1) * len(data) // 4] for i in range(4)]
    filler = data.iloc[:3] if len(data) else data
    marked = [
        part.assign(leave=leave)
        for pair in zip([filler] * 4, parts, strict=True)
        for part, leave in zip(pair, (True, False), strict=True)
    ]
    whole = pd.concat([*marked, filler.assign(leave=True)])
    lengths = [len(part) for part in marked] + [len(filler)]
    bounds = tuple(np.concatenate([[0], np.cumsum(lengths)]).tolist())
    lazy = wrap(FromPandas(Snapshot(whole), bounds))
    return (
        whole[~whole["leave"]].drop(columns="leave"),
        lazy[~lazy["leave"]].drop(columns="leave"),
    )


def as_if_large(patch):
    """Have rows sampled, exchanged and narrowed as those of large data are: every limit is low."""
    patch.setattr(regroup, "limit", lambda stats: 300.0)
    patch.setattr(narrow, "_FETCH", 2)
    patch.setattr(config, "_current", config.Settings(partition_size=300))
