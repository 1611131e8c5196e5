"""Rows of the oracle: quantiles and medians."""

from __future__ import annotations

from tests.oracle.case import Case

NUMBERS = ["num", "val"]
SEVERAL = [0, 0.1, 0.5, 0.77, 1]

ROWWISE = "one partition, by pandas itself, which copies it a few times"

CASES = [
    Case("quantile", lambda df: df.val.quantile()),
    Case("quantile of integers", lambda df: df.num.quantile(0.3)),
    Case("quantiles", lambda df: df.val.quantile(SEVERAL)),
    Case("quantiles of integers", lambda df: df.num.quantile(SEVERAL)),
    Case("quantiles of dates", lambda df: df.when.quantile(SEVERAL)),
    Case("quantile of date", lambda df: df.when.quantile(0.2)),
    Case("quantile of zoned date", lambda df: df.when.dt.tz_localize("UTC").quantile(0.2)),
    Case("quantile of text", lambda df: df.key.quantile(), on=("range", "sorted")),
    Case("quantile of booleans", lambda df: df.flag.quantile(), on=("range", "sorted")),
    Case("quantile of nullable", lambda df: df.num.astype("Int64").quantile([0.25, 0.5])),
    Case("quantile of one nullable", lambda df: df.num.astype("Int64").quantile(0.5)),
    Case("quantile of float32", lambda df: df.val.astype("float32").quantile(SEVERAL)),
    *[
        Case(f"quantile {how}", lambda df, how=how: df.num.quantile(SEVERAL, interpolation=how))
        for how in ("lower", "higher", "midpoint", "nearest")
    ],
    Case("quantile of frame", lambda df: df[NUMBERS].quantile(0.4)),
    Case("quantile of frame with dates", lambda df: df[["num", "when"]].quantile(0.4)),
    Case("quantiles of frame", lambda df: df[NUMBERS].quantile([0.25, 0.75])),
    Case("quantile numeric_only", lambda df: df.drop(columns="flag").quantile(numeric_only=True)),
    Case(
        "quantile of rows", lambda df: df[NUMBERS].quantile(0.5, axis=1), on=("range",), why=ROWWISE
    ),
    Case("quantile outside", lambda df: df.num.quantile(1.5)),
    Case("quantile of nothing", lambda df: df.val[df.num > 99].quantile(0.5)),
    Case("median", lambda df: df.val.median()),
    Case("median of integers", lambda df: df.num.median()),
    Case("median of booleans", lambda df: df.flag.median()),
    Case("median of dates", lambda df: df.when.median()),
    Case("median of text", lambda df: df.key.median()),
    Case("median of nullable", lambda df: df.num.astype("Int64").median(), on=("range", "sorted")),
    Case("median keeping missing", lambda df: df.val.median(skipna=False)),
    Case("median of frame", lambda df: df[NUMBERS].median()),
    Case("median numeric_only", lambda df: df.median(numeric_only=True)),
    Case("median of rows", lambda df: df[NUMBERS].median(axis=1)),
    Case("median of nothing", lambda df: df[NUMBERS][df.num > 99].median()),
    Case("median filtered", lambda df: df[df.flag].num.median()),
]
