from __future__ import annotations

import pandas as pd
import pytest

from nbscale.dataframe.elementwise import Assign, Elementwise
from nbscale.dataframe.rows import CountRows
from nbscale.dataframe.select import Column, Filter, Project
from nbscale.dataframe.source import FromPandas, NumberRows, Snapshot
from nbscale.expr.node import walk
from nbscale.plan.rules import number_late, prune
from tests.dataframe.serial import run_nodes


@pytest.fixture
def source():
    data = pd.DataFrame({"x": range(9), "y": range(9), "z": list("abcdefghi")})
    return FromPandas(Snapshot(data), (0, 4, 9))


def sources(root):
    return [n for n in walk((root,)) if isinstance(n, FromPandas)]


def test_columns_nobody_reads_are_not_loaded(source):
    (after,) = prune.apply((Column(Assign(source, ("w",), (Column(source, "y"),)), "w"),))
    assert [s.wanted for s in sources(after)] == [("y",)]


def test_columns_nobody_reads_are_not_made(source):
    made = Assign(Assign(source, ("v",), (1,)), ("w",), (Column(source, "y"),))
    (after,) = prune.apply((Project(made, ("x",)),))
    assert sources(after) == [after]
    assert after.wanted == ("x",)


def test_what_two_results_need_together_is_loaded_once(source):
    one, two = prune.apply((Column(source, "x"), Column(source, "y")))
    assert sources(one) == sources(two)
    assert sources(one)[0].wanted == ("x", "y")


def test_counting_rows_needs_no_column(source):
    (after,) = prune.apply((CountRows(source),))
    assert sources(after)[0].wanted == ()
    assert run_nodes(after, rules=()) == [[9]]


def test_a_projection_that_changes_nothing_goes(source):
    (after,) = prune.apply((Project(Project(source, ("x", "y")), ("x", "y")),))
    assert isinstance(after, FromPandas)


def test_rows_are_numbered_only_if_the_index_is_read(source):
    numbers = NumberRows(source, source)
    (kept,) = prune.apply((numbers,))
    (gone,) = prune.apply((CountRows(numbers),))
    assert isinstance(kept, NumberRows)
    assert not any(isinstance(n, NumberRows) for n in walk((gone,)))


def test_rows_are_numbered_after_filters_and_arithmetic(source):
    numbers = NumberRows(source, source)
    mask = Elementwise(Column(numbers, "x"), "operator.gt", (3,))
    root = Elementwise(Column(Filter(numbers, mask), "y"), "operator.add", (1,))
    (after,) = number_late.apply((root,))
    assert isinstance(after, NumberRows)
    assert after.inputs[1] is source
    assert sum(isinstance(n, NumberRows) for n in walk((after,))) == 1


def test_numbers_of_two_sources_stay_apart(source):
    other = FromPandas(source.snapshot, (0, 5, 9))
    a, b = Column(NumberRows(source, source), "x"), Column(NumberRows(other, other), "y")
    root = Elementwise(a, "operator.add", (b,))
    assert number_late.apply((root,))[0].inputs == number_late.apply((a, b))
