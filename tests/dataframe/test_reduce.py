"""Reductions as a user calls them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nbscale.dataframe as nd
from tests.dataframe.serial import compute

FRAME = pd.DataFrame({"x": range(20), "y": np.linspace(0, 1, 20), "t": list("ab") * 10})


@pytest.fixture
def lazy():
    return nd.from_pandas(FRAME, npartitions=4)


def test_scalars_stay_lazy_until_their_value_is_needed(lazy):
    top = lazy.x.max()
    assert compute(top - lazy.x.min()) == 19
    assert compute(lazy[lazy.x == top].t).tolist() == ["b"]


def test_a_frame_less_its_mean(lazy):
    got = compute(lazy[["x", "y"]] - lazy[["x", "y"]].mean())
    numbers = FRAME[["x", "y"]]
    pd.testing.assert_frame_equal(got, numbers - numbers.mean())


def test_only_pearson(lazy):
    with pytest.raises(NotImplementedError, match="pearson"):
        lazy[["x", "y"]].corr(method="spearman")
    with pytest.raises(NotImplementedError, match="pearson"):
        lazy.x.corr(lazy.y, method="kendall")
    with pytest.raises(TypeError, match="lazy Series"):
        lazy.x.corr(FRAME.y)


def test_numeric_only_of_text_is_refused(lazy):
    with pytest.raises(TypeError, match="needs numbers"):
        lazy.t.sum(numeric_only=True)


def test_axes_that_are_not_there(lazy):
    with pytest.raises(ValueError, match="axis=2"):
        lazy.max(axis=2)
    with pytest.raises(ValueError, match="axis=None"):
        lazy[["x"]].sum(axis=None)
