"""The node that reduces columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nbscale.dataframe as nd
from nbscale.dataframe.columnwise import Reduction
from nbscale.dataframe.reducers import Extreme, Fold, Mean
from nbscale.expr.need import Need
from tests.dataframe.serial import run_nodes

FRAME = pd.DataFrame({"x": range(40), "y": np.linspace(0, 1, 40), "t": list("abcd") * 10})


def test_states_hold_one_value_a_column():
    lazy = nd.from_pandas(FRAME, npartitions=5)
    node = Reduction(lazy[["x", "y"]]._node, Fold("sum"))
    state = node.partial()((0,), FRAME[["x", "y"]])
    assert [len(value) for value, _, _ in state.columns] == [1, 1]


def test_index_and_order_are_read_only_where_they_matter():
    node = nd.from_pandas(FRAME, npartitions=5)[["x"]]._node
    (need,) = Reduction(node, Mean()).needs(Need())
    assert not need.index
    assert not need.order
    (need,) = Reduction(node, Extreme("idxmin")).needs(Need())
    assert need.index
    assert need.order


def test_equal_reductions_are_one_node():
    lazy = nd.from_pandas(FRAME, npartitions=5)
    assert lazy.x.sum()._node is lazy.x.sum()._node
    assert lazy.x.sum()._node is not lazy.x.sum(min_count=1)._node


def test_the_result_is_one_partition_with_the_columns_as_labels():
    lazy = nd.from_pandas(FRAME, npartitions=5)
    ((value,),) = run_nodes(lazy[["x", "y"]].max()._node)
    pd.testing.assert_series_equal(value, FRAME[["x", "y"]].max())


def test_mistakes_are_told_when_they_are_made():
    lazy = nd.from_pandas(FRAME, npartitions=5)
    with pytest.raises(TypeError):
        lazy.mean()
    with pytest.raises(TypeError):
        lazy.t.prod()
    with pytest.raises(ValueError, match="axis"):
        lazy.sum(axis=2)
