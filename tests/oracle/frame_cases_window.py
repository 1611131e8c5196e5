"""Rows of the oracle: running totals, fills, shifts."""

from __future__ import annotations

import pandas as pd

from tests.oracle.case import Case

NUMBERS = ["num", "val"]
EPOCH = pd.Timestamp("2020-01-01")

CASES = [
    Case("cumsum", lambda df: df[NUMBERS].cumsum(), "sum"),
    Case("cumsum of flags", lambda df: df.flag.cumsum()),
    Case("cumsum with missing", lambda df: df.val.cumsum(skipna=False), "sum"),
    Case("cumsum of durations", lambda df: (df.when - EPOCH).cumsum()),
    Case("cumsum of nullable", lambda df: df.num.astype("Int64").where(df.flag).cumsum()),
    Case("cumsum across", lambda df: df[NUMBERS].cumsum(axis=1)),
    Case("cumprod", lambda df: df.num.cumprod()),
    Case("cummax", lambda df: df[["num", "val", "flag", "when"]].cummax()),
    Case("cummax of text", lambda df: df.key.cummax()),
    Case("cummin", lambda df: df.val.cummin()),
    Case("cummin with missing", lambda df: df.val.cummin(skipna=False)),
    Case("ffill", lambda df: df.ffill()),
    Case("ffill at most", lambda df: df.ffill(limit=1)),
    Case("ffill over partitions", lambda df: df.val.where(df.num > 6).ffill()),
    Case("ffill at most over partitions", lambda df: df.val.where(df.num > 6).ffill(limit=13)),
    Case("ffill of nothing", lambda df: df.val.where(df.num > 60).ffill()),
    Case("bfill", lambda df: df.bfill()),
    Case("bfill at most over partitions", lambda df: df.key.where(df.num > 6).bfill(limit=13)),
    Case("shift", lambda df: df.shift()),
    Case("shift filled", lambda df: df.num.shift(2, fill_value=0)),
    Case("shift up", lambda df: df.shift(-3)),
    Case("shift over partitions", lambda df: df.shift(29)),
    Case("shift all away", lambda df: df.val.shift(-300)),
    Case(
        "shift far",
        lambda df: df.shift(1200),
        why="the 1,200 rows that move over are held beside a partition, and with its parts",
    ),
    Case("shift by nothing", lambda df: df.shift(0)),
    Case("shift across", lambda df: df[NUMBERS].shift(axis=1)),
    Case("shift labels", lambda df: df.set_index("when").val.shift(1, freq="D")),
    Case("diff", lambda df: df[["num", "val", "flag", "when"]].diff()),
    Case("diff over partitions", lambda df: df.num.diff(-17)),
    Case("diff across", lambda df: df[NUMBERS].diff(axis=1)),
    Case("pct_change", lambda df: df.num.pct_change()),
    Case("filter a cumsum", lambda df: df.num.cumsum()[df.flag]),
    Case("a column of a shift", lambda df: df.shift(2).key),
]
