"""Rows of the oracle: several reductions at once, and pairs of columns."""

from __future__ import annotations

from tests.oracle.case import Case

NUMBERS = ["num", "val", "flag"]
FULL = ("range", "sorted", "repeats", "text", "dates")

CASES = [
    Case("agg name", lambda df: df.num.agg("sum")),
    Case("aggregate", lambda df: df.num.aggregate(["sum", "min"])),
    Case("aggregate of frame", lambda df: df[["num"]].aggregate(["sum", "min"])),
    Case("agg list", lambda df: df.num.agg(["sum", "min", "count"])),
    Case("agg list of moments", lambda df: df.val.agg(["mean", "std", "var"]), "moment"),
    Case("agg list of text", lambda df: df.key.agg(["min", "count"])),
    Case("agg list of one", lambda df: df.num.agg(["max"])),
    Case("agg functions", lambda df: df.num.agg(["sum", "max"])),
    Case("agg slow ones", lambda df: df.num.agg(["median", "nunique", "size"])),
    Case("agg dict of series", lambda df: df.num.agg({"a": "sum", "b": "max"})),
    Case("agg named of series", lambda df: df.num.agg(a="sum", b="max")),
    Case("agg frame name", lambda df: df.agg("count")),
    Case("agg frame list", lambda df: df[["num", "flag"]].agg(["sum", "max"])),
    Case("agg frame mixed list", lambda df: df.drop(columns="cat").agg(["min", "count"]), on=FULL),
    Case("agg frame dict", lambda df: df.agg({"num": "sum", "flag": "max"})),
    Case("agg frame dict mixed", lambda df: df.agg({"num": "sum", "key": "min"}), on=FULL),
    Case(
        "agg frame dict of lists",
        lambda df: df.agg({"num": ["sum", "min"], "flag": ["sum", "max"]}),
    ),
    Case("agg frame dict of both", lambda df: df.agg({"num": ["sum", "min"], "val": "max"})),
    Case("agg frame named", lambda df: df.agg(x=("num", "sum"), y=("val", "max"))),
    Case("agg no such column", lambda df: df.agg({"nix": "sum"})),
    Case("describe numbers", lambda df: df.val.describe(), "moment"),
    Case("describe integers", lambda df: df.num.describe(), "moment"),
    Case("describe text", lambda df: df.key.describe()),
    Case("describe booleans", lambda df: df.flag.describe()),
    Case("describe category", lambda df: df.cat.describe()),
    Case("describe frame", lambda df: df.drop(columns="when").describe(), "moment"),
    Case(
        "describe percentiles",
        lambda df: df[["num", "val"]].describe(percentiles=[0.1, 0.999]),
        "moment",
    ),
    Case("describe of text only", lambda df: df[["key", "flag"]].describe()),
    Case("describe all", lambda df: df.drop(columns="when").describe(include="all"), "moment"),
    Case("describe nullable", lambda df: df.num.astype("Int64").describe(), "moment", on=FULL),
    Case("corr", lambda df: df[NUMBERS].corr(), "moment"),
    Case("corr numeric_only", lambda df: df.corr(numeric_only=True), "moment"),
    Case("corr of text", lambda df: df.corr(), on=FULL),
    Case("corr of few", lambda df: df[NUMBERS].corr(min_periods=55), "moment"),
    Case("cov", lambda df: df[NUMBERS].cov(), "moment"),
    Case("cov of population", lambda df: df[["num", "flag"]].cov(ddof=0), "moment"),
    Case("cov of large means", lambda df: (df[["num", "val"]] + 1e4).cov(), "moment"),
    Case("corr of series", lambda df: df.num.corr(df.val), "moment", on=FULL),
    Case("cov of series", lambda df: df.num.cov(df.val), "moment", on=FULL),
    Case("cov of series of population", lambda df: df.num.cov(df.val, ddof=0), "moment", on=FULL),
    Case("size", lambda df: df.num.size),
    Case("size of frame", lambda df: df.size),
    Case("is_unique", lambda df: df.num.is_unique),
    Case("is_unique floats", lambda df: df.val.dropna().is_unique),
    Case("is_monotonic_increasing", lambda df: df.num.is_monotonic_increasing),
    Case("is_monotonic_increasing missing", lambda df: df.val.is_monotonic_increasing),
    Case("is_monotonic sorted", lambda df: (df.num * 0).is_monotonic_decreasing),
]
