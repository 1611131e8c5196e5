"""Values by rank: narrowed by questions, whatever the values are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nbscale.dataframe as nd
from nbscale.dataframe import narrow
from nbscale.dataframe.narrow import Look, Question, SortedColumns, Target

VALUES = st.lists(
    st.one_of(
        st.sampled_from([0.0, 1.0]), st.floats(allow_nan=False, width=32), st.floats(0, 1e-300)
    ),
    min_size=1,
    max_size=60,
)


def found(values, rank, partitions, shown):
    """The value with this rank, and the number of rounds it took."""
    lazy = nd.from_pandas(pd.Series(values), npartitions=partitions)
    node = SortedColumns(lazy._node)
    parts = [
        node.kernel()((i,), pd.Series(part))
        for i, part in enumerate(np.array_split(np.asarray(values), partitions))
    ]

    def ask(questions):
        look = Look(node, tuple(questions), shown)
        return look.combine()((0,), [look.partial()((0,), part) for part in parts])[0]

    target = Target(0, rank, inside=len(values))
    target = target.narrowed(ask([Question(0)]))
    rounds = 1
    while target.found is None:
        target = target.narrowed(ask(target.questions()))
        rounds += 1
        assert rounds < 60
    return target.found, rounds


@settings(max_examples=150)
@given(VALUES, st.integers(0, 59), st.integers(1, 4), st.integers(1, 4))
def test_any_rank_of_any_values(values, rank, partitions, shown):
    rank %= len(values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(narrow, "_FETCH", 3)
        value, _ = found(values, rank, partitions, shown)
    assert value == sorted(values)[rank]


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float32"])
def test_the_type_stays(dtype):
    values = np.arange(50).astype(dtype)
    value, _ = found(values, 7, 3, 4)
    assert value == 7
    assert value.dtype == dtype


def test_rounds_grow_slowly(monkeypatch):
    monkeypatch.setattr(narrow, "_FETCH", 100)
    values = np.random.default_rng(0).normal(size=200_000)
    value, rounds = found(values, 123_456, 8, 64)
    assert value == np.sort(values)[123_456]
    assert rounds <= 4


def test_a_value_that_is_most_of_the_column_is_found(monkeypatch):
    monkeypatch.setattr(narrow, "_FETCH", 10)
    rng = np.random.default_rng(0)
    values = np.where(rng.random(5000) < 0.9, 0.5, rng.random(5000))
    for rank in (0, 200, 2500, 4800, 4999):
        assert found(values, rank, 5, 8)[0] == np.sort(values)[rank]


def test_missing_values_are_left_out_and_dates_are_integers():
    dates = pd.Series(pd.to_datetime(["2021", None, "2020"]))
    part = SortedColumns(nd.from_pandas(dates)._node).kernel()((0,), dates)
    (column,) = part.columns
    assert column.values.dtype == np.int64
    assert column.values.tolist() == sorted(dates.dropna().array.view("i8").tolist())
    assert column.rows == 3
    assert part.nbytes == 16
