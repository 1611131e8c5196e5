"""Several single values made into one."""

from __future__ import annotations

import pandas as pd

import nbscale.dataframe as nd
from nbscale.collection import wrap
from nbscale.dataframe.combine import combined
from tests.dataframe.serial import compute


def test_values_come_in_order():
    lazy = nd.from_pandas(pd.Series([1, 2, 3]), npartitions=2)
    node = combined([lazy.max()._node, lazy.min()._node], tuple)
    assert compute(wrap(node, lazy)) == (3, 1)
    assert node.grid == (1,)
