"""Renaming columns: which words go together, and what is read."""

from __future__ import annotations

import pandas as pd
import pytest

import nbscale.dataframe as nd
from nbscale.testing.oracle import assert_same

FRAME = pd.DataFrame({"x": [1, 2], "y": [3.0, 4.0]})


@pytest.mark.parametrize(
    "words",
    [
        {"columns": {"x": "a"}},
        {"columns": str.upper},
        {"mapper": {"y": "x", "x": "y"}, "axis": 1},
        {"mapper": str.upper, "axis": "columns"},
        {"columns": {"nowhere": "z"}},
    ],
)
def test_the_same_as_pandas(words):
    assert_same(nd.from_pandas(FRAME).rename(**words).compute(), FRAME.rename(**words))


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        ({"columns": {"x": "a"}, "axis": 1}, TypeError, "axis goes with a mapper"),
        ({"mapper": str.upper, "columns": str.upper}, TypeError, "not both"),
        ({}, TypeError, "use columns="),
        ({"columns": {"x": "a"}, "errors": "rasie"}, ValueError, "not 'rasie'"),
        ({"columns": {"nowhere": "z"}, "errors": "raise"}, KeyError, "nowhere"),
        ({"index": {0: 1}}, NotImplementedError, "labels of rows"),
    ],
)
def test_what_does_not_go_together_is_said(words, error, says):
    with pytest.raises(error, match=says):
        nd.from_pandas(FRAME).rename(**words)
