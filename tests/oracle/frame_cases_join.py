"""Rows of the oracle: merge, join, concat."""

from __future__ import annotations

import pandas as pd

import nbscale.dataframe as nd
from tests.oracle.case import Case
from tests.oracle.frame_cases_order import numbered

HOWS = ("inner", "left", "right", "outer")


def concat(parts, **options):
    lib = pd if isinstance(parts[0], (pd.DataFrame, pd.Series)) else nd
    return lib.concat(parts, **options)


def merge(a, b, large=False, **options):
    """Merge, with a large merge forced where the frame is lazy."""
    if isinstance(a, pd.DataFrame):
        return a.merge(b, **options)
    return a.merge(b, broadcast=False if large else None, **options)


def in_pairs(a, b):
    """Two frames whose column ``index`` holds every number twice, in the second out of order."""
    return numbered(a, 2), numbered(b.sort_values("num", kind="stable"), 2)


CASES = []
for how in HOWS:
    for large in (False, True):
        kind = f"{how}, large" if large else how
        CASES += [
            Case(
                f"merge {kind}",
                lambda a, b, h=how, g=large: merge(*in_pairs(a, b), g, on="index", how=h),
                two=True,
                on=("range", "empty"),
            ),
            Case(
                f"merge {kind} on index",
                lambda a, b, h=how, g=large: merge(
                    a[["num", "flag"]],
                    b[["val", "num"]],
                    g,
                    left_index=True,
                    right_index=True,
                    how=h,
                ),
                two=True,
                on=("range", "text"),
            ),
            Case(
                f"merge {kind} on two keys",
                lambda a, b, h=how, g=large: merge(
                    numbered(a, 3),
                    numbered(b, 3),
                    g,
                    on=["flag", "index"],
                    how=h,
                    suffixes=("", "_r"),
                ),
                two=True,
                on=("range",),
            ),
            Case(
                f"merge {kind} on two names",
                lambda a, b, h=how, g=large: merge(
                    numbered(a)[["index", "key"]],
                    numbered(b)[["index", "cat"]]
                    .rename(columns={"index": "other"})
                    .astype({"other": "float64"}),
                    g,
                    left_on="index",
                    right_on="other",
                    how=h,
                ),
                two=True,
                on=("range",),
            ),
        ]
CASES += [
    Case(
        "merge indicator",
        lambda a, b: merge(*in_pairs(a, b), on="index", how="left", indicator=True),
        two=True,
        on=("range",),
    ),
    Case(
        "a column of a merge",
        lambda a, b: merge(*in_pairs(a, b), on="index").num_x,
        two=True,
        on=("range", "repeats"),
    ),
    Case(
        "merge with nothing",
        lambda a, b: merge(numbered(a), numbered(b[b.num > 99]), on="index", how="left"),
        two=True,
        on=("range",),
        why="the columns of both: the answer is twice the partition that counts here",
    ),
    Case("merge on a column that is not there", lambda a, b: a.merge(b, on="none"), two=True),
    Case(
        "merge numbers with text",
        lambda a, b: a.merge(b, left_on="num", right_on="key"),
        two=True,
        on=("range",),
    ),
    Case(
        "merge cross",
        lambda a, b: a[["num"]].merge(
            b[["key"]].head(3)
            if isinstance(b, pd.DataFrame)
            else b[["key"]].head(3, compute=False),
            how="cross",
        ),
        two=True,
    ),
    Case(
        "join",
        lambda a, b: a.join(b[["num"]].rename(columns={"num": "z"})),
        two=True,
        on=("range", "text", "sorted"),
    ),
    Case(
        "join a series",
        lambda a, b: a.join(b.num.rename("z"), how="inner"),
        two=True,
        on=("range", "sorted"),
    ),
    Case(
        "join on a column",
        lambda a, b: numbered(a).join(b[["flag"]].reset_index(drop=True), on="index", rsuffix="_r"),
        two=True,
        on=("range",),
    ),
    Case("join columns of one name", lambda a, b: a.join(b), two=True),
    Case("concat", lambda a, b: concat([a, b]), two=True),
    Case("concat and number", lambda a, b: concat([a, b[b.num > 0]], ignore_index=True), two=True),
    Case(
        "concat other columns",
        lambda a, b: concat([a[["num", "flag"]], b[["val", "num"]]]),
        two=True,
    ),
    Case(
        "concat common columns",
        lambda a, b: concat([a[["num", "flag"]], b[["val", "num"]]], join="inner"),
        two=True,
    ),
    Case("concat series", lambda a, b: concat([a.num, b.val]), two=True),
    Case("a column of a concat", lambda a, b: concat([a, b]).num + 1, two=True),
    Case(
        "concat what alignment changed",
        lambda a, b: concat([a.assign(z=b.flag), a])[["z"]],
        two=True,
        on=("range", "text"),
    ),
    Case(
        "concat beside", lambda a, b: concat([a.num, a.val + 1, a.num.cumsum()], axis=1), two=True
    ),
    Case("concat beside other rows", lambda a, b: concat([a.num, b.flag, b.val], axis=1), two=True),
    Case(
        "concat frames beside other rows",
        lambda a, b: concat([a[a.num > 0][["num", "key"]], a[a.num < 3][["flag"]]], axis=1),
        two=True,
    ),
]
