"""Rows of the oracle: distinct values."""

from __future__ import annotations

from tests.oracle.case import Case

FULL = ("range", "sorted", "repeats", "text", "dates")
ROWWISE = "one partition, by pandas itself, row after row"
DTYPES = ("key", "num", "val", "flag", "when", "cat")

CASES = [
    *[Case(f"value_counts {c}", lambda df, c=c: df[c].value_counts()) for c in DTYPES],
    *[
        Case(f"value_counts with missing {c}", lambda df, c=c: df[c].value_counts(dropna=False))
        for c in DTYPES
    ],
    Case("value_counts as seen", lambda df: df.key.value_counts(sort=False)),
    Case("value_counts ascending", lambda df: df.num.value_counts(ascending=True)),
    Case("value_counts normalize", lambda df: df.key.value_counts(normalize=True)),
    Case(
        "value_counts normalize all", lambda df: df.key.value_counts(normalize=True, dropna=False)
    ),
    Case(
        "value_counts nullable",
        lambda df: df.num.astype("Int64").where(df.flag).value_counts(dropna=False),
    ),
    Case(
        "value_counts nullable fractions",
        lambda df: df.num.astype("Int64").value_counts(normalize=True),
    ),
    Case("value_counts of frame", lambda df: df[["key", "flag"]].value_counts()),
    Case("value_counts of subset", lambda df: df.value_counts(["key", "num"], dropna=False)),
    Case("value_counts of one column", lambda df: df.value_counts("num", normalize=True)),
    Case("value_counts of list of one", lambda df: df.value_counts(["num"])),
    Case("value_counts of category frame", lambda df: df.value_counts(["cat", "flag"])),
    Case("value_counts of nothing", lambda df: df.key[df.num > 99].value_counts()),
    *[Case(f"unique {c}", lambda df, c=c: df[c].unique()) for c in DTYPES],
    Case("unique nullable", lambda df: df.num.astype("Int64").where(df.flag).unique()),
    *[Case(f"nunique {c}", lambda df, c=c: df[c].nunique()) for c in DTYPES],
    Case("nunique with missing", lambda df: df.val.nunique(dropna=False)),
    Case("nunique of frame", lambda df: df.nunique()),
    Case("nunique of frame with missing", lambda df: df.nunique(dropna=False)),
    Case("nunique of rows", lambda df: df[["num", "val"]].nunique(axis=1), on=FULL, why=ROWWISE),
    *[Case(f"mode {c}", lambda df, c=c: df[c].mode()) for c in DTYPES],
    Case("mode with missing", lambda df: df.key.mode(dropna=False)),
    Case("value_counts filtered", lambda df: df[df.flag].key.value_counts()),
]
