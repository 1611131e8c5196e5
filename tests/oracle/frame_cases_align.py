"""Rows of the oracle: operands on different rows."""

from __future__ import annotations

from tests.oracle.case import Case

NUMBERS = ["num", "val"]


def by_value(df):
    """The frame in another order of rows."""
    return df.sort_values("num", kind="stable")


CASES = [
    Case("add other rows", lambda a, b: a.num + b.num, two=True),
    Case("add to other rows", lambda a, b: b.val + a.val, two=True),
    Case("add what a filter left", lambda a, b: a.num + a[a.num > 0].num, two=True),
    Case("add two filters", lambda a, b: a[a.num > 0].num + a[a.num < 3].val, two=True),
    Case("add two filters alike", lambda a, b: a[a.num > 0].num + a.num[a.num > 0], two=True),
    Case("add three", lambda a, b: a.num + b.num + a.val[a.num > 0], two=True),
    Case("add frames of other rows", lambda a, b: a[NUMBERS] + b[NUMBERS], two=True),
    Case("add frames of other columns", lambda a, b: a[["num"]] + b[NUMBERS], two=True),
    Case("subtract times", lambda a, b: a.when - b.when, two=True),
    Case("add text", lambda a, b: a.key + b.key, two=True),
    Case("and of other rows", lambda a, b: a.flag & b.flag, two=True),
    Case("or of other rows", lambda a, b: a.flag | b.flag, two=True),
    Case("and of numbers on other rows", lambda a, b: a.num & b.num, two=True),
    Case("compare other rows", lambda a, b: a.num < b.num, two=True),
    Case("compare rows alike", lambda a, b: a[a.num > 0].num < a.num[a.num > 0], two=True),
    Case("compare frames of other rows", lambda a, b: a[NUMBERS] < b[NUMBERS], two=True),
    Case("assign other rows", lambda a, b: a.assign(z=b.num), two=True, on=("range", "sorted")),
    Case(
        "assign every kind",
        lambda a, b: a.assign(k=b.key, w=b.when, c=b.cat, f=b.flag),
        two=True,
        on=("range", "text", "repeats"),
        why="four columns join five: the answer is nearly twice the partition that counts here",
    ),
    Case("assign rows in another order", lambda a, b: a.assign(z=by_value(a).num), two=True),
    Case("mask of other rows", lambda a, b: a[b.flag], two=True, on=("range", "text")),
    Case("mask of more rows", lambda a, b: b[a.flag], two=True, on=("range", "text", "dates")),
    Case("mask in another order", lambda a, b: a[by_value(a).flag], two=True, on=("range", "text")),
    Case("where on other rows", lambda a, b: a.num.where(b.flag, b.num), two=True, on=("range",)),
    Case("mask values on other rows", lambda a, b: a.num.mask(b.flag), two=True, on=("text",)),
    Case("fillna of other rows", lambda a, b: a.val.fillna(b.val), two=True, on=("range", "text")),
    Case("frame less its mean", lambda a, b: a[NUMBERS] - a[NUMBERS].mean(), "moment", True),
    Case("mean less frame", lambda a, b: a[NUMBERS].mean() - a[NUMBERS], "moment", True),
    Case("frame above series", lambda a, b: a[NUMBERS] > a[NUMBERS].max() / 2, two=True),
    Case("frame filled by series", lambda a, b: a[NUMBERS].fillna(a[NUMBERS].max()), two=True),
    Case(
        "series of other columns",
        lambda a, b: a[NUMBERS] + a[["num", "flag"]].max(),
        two=True,
        why="pandas copies both sides onto the union of their columns before it adds",
    ),
    Case(
        "missing labels of times",
        lambda a, b: a[a.num > 7].set_index("when").val + b[b.num > 7].set_index("when").num,
        two=True,
        on=("range", "text"),
        why="the missing label meets thousands of rows on both sides: the answer is that large",
    ),
    Case(
        "missing labels of categories",
        lambda a, b: a[a.num > 8].set_index("cat").val + b[b.num > 8].set_index("cat").num,
        two=True,
        on=("range",),
        why="four labels meet thousands of rows each: the answer itself is that large",
    ),
    Case("set index to other order", lambda a, b: a.set_index(by_value(a).num), two=True),
]
