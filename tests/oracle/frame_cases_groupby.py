"""Rows of the oracle: group-by."""

from __future__ import annotations

import pandas as pd

from tests.oracle.case import Case

FULL = ("range", "sorted", "repeats", "text", "dates")
VALUES = ["num", "val", "flag"]

CASES = [
    Case("groupby sum", lambda df: df.groupby("key").num.sum()),
    Case("groupby mean", lambda df: df.groupby("key").val.mean(), "sum"),
    Case("groupby mean of integers", lambda df: df.groupby("key").num.mean(), "sum"),
    Case("groupby mean of booleans", lambda df: df.groupby("key").flag.mean(), "sum"),
    Case("groupby mean of dates", lambda df: df.groupby("key").when.mean().dt.floor("s")),
    Case("groupby series key", lambda df: df.groupby(df.key).val.sum(), "sum"),
    Case("groupby own column", lambda df: df[VALUES].groupby(df.flag).sum(), "sum"),
    Case("groupby series", lambda df: df.val.groupby(df.key).sum(), "sum"),
    Case("groupby derived key", lambda df: df.groupby(df.key.str.upper()).num.max()),
    Case("groupby derived number", lambda df: df.groupby(df.num // 4)[["val"]].count()),
    Case("groupby frame sum", lambda df: df.groupby("key")[VALUES].sum(), "sum"),
    Case("groupby numeric_only", lambda df: df.groupby("key").sum(numeric_only=True), "sum"),
    Case("groupby mean numeric_only", lambda df: df.groupby("cat").mean(numeric_only=True), "sum"),
    Case("groupby sum of everything", lambda df: df.groupby("key").sum()),
    Case("groupby mean of text", lambda df: df.groupby("cat").key.mean()),
    Case("groupby sum of text", lambda df: df.groupby("num").key.sum()),
    Case("groupby min of text", lambda df: df.groupby("num").key.min()),
    Case("groupby max of dates", lambda df: df.groupby("key")[["when", "val"]].max()),
    Case("groupby min of booleans", lambda df: df.groupby("key").flag.min()),
    Case("groupby first", lambda df: df.groupby("key").first()),
    Case("groupby last", lambda df: df.groupby("key").last()),
    Case("groupby last by category", lambda df: df.groupby("cat").last()),
    Case("groupby count", lambda df: df.groupby("key").count()),
    Case("groupby nunique", lambda df: df.groupby("key").nunique()),
    Case("groupby nunique with missing", lambda df: df.groupby("cat").key.nunique(dropna=False)),
    Case("groupby size", lambda df: df.groupby("key").size()),
    Case("groupby size of column", lambda df: df.groupby("key").num.size()),
    Case("groupby size flat", lambda df: df.groupby("key", as_index=False).size()),
    Case("groupby prod", lambda df: df.groupby("key").num.prod()),
    Case("groupby any", lambda df: df.groupby("key")[["flag", "num"]].any()),
    Case("groupby all", lambda df: df.groupby("key").flag.all()),
    Case("groupby any of text", lambda df: df.groupby("num").key.any()),
    Case("groupby var", lambda df: df.groupby("key").val.var(), "moment"),
    Case("groupby std", lambda df: df.groupby("key")[VALUES].std(), "moment"),
    Case("groupby std of population", lambda df: df.groupby("key").val.std(ddof=0), "moment"),
    Case("groupby std of large mean", lambda df: (df.val + 1e8).groupby(df.key).std(), "moment"),
    Case("groupby sem", lambda df: df.groupby("key").num.sem(), "moment"),
    Case("groupby std of singles", lambda df: df.groupby("val").num.std(), "moment"),
    Case("groupby sum of few", lambda df: df.groupby("key").val.sum(min_count=9), "sum"),
    Case("groupby sum of few integers", lambda df: df.groupby("key").num.sum(min_count=14)),
    Case(
        "groupby nullable sum",
        lambda df: df.assign(num=df.num.astype("Int64")).groupby("key").num.sum(),
    ),
    Case(
        "groupby nullable mean",
        lambda df: df.assign(num=df.num.astype("Int64")).groupby("key").num.mean(),
        "sum",
    ),
    Case(
        "groupby nullable key",
        lambda df: df.assign(num=df.num.astype("Int64")).groupby("num").val.count(),
    ),
    Case(
        "groupby small integers",
        lambda df: df.assign(num=df.num.astype("int8")).groupby("key").num.sum(),
    ),
    Case(
        "groupby float32",
        lambda df: df.assign(val=df.num.astype("float32")).groupby("key").val.mean(),
    ),
    Case("groupby two keys", lambda df: df.groupby(["key", "flag"]).num.sum()),
    Case("groupby three keys", lambda df: df.groupby(["key", "flag", "cat"])[["num", "val"]].max()),
    Case("groupby keys mixed", lambda df: df.groupby(["key", df.num > 0]).val.count()),
    Case("groupby list of one", lambda df: df.groupby(["key"]).num.sum()),
    Case("groupby dates", lambda df: df.groupby("when").num.sum()),
    Case("groupby floats", lambda df: df.groupby("val").num.sum()),
    Case("groupby booleans", lambda df: df.groupby("flag").val.mean(), "sum"),
    Case("groupby category", lambda df: df.groupby("cat").val.sum(), "sum"),
    Case(
        "groupby categories unseen",
        lambda df: df.groupby("cat", observed=False)[VALUES].sum(),
        "sum",
    ),
    Case("groupby unseen min", lambda df: df.groupby("cat", observed=False).num.min()),
    Case(
        "groupby unseen agg",
        lambda df: df.groupby("cat", observed=False).agg(
            {"num": ["count", "mean", "first", "nunique"]}
        ),
        "sum",
    ),
    Case("groupby unseen pairs", lambda df: df.groupby(["cat", "flag"], observed=False).num.sum()),
    Case("groupby unsorted", lambda df: df.groupby("key", sort=False).num.sum()),
    Case(
        "groupby two keys unsorted", lambda df: df.groupby(["num", "key"], sort=False).val.count()
    ),
    Case("groupby category unsorted", lambda df: df.groupby("cat", sort=False).num.sum()),
    Case("groupby missing key", lambda df: df.groupby("key", dropna=False).num.sum()),
    Case("groupby missing keys", lambda df: df.groupby(["key", "val"], dropna=False).num.sum()),
    Case(
        "groupby missing unsorted", lambda df: df.groupby("key", dropna=False, sort=False).num.sum()
    ),
    Case("groupby missing first of two", lambda df: df.groupby(["key", "flag"]).size()),
    Case("groupby flat", lambda df: df.groupby("key", as_index=False).num.sum()),
    Case(
        "groupby two keys flat",
        lambda df: df.groupby(["key", "flag"], as_index=False)[["val"]].max(),
    ),
    Case(
        "groupby flat agg",
        lambda df: df.groupby("key", as_index=False).agg({"num": ["sum", "max"]}),
    ),
    Case("groupby flat nunique", lambda df: df.groupby("key", as_index=False).nunique()),
    Case("groupby flat list", lambda df: df.groupby("key", as_index=False).num.agg(["sum", "max"])),
    Case("groupby index", lambda df: df.groupby(level=0).num.sum(), on=FULL),
    Case("groupby index name", lambda df: df.groupby("id").num.sum(), on=("sorted",)),
    Case("groupby agg name", lambda df: df.groupby("key").num.agg("max")),
    Case("groupby agg function", lambda df: df.groupby("key").num.agg(sum)),
    Case("groupby agg list", lambda df: df.groupby("key").val.agg(["min", "max", "count"])),
    Case(
        "groupby agg frame list", lambda df: df.groupby("key")[["num", "val"]].agg(["min", "count"])
    ),
    Case("groupby agg dict", lambda df: df.groupby("key").agg({"num": "sum", "val": "max"})),
    Case(
        "groupby agg dict of lists",
        lambda df: df.groupby("key").agg({"num": ["sum", "min"], "when": ["max"]}),
    ),
    Case(
        "groupby agg named",
        lambda df: df.groupby("key").agg(total=("num", "sum"), top=("val", "max")),
    ),
    Case("groupby agg tuple", lambda df: df.groupby("key").agg(n=pd.NamedAgg("num", "nunique"))),
    Case("groupby agg named series", lambda df: df.groupby("key").num.agg(total="sum", n="count")),
    Case("groupby agg of key", lambda df: df.groupby("key").agg(n=("key", "count"))),
    Case(
        "groupby agg moments",
        lambda df: df.groupby("key").val.agg(["mean", "std", "var", "sem"]),
        "moment",
    ),
    Case("groupby column of result", lambda df: df.groupby("key").sum(numeric_only=True)["num"]),
    Case(
        "groupby column of agg",
        lambda df: df.groupby("key").agg({"num": ["sum", "max"]})[("num", "max")],
    ),
    Case("groupby no such column", lambda df: df.groupby("nix").num.sum()),
    Case("groupby no such aggregate column", lambda df: df.groupby("key").agg({"nix": "sum"})),
    Case("groupby of nothing", lambda df: df[df.num > 99].groupby("key").num.sum()),
    Case("groupby of filtered", lambda df: df[df.flag].groupby("key").val.max()),
    Case("groupby get_group", lambda df: df.groupby("key").get_group("a"), on=("range", "text")),
]
