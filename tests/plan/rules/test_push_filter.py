from __future__ import annotations

import pandas as pd
import pytest

from nbscale.dataframe.elementwise import Assign, Elementwise
from nbscale.dataframe.select import Column, Filter, Project
from nbscale.dataframe.source import FromPandas, Snapshot
from nbscale.plan.explain import plan_text
from nbscale.plan.rules import push_filter
from tests.dataframe.serial import run_nodes


@pytest.fixture
def source():
    return FromPandas(Snapshot(pd.DataFrame({"x": range(9), "y": range(9)})), (0, 4, 9))


def above(node, bound):
    return Elementwise(Column(node, "x"), "operator.gt", (bound,))


def shape(root):
    """The plan printed, without parameters."""
    return [line.split("(")[0] for line in plan_text(root).splitlines()]


def test_a_filter_moves_below_what_keeps_rows(source):
    root = Filter(Project(Assign(source, ("z",), (1,)), ("x", "z")), above(source, 3))
    assert shape(root)[:4] == [
        "[1] Filter",
        "  [2] Project",
        "    [3] Assign",
        "      [4] FromPandas",
    ]
    (after,) = push_filter.apply((root,))
    assert shape(after)[:4] == [
        "[1] Project",
        "  [2] Assign",
        "    [3] Filter",
        "      [4] FromPandas",
    ]
    assert run_nodes(after, rules=())[0][1].equals(run_nodes(root, rules=())[0][1])


def test_a_filter_stays_above_what_its_mask_reads(source):
    made = Assign(source, ("x",), (5,))
    root = Filter(made, above(made, 3))
    assert push_filter.apply((root,)) == (root,)


def test_a_filter_stays_above_what_others_read(source):
    made = Assign(source, ("z",), (5,))
    root = Filter(made, above(source, 3))
    assert push_filter.apply((root, made)) == (root, made)


def test_a_long_chain_takes_one_pass(source):
    node = source
    for i in range(300):
        node = Assign(node, (f"c{i % 3}",), (i,))
    (after,) = push_filter.apply((Filter(node, above(source, 3)),))
    assert isinstance(after, Assign)
    assert after.describe() == node.describe()


def test_the_source_gets_the_mask_as_a_hint(source):
    class Skips(FromPandas):
        hint: str = ""

        def hinted(self, mask):
            return self if self.hint else self.replace(hint=mask.describe())

    skips = Skips(source.snapshot, source.bounds)
    root = Filter(Project(skips, ("x",)), above(skips, 3))
    (after,) = push_filter.apply((root,))
    sources = [n for n in after.inputs[0].inputs if isinstance(n, Skips)]
    assert isinstance(after, Project)
    assert sources[0].hint.startswith("Elementwise(method='operator.gt'")
    assert (push_filter.apply((after,))) == (after,)
