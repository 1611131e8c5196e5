"""Programs of random operations, by pandas and lazily: what rows alone do not show."""

from __future__ import annotations

import warnings

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, note, settings

import nbscale.dataframe as nd
from nbscale.testing.oracle import assert_same
from tests.oracle.frames import CUTS, FRAMES, as_if_large, standard_cut

MOST = 400
"""Rows from which on nothing is added: merges of merges grow without end."""

COLUMNS = ["key", "num", "val", "flag"]


def is_pandas(frame):
    return isinstance(frame, (pd.DataFrame, pd.Series))


def concat(parts, **options):
    return (pd if is_pandas(parts[0]) else nd).concat(parts, **options)


def end_of(frame, which, n):
    return getattr(frame, which)(n, **({} if is_pandas(frame) else {"compute": False}))


# Steps keep the columns key, num, val and flag, so that any may follow any.
STEPS = {
    "filter": lambda d, o: d[d.num > -3],
    "filter missing": lambda d, o: d[d.val.notna()],
    "filter text": lambda d, o: d[d.key.isin(["a", "b"])],
    "filter nothing": lambda d, o: d[d.num > 99],
    "filter by sum": lambda d, o: d[d.num > d.num.mean()],
    "assign": lambda d, o: d.assign(num=d.num + 1),
    "assign from two": lambda d, o: d.assign(val=d.val * 2 - d.num),
    "assign flag": lambda d, o: d.assign(flag=d.val > d.num),
    "fillna": lambda d, o: d.fillna({"val": 0.5}),
    "where": lambda d, o: d.assign(val=d.val.where(d.flag, -1.0)),
    "dropna": lambda d, o: d.dropna(subset=["key"]),
    "project": lambda d, o: d[COLUMNS],
    "rename twice": lambda d, o: d.rename(columns={"num": "n"}).rename(columns={"n": "num"}),
    "head": lambda d, o: end_of(d, "head", 17),
    "tail": lambda d, o: end_of(d, "tail", 17),
    "cumsum": lambda d, o: d.assign(num=d.num.cumsum()),
    "shift": lambda d, o: d.assign(val=d.val.shift(2)),
    "ffill": lambda d, o: d.assign(key=d.key.ffill()),
    "sort": lambda d, o: d.sort_values(["num", "val"]),
    "sort down": lambda d, o: d.sort_values("key", ascending=False, kind="stable"),
    "sort index": lambda d, o: d.sort_index(kind="stable"),
    "reset": lambda d, o: d.reset_index(drop=True),
    "set index": lambda d, o: d.set_index(d.num.rename("label")),
    "set text index": lambda d, o: d.set_index(d.key.rename("label")),
    "concat": lambda d, o: concat([d[COLUMNS], o[COLUMNS]]),
    "concat itself": lambda d, o: concat([d[d.flag], d[~d.flag]]),
    "merge": lambda d, o: d.merge(o[["num", "when"]].rename(columns={"when": "w"}), on="num"),
    "merge left": lambda d, o: d.merge(
        o[["num"]].assign(more=o.num * 2), how="left", on="num"
    ).drop(columns="more"),
    "merge groups": lambda d, o: d.merge(
        d.groupby("key").num.sum().rename("total").reset_index(), on="key"
    ).drop(columns="total"),
}
GROW = {"concat", "concat itself", "merge", "merge left"}
ENDS = {
    "as it is": (lambda d, o: d, "exact"),
    "a column": (lambda d, o: d.val + d.num, "exact"),
    "index": (lambda d, o: d.index, "exact"),
    "sum": (lambda d, o: d.num.sum(), "exact"),
    "count": (lambda d, o: d.count(), "exact"),
    "max": (lambda d, o: d[["num", "val"]].max(), "exact"),
    "var": (lambda d, o: d.num.var(), "moment"),
    "median": (lambda d, o: d.val.median(), "exact"),
    "idxmax": (lambda d, o: d.num.idxmax(), "exact"),
    "nlargest": (lambda d, o: d.nlargest(5, "num"), "exact"),
    "nunique": (lambda d, o: d.num.nunique(), "exact"),
    "value_counts": (lambda d, o: d.key.value_counts(), "exact"),
    "value_counts of numbers": (lambda d, o: d.num.value_counts(normalize=True), "exact"),
    "group": (lambda d, o: d.groupby("key").num.sum(), "exact"),
    "group unsorted": (lambda d, o: d.groupby("key", sort=False).num.max(), "exact"),
    "group missing": (lambda d, o: d.groupby("key", dropna=False).val.count(), "exact"),
    "group two keys": (lambda d, o: d.groupby(["flag", "num"]).val.min(), "exact"),
    "group flat": (lambda d, o: d.groupby("num", as_index=False).val.max(), "exact"),
    "group by series": (lambda d, o: d.groupby(d.num % 3).num.mean(), "exact"),
    "group agg": (
        lambda d, o: d.groupby("flag").agg(
            low=("num", "min"), several=("key", "nunique"), first=("val", "first")
        ),
        "exact",
    ),
    "group std": (lambda d, o: d.groupby("key").num.std(), "moment"),
    "group size": (lambda d, o: d.groupby(["key"]).size(), "exact"),
    "add other rows": (lambda d, o: d.num + o.num, "exact"),
    "add own rows": (lambda d, o: d.num + d[d.num > 0].num, "exact"),
    "frames of other rows": (lambda d, o: d[["num"]] * o[["num", "val"]], "exact"),
    "beside": (lambda d, o: concat([d.num, d.val.rename("v")], axis=1), "exact"),
    "join": (lambda d, o: d[["num"]].join(o[["flag"]]), "exact"),
}


@settings(max_examples=100)
@given(
    frame=st.sampled_from(FRAMES),
    other=st.sampled_from(FRAMES),
    how=st.sampled_from(CUTS),
    engine=st.sampled_from(["inline", "threads"]),
    large=st.booleans(),
    steps=st.lists(st.sampled_from(sorted(STEPS)), max_size=6),
    end=st.sampled_from(sorted(ENDS)),
)
def test_programs(frame, other, how, engine, large, steps, end):
    data, lazy = standard_cut(frame, how)
    data_o, lazy_o = standard_cut(other, how, 20, 1)
    run, rule = ENDS[end]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for step in steps:
            if step in GROW and len(data) > MOST:
                continue
            try:
                data = STEPS[step](data, data_o)
            except Exception as error:  # noqa: BLE001 - whatever pandas says
                refused(error, STEPS[step], lazy, lazy_o)
                return
            lazy = STEPS[step](lazy, lazy_o)
        try:
            want = run(data, data_o)
        except Exception as error:  # noqa: BLE001 - whatever pandas says
            refused(error, run, lazy, lazy_o)
            return
        got = run(lazy, lazy_o)
        note(got.explain())
        with pytest.MonkeyPatch.context() as patch:
            if large:
                as_if_large(patch)
            try:
                answer = got.compute(engine=engine)
            except TypeError as error:
                # Labels of two kinds have no order to be exchanged by; pandas looks them up.
                assume("cannot be put in order" not in str(error))
                raise
        assert_same(plain(answer), plain(want), rule)


def plain(answer):
    """The answer with an index of plain labels.

    pandas looks whether labels happen to be evenly spaced where it aligned or sorted some. The rows
    of the table hold the class of the index, too.
    """
    index = getattr(answer, "index", None)
    if isinstance(index, pd.RangeIndex) and len(index):
        return answer.set_axis(pd.Index(np.asarray(index), name=index.name))
    return answer


def refused(error, run, *lazy):
    """Pandas raises: so must the lazy frame, when made or when computed, with the same type."""
    try:
        run(*lazy).compute(engine="inline")
    except type(error):
        return
    raise AssertionError(f"pandas raised {error!r}")
