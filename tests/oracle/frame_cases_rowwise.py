"""Rows of the oracle: selection, arithmetic, row-wise methods."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.oracle.case import Case

NUMBERS = ["num", "val"]

CASES = [
    Case("column", lambda df: df["num"]),
    Case("attribute", lambda df: df.val),
    Case("columns", lambda df: df[["val", "key"]]),
    Case("no columns", lambda df: df[[]]),
    Case("index", lambda df: df.index),
    Case("filter", lambda df: df[df.num > 0]),
    Case("filter series", lambda df: df.val[df.flag]),
    Case("filter twice", lambda df: df[df.num > 0][df[df.num > 0].flag]),
    Case("filter all away", lambda df: df[df.num > 99]),
    Case("add", lambda df: df.num + df.val),
    Case("sub scalar", lambda df: 3 - df.num),
    Case("mul frame", lambda df: df[NUMBERS] * 2),
    Case("truediv", lambda df: df.val / df.num),
    Case("floordiv by zero", lambda df: df.num // 0),
    Case("floordiv", lambda df: df.num // 3),
    Case("mod", lambda df: df.num % 4),
    Case("pow", lambda df: df.val**2),
    Case("rpow", lambda df: 2.0**df.val),
    Case("neg", lambda df: -df[NUMBERS]),
    Case("invert", lambda df: ~df.flag),
    Case("abs", lambda df: df[NUMBERS].abs()),
    Case("builtin abs", lambda df: abs(df.val)),
    Case("and", lambda df: df.flag & (df.num > 0)),
    Case("or", lambda df: df.flag | (df.num > 0)),
    Case("xor", lambda df: df.flag ^ (df.num > 0)),
    Case("lt", lambda df: df.val < 3),
    Case("le", lambda df: df.num <= df.val),
    Case("gt", lambda df: df.when > pd.Timestamp("2020-01-02")),
    Case("ge", lambda df: df.num >= 0),
    Case("eq text", lambda df: df.key == "a"),
    Case("ne", lambda df: df.key != "a"),
    Case("eq category", lambda df: df.cat == "x"),
    Case("date difference", lambda df: df.when - pd.Timestamp("2020-01-01")),
    Case("text sum", lambda df: df.key + "!"),
    Case("frame plus frame", lambda df: df[NUMBERS] + df[NUMBERS]),
    Case("frame compared", lambda df: df[NUMBERS] > 0),
    Case("round", lambda df: df.round(1)),
    Case("round series", lambda df: df.val.round()),
    Case("clip", lambda df: df[NUMBERS].clip(-2, 3)),
    Case("clip lower", lambda df: df.val.clip(lower=0)),
    Case("isna", lambda df: df.isna()),
    Case("notna", lambda df: df.val.notna()),
    Case("isnull", lambda df: df.key.isnull()),
    Case("notnull", lambda df: df.notnull()),
    Case("isin", lambda df: df.key.isin(["a", "d"])),
    Case("isin by column", lambda df: df.isin({"num": [1, 2]})),
    Case("fillna", lambda df: df.val.fillna(0)),
    Case("fillna by column", lambda df: df.fillna({"val": 1.5, "key": "none"})),
    Case("fillna series", lambda df: df.val.fillna(df.num)),
    Case("dropna", lambda df: df.dropna()),
    Case("dropna subset", lambda df: df.dropna(subset=["val"])),
    Case("dropna all", lambda df: df[["val", "key"]].dropna(how="all")),
    Case("dropna thresh", lambda df: df.dropna(thresh=5)),
    Case("dropna series", lambda df: df.key.dropna()),
    Case("where", lambda df: df.val.where(df.flag)),
    Case("where other", lambda df: df.num.where(df.flag, -1)),
    Case("where lazy other", lambda df: df.val.where(df.flag, df.num)),
    Case("where frame", lambda df: df[NUMBERS].where(df[NUMBERS] > 0, 0)),
    Case("mask", lambda df: df.val.mask(df.flag, 0.0)),
    Case("astype", lambda df: df.num.astype("float32")),
    Case("astype by column", lambda df: df.astype({"num": "int32", "flag": "int8"})),
    Case("astype text", lambda df: df.num.astype(str)),
    Case("astype category", lambda df: df.key.astype(pd.CategoricalDtype(["a", "b"]))),
    Case("assign", lambda df: df.assign(twice=df.num * 2, label="x")),
    Case("assign function", lambda df: df.assign(a=1, b=lambda d: d.a + d.num)),
    Case("assign replaces", lambda df: df.assign(num=df.val)),
    Case("drop", lambda df: df.drop(columns=["num", "key"])),
    Case("drop axis", lambda df: df.drop("num", axis=1)),
    Case("rename", lambda df: df.rename(columns={"num": "n"})),
    Case("rename function", lambda df: df.rename(columns=str.upper)),
    Case("rename, then fewer", lambda df: df.rename(columns={"num": "n", "key": "k"})[["n"]]),
    Case("rename in turn", lambda df: df.rename(columns={"num": "val", "val": "num"}).num),
    Case("rename to one name", lambda df: df.rename(columns={"num": "val"})),
    Case("rename by axis", lambda df: df.rename(str.title, axis="columns")),
    Case("rename what is not there", lambda df: df.rename(columns={"none": "n"}, errors="raise")),
    Case("fill two, keep one", lambda df: df.fillna({"val": 0.5, "key": "?"}).val),
    Case("astype two, keep one", lambda df: df.astype({"num": "float64", "val": "float32"}).num),
    Case("rename series", lambda df: df.num.rename("other")),
    Case("to_frame", lambda df: df.num.to_frame()),
    Case("to_frame named", lambda df: df.num.to_frame("n")),
    Case("between", lambda df: df.num.between(-3, 3)),
    Case("str.upper", lambda df: df.key.str.upper()),
    Case("str.contains", lambda df: df.key.str.contains("a|b")),
    Case("str.len", lambda df: df.key.str.len()),
    Case("dt.hour", lambda df: df.when.dt.hour),
    Case("dt.floor", lambda df: df.when.dt.floor("D")),
    Case("dt.strftime", lambda df: df.when.dt.strftime("%d/%m")),
    Case("map_partitions", lambda df: _per_part(df, lambda part: part.num * 2)),
    Case("setitem", lambda df: _with_item(df)),
    Case("numpy where-like chain", lambda df: ((df.val * 2 + 1) / 3 - df.num).abs() > 1),
    Case("nan compared", lambda df: df.val != np.nan),  # noqa: PLW0177 - what pandas says of it
]


def _per_part(df, function):
    return function(df) if isinstance(df, pd.DataFrame) else df.map_partitions(function)


def _with_item(df):
    df = df[["num", "val"]]
    df["both"] = df.num + df.val
    return df
