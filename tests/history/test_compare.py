"""Estimates beside facts."""

import pandas as pd
import pytest

import nbscale as ns
import nbscale.dataframe as nd
from nbscale.graph.stage import Program, Stage
from nbscale.history.compare import compared
from nbscale.plan.estimate import Estimate
from tests.history.histories import recorded


def test_a_line_for_each_stage():
    a = Stage(0, "load", (range(2),), (2,), Program(0, (), ()), (), keys=("n", "m"), value_of="m")
    b = Stage(1, "sum", (range(1),), (1,), Program(0, (), ()), (), keys=("o",))
    made = recorded([a, b], [(0, 0, 0, 0, 2), (0, 1, 0, 2, 3), (0, 1, 1, 3, 4), (1, 0, 0, 5, 6)])
    made.withdrawn.add(1)
    text = compared(made, {"n": Estimate(1, 2, 0.5), "m": Estimate(10, 1000, 0.5)})
    head, first, second = (line.split() for line in text.splitlines())
    assert head == [
        "stage",
        "tasks",
        "bytes:",
        "estimated",
        "were",
        "seconds:",
        "estimated",
        "were",
    ]
    assert first == "0: load 2 ~1 kB 16 B ~1 s 4 s".split()  # a task that ran twice counts twice
    assert second == "1: sum (withdrawn) 1 ? 8 B ? 1 s".split()


def test_explain_after_a_run():
    df = nd.from_pandas(pd.DataFrame({"x": range(1000)}), npartitions=4)
    total = df.x.sum()
    with pytest.raises(ValueError, match=r"compute\(\) it first"):
        total.explain(after=True)
    total.compute(engine="inline")
    run = ns.runs()[-1]
    text = total.explain(after=True)
    assert text.startswith(f"run {run.run}: ")
    assert "from_pandas" in text
    assert str(run.account) in text
    assert total.explain().startswith("as written")
