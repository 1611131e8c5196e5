"""Rows of the oracle: the order of rows, and their index."""

from __future__ import annotations

from tests.oracle.case import Case


def numbered(df, every=1):
    """The frame with its row numbers in a column, each so many times."""
    plain = df.reset_index(drop=True).reset_index()
    return plain.assign(index=plain["index"] // every)


CASES = [
    Case("sort by numbers", lambda df: df.sort_values("num", kind="stable")),
    Case("sort down", lambda df: df.sort_values("val", ascending=False, kind="stable")),
    Case(
        "sort by several",
        lambda df: df.sort_values(["key", "num"], ascending=[False, True], na_position="first"),
    ),
    Case("sort by categories and times", lambda df: df.sort_values(["cat", "when"])),
    Case("sort by few values", lambda df: df.sort_values("flag", kind="stable", ignore_index=True)),
    Case("sort a frame in order", lambda df: numbered(df).sort_values("index")),
    Case("sort a frame in reverse", lambda df: numbered(df).sort_values("index", ascending=False)),
    Case("sort a series", lambda df: df.val.sort_values(kind="stable")),
    Case("sort text", lambda df: df.key.sort_values(kind="stable", ascending=False)),
    Case("sort missing first", lambda df: df.when.sort_values(kind="stable", na_position="first")),
    Case("sort what a filter left", lambda df: df[df.num > 3].sort_values("val", kind="stable")),
    Case("sort all away", lambda df: df[df.num > 99].sort_values("val", kind="stable")),
    Case("columns of a sort", lambda df: df.sort_values("num", kind="stable")[["val"]]),
    Case("sort by a column that is not there", lambda df: df.sort_values("none")),
    Case("sort index", lambda df: df.sort_index(kind="stable")),
    Case("sort index down", lambda df: df.sort_index(ascending=False, kind="stable")),
    Case("sort index of a series", lambda df: df.num.sort_index(kind="stable")),
    Case(
        "sort index of two levels",
        lambda df: df.set_index(["key", "num"]).sort_index(level=1, kind="stable"),
    ),
    Case("set index", lambda df: df.set_index("key")),
    Case("set index and keep", lambda df: df.set_index("num", drop=False)),
    Case("set index of two levels", lambda df: df.set_index(["key", "num"])),
    Case("append to index", lambda df: df.set_index("num", append=True)),
    Case("set index to values", lambda df: df.set_index(df.num + 1)),
    Case("set index that is not there", lambda df: df.set_index("none")),
    Case("set index, meet other index", lambda df: df.set_index("num").index),
    Case("reset index", lambda df: df.reset_index()),
    Case("reset index and drop", lambda df: df.reset_index(drop=True)),
    Case("reset index of a series", lambda df: df.val.reset_index()),
    Case("reset index and name", lambda df: df.val.reset_index(name="value")),
    Case("reset index after filter", lambda df: df[df.num > 0].reset_index(drop=True)),
    Case("nlargest", lambda df: df.nlargest(7, "num")),
    Case(
        "nlargest with all ties",
        lambda df: df.num.nlargest(3, keep="all"),
        on=("range",),
        why="all rows with the third largest value are asked for: an eighth of them",
    ),
    Case("nlargest of a series", lambda df: df.val.nlargest(70)),
    Case("nsmallest", lambda df: df.nsmallest(7, ["num", "val"], keep="last")),
    Case("nsmallest of a series", lambda df: df.num.nsmallest(3, keep="last")),
    Case("more largest than rows", lambda df: df.nlargest(20_000, "val")),
]
