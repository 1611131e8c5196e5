"""Aggregates of groups: states arranged and cut like the groups they belong to."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nbscale.dataframe.aggregates import NAMED, Distinct, Grouped

CODES = np.array([0, 1, 0, -1, 2, 1])
VALUES = pd.Series([1.0, np.nan, 3.0, 9.0, 5.0, 6.0])


def state_of(name, **options):
    aggregate = NAMED[name](**options)
    table = Grouped(CODES, 3, {0: aggregate.prepared(VALUES)})
    return aggregate, aggregate.partial(table, 0)


def result(aggregate, state, n):
    if isinstance(aggregate, Distinct):
        return aggregate.counted(state, n)
    return aggregate.final(state, VALUES.dtype)


@pytest.mark.parametrize("name", sorted(NAMED))
def test_alone_is_what_pandas_says(name):
    aggregate, state = state_of(name)
    want = getattr(VALUES[CODES >= 0].groupby(CODES[CODES >= 0]), name)()
    got = pd.Series(result(aggregate, state, 3))
    pd.testing.assert_series_equal(got, want, check_names=False, check_index_type=False)


@pytest.mark.parametrize("name", sorted(NAMED))
def test_arranged_and_cut(name):
    aggregate, state = state_of(name)
    whole = np.asarray(result(aggregate, state, 3), dtype=float)
    order = np.array([2, 0, 1])
    moved = aggregate.arranged(state, order)
    assert np.array_equal(result(aggregate, moved, 3), whole[order], equal_nan=True)
    piece = aggregate.part(moved, 1, 3)
    assert np.array_equal(result(aggregate, piece, 2), whole[[0, 1]], equal_nan=True)


def test_first_and_last_skip_missing_values_across_parts():
    codes = [np.array([0, 1]), np.array([1, 0])]
    first, last = NAMED["first"](), NAMED["last"]()
    parts = [(np.array([np.nan, 1.0]),), (np.array([2.0, 3.0]),)]
    assert first.merge(parts, codes, 2)[0].tolist() == [3.0, 1.0]
    assert last.merge(parts, codes, 2)[0].tolist() == [3.0, 2.0]


def test_distinct_values_of_parts_are_counted_once():
    distinct = Distinct()
    one = distinct._pairs(np.array([0, 0, 1]), np.array([5, 5, 7]))
    other = distinct._pairs(np.array([0, 0]), np.array([7, 5]))
    merged = distinct.merge([one, other], [np.array([0, 1]), np.array([1])], 2)
    assert distinct.counted(merged, 2).tolist() == [1, 2]


def test_means_of_many_values_are_summed_with_care():
    rows = 300_000
    aggregate = NAMED["sum"]()
    table = Grouped(np.zeros(rows, dtype=np.int64), 1, {0: np.full(rows, 0.1)})
    (total,) = aggregate.partial(table, 0)[0]
    assert total == pytest.approx(rows * 0.1, rel=1e-14)
