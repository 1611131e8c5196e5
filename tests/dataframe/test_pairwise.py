"""Moments of pairs of columns, merged."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbscale.dataframe.pairwise import Pairs

ROW = st.tuples(*[st.one_of(st.just(np.nan), st.integers(-50, 50).map(float))] * 3)


@settings(max_examples=60)
@given(st.lists(ROW, min_size=1, max_size=20), st.lists(st.integers(0, 20), max_size=3))
def test_merged_parts_are_the_whole(rows, cuts):
    values = np.array(rows, dtype=float)
    bounds = [0, *sorted(c for c in cuts if c <= len(values)), len(values)]
    parts = [Pairs.of(values[a:b]) for a, b in itertools.pairwise(bounds)]
    whole = parts[0]
    for other in parts[1:]:
        whole = whole.merged(other)
    frame = pd.DataFrame(values)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        covariance = frame.cov()
    close = {"rtol": 1e-9, "atol": 1e-9, "equal_nan": True}
    assert np.allclose(whole.covariance(1, 1), covariance, **close)
    want = frame.corr().to_numpy()
    # A column that is constant up to rounding has no correlation or any: neither is wrong.
    spread = np.sqrt(whole.squares * whole.squares.T) > 1e-9
    assert np.allclose(whole.correlation(1)[spread], want[spread], **close)


def test_large_means_cost_no_precision():
    rng = np.random.default_rng(0)
    small = rng.normal(size=(500, 2))
    moved = small + 1e10
    whole = Pairs.of(moved[:250]).merged(Pairs.of(moved[250:]))
    exact = Pairs.of(moved - 1e10)
    assert np.allclose(whole.products, exact.products, rtol=1e-9)


def test_few_pairs_are_missing():
    values = np.array([[1.0, 2.0], [2.0, np.nan], [3.0, 5.0]])
    found = Pairs.of(values).covariance(1, 3)
    assert np.isnan(found[0, 1])
    assert found[0, 0] == pytest.approx(1.0)
