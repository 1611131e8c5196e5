"""Several reductions in one pass."""

from __future__ import annotations

import pandas as pd
import pytest

import nbscale.dataframe as nd
from nbscale.dataframe.summary import Summary
from nbscale.expr.node import walk
from tests.dataframe.serial import compute

FRAME = pd.DataFrame({"x": range(12), "y": 0.5, "t": list("abcdef") * 2})


@pytest.fixture
def lazy():
    return nd.from_pandas(FRAME, npartitions=3)


def test_all_that_need_one_pass_share_it(lazy):
    node = lazy.agg({"x": ["sum", "min", "std"], "y": ["mean", "max"]})._node
    found = [n for n in walk((node,)) if isinstance(n, Summary)]
    assert len(found) == 1
    assert len(found[0].wanted) == 5


def test_one_asked_for_twice_is_computed_once(lazy):
    made = lazy.x.agg({"a": "sum", "b": "sum"})
    (summary,) = [n for n in walk((made._node,)) if isinstance(n, Summary)]
    assert len(summary.wanted) == 1
    assert compute(made).to_dict() == {"a": 66, "b": 66}


def test_columns_nobody_asked_for_are_not_read(lazy):
    node = lazy.agg({"x": "sum"})._node
    (summary,) = [n for n in walk((node,)) if isinstance(n, Summary)]
    (need,) = summary.needs(None)
    assert need.columns == {"x"}


def test_refused(lazy):
    with pytest.raises(NotImplementedError, match="median"):
        lazy.agg(lambda column: 1)
    with pytest.raises(TypeError, match="names of reductions"):
        lazy.agg()
    with pytest.raises(KeyError, match="no column 'nix'"):
        lazy.agg({"nix": "sum"})
    with pytest.raises(TypeError, match=r"\('column', 'sum'\)"):
        lazy.agg(total="sum")
    with pytest.raises(NotImplementedError, match="axis"):
        lazy.agg("sum", axis=1)
    with pytest.raises(TypeError):
        lazy.agg({"t": ["mean"]})


def test_functions_that_have_a_name_mean_it(lazy):
    assert compute(lazy.x.agg([sum, max])).to_dict() == {"sum": 66, "max": 11}
