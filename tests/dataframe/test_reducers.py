"""States of columns, merged in any way, give what pandas says of the whole."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbscale.dataframe.reducers import Extreme, Fold, Mean, Moments, Monotonic, Spread, Valid

FLOATS = st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=20)
CUTS = st.lists(st.integers(0, 20), max_size=4)


def reduced(reducer, series, cuts):
    bounds = sorted({0, len(series), *(c for c in cuts if c <= len(series))})
    pieces = [series.iloc[a:b] for a, b in itertools.pairwise(bounds)] or [series]
    # An empty piece in front and behind adds nothing.
    states = [reducer.partial(p) for p in [series.iloc[:0], *pieces, series.iloc[:0]]]
    tree = [reducer.combine(states[:2]), reducer.combine(states[2:])] if states[2:] else states
    state = reducer.combine(tree)
    return reducer.close(pd.Series(reducer.final(state, alone=True)))


def same(got, want):
    assert type(got) is type(want)
    missing = isinstance(want, float) and math.isnan(want)
    assert math.isnan(got) if missing else got == pytest.approx(want, rel=1e-9, abs=1e-9)


@settings(max_examples=60)
@given(FLOATS, CUTS, st.booleans())
@pytest.mark.parametrize("name", ["sum", "min", "max", "prod"])
def test_folds(name, values, cuts, skipna):
    series = pd.Series(values, dtype=float)
    if name == "prod":
        series = series / 1e6
    same(reduced(Fold(name, skipna), series, cuts), getattr(series, name)(skipna=skipna))


@settings(max_examples=60)
@given(FLOATS, CUTS, st.booleans())
def test_means_and_moments(values, cuts, skipna):
    series = pd.Series(values, dtype=float)
    same(reduced(Mean(skipna), series, cuts), series.mean(skipna=skipna))
    for ddof in (0, 1):
        want = series.var(skipna=skipna, ddof=ddof)
        same(reduced(Moments("var", ddof, skipna), series, cuts), want)
    assert reduced(Valid(), series, cuts) == series.count()


@pytest.mark.parametrize("skipna", [True, False])
@pytest.mark.parametrize("values", [[3.0, 1.0, 1.0], [np.nan, 2.0, 5.0], [np.nan, np.nan], []])
def test_extremes_raise_where_pandas_raises(values, skipna):
    series = pd.Series(values, index=[f"r{i}" for i in range(len(values))], dtype=float)
    for name in ("idxmin", "idxmax"):
        try:
            want = getattr(series, name)(skipna=skipna)
        except ValueError:
            with pytest.raises(ValueError, match=r"."):
                reduced(Extreme(name, skipna), series, [1, 2])
        else:
            assert reduced(Extreme(name, skipna), series, [1, 2]) == want


def test_infinities_meet_across_partitions():
    series = pd.Series([np.inf, 1.0, -np.inf])
    with np.errstate(invalid="ignore"):
        assert math.isnan(reduced(Fold("sum"), series, [1, 2]))


def test_a_large_mean_costs_no_precision():
    rng = np.random.default_rng(0)
    small = rng.normal(size=1000)
    spreads = [Spread.of(part + 1e12) for part in np.split(small, 10)]
    whole = spreads[0]
    for other in spreads[1:]:
        whole = whole.merged(other)
    exact = Spread.of((small + 1e12) - 1e12)
    assert whole.squares == pytest.approx(exact.squares, rel=1e-12)


@given(st.lists(st.integers(0, 3), max_size=12), CUTS)
def test_monotonic(values, cuts):
    series = pd.Series(values, dtype="int64")
    for name in ("is_monotonic_increasing", "is_monotonic_decreasing"):
        assert reduced(Monotonic(name), series, cuts) == getattr(series, name)
