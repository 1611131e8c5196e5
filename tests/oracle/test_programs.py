"""Programs of random operations, by pandas and lazily: what rows alone do not show."""

from __future__ import annotations

import warnings

import hypothesis.strategies as st
import pandas as pd
from hypothesis import given, note, settings

from nbscale.testing.oracle import assert_same
from tests.oracle.frames import CUTS, FRAMES, cut, standard

# Steps keep the columns num, val, flag and key, so that any may follow any.
STEPS = {
    "filter": lambda d: d[d.num > -3],
    "filter missing": lambda d: d[d.val.notna()],
    "filter text": lambda d: d[d.key.isin(["a", "b"])],
    "assign": lambda d: d.assign(num=d.num + 1),
    "assign from two": lambda d: d.assign(val=d.val * 2 - d.num),
    "assign flag": lambda d: d.assign(flag=d.val > d.num),
    "fillna": lambda d: d.fillna({"val": 0.5}),
    "where": lambda d: d.assign(val=d.val.where(d.flag, -1.0)),
    "dropna": lambda d: d.dropna(subset=["key"]),
    "project": lambda d: d[["key", "num", "val", "flag"]],
    "rename twice": lambda d: d.rename(columns={"num": "n"}).rename(columns={"n": "num"}),
    "head": lambda d: d.head(17) if isinstance(d, pd.DataFrame) else d.head(17, compute=False),
    "tail": lambda d: d.tail(17) if isinstance(d, pd.DataFrame) else d.tail(17, compute=False),
    "cumsum": lambda d: d.assign(num=d.num.cumsum()),
    "shift": lambda d: d.assign(val=d.val.shift(2)),
    "sort": lambda d: d.sort_values(["num", "val"]),
    "reset": lambda d: d.reset_index(drop=True),
}
ENDS = {
    "as it is": lambda d: d,
    "a column": lambda d: d.val + d.num,
    "sum": lambda d: d.num.sum(),
    "count": lambda d: d.count(),
    "max": lambda d: d[["num", "val"]].max(),
    "group": lambda d: d.groupby("key").num.sum(),
    "value_counts": lambda d: d.key.value_counts(),
    "nunique": lambda d: d.num.nunique(),
}


@settings(max_examples=80)
@given(
    frame=st.sampled_from(FRAMES),
    how=st.sampled_from(CUTS),
    steps=st.lists(st.sampled_from(sorted(STEPS)), max_size=6),
    end=st.sampled_from(sorted(ENDS)),
)
def test_programs(frame, how, steps, end):
    data, lazy = cut(standard(frame), how)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for step in steps:
            data, lazy = STEPS[step](data), STEPS[step](lazy)
        want, got = ENDS[end](data), ENDS[end](lazy)
        note(got.explain())
        assert_same(got.compute(engine="inline"), want)
