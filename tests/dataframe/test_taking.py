"""Rows of several pieces in a new order."""

import itertools
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from nbscale.dataframe.taking import taken
from tests.oracle.frames import FRAMES, standard


def whole_and_pieces(name, rows, cuts):
    data = standard(name, rows)
    data["any"] = pd.Series(["x", 1, None] * rows, dtype=object).to_numpy()[: len(data)]
    data["text"] = pd.Series(["t"] * len(data), dtype=object, index=data.index)
    at = np.linspace(0, len(data), cuts + 1).astype(int)
    return data, [data.iloc[a:b] for a, b in itertools.pairwise(at)]


@pytest.mark.parametrize("cuts", [1, 2, 7])
@pytest.mark.parametrize("rows", [60, 7_700], ids=["short", "long"])
@pytest.mark.parametrize("name", FRAMES)
def test_is_what_concat_and_take_give(name, rows, cuts):
    data, pieces = whole_and_pieces(name, rows, cuts)
    order = np.random.default_rng(0).permutation(len(data))
    expected = data.take(order)
    pd.testing.assert_frame_equal(taken(pieces, order), expected, check_index_type="equiv")
    pd.testing.assert_frame_equal(taken(pieces, order, without="num"), expected.drop(columns="num"))
    pd.testing.assert_series_equal(taken([p["val"] for p in pieces], order), expected["val"])


def test_columns_of_one_name_are_kept_apart():
    data = pd.DataFrame([[1, 2.5], [3, 4.5], [5, 6.5]], columns=["a", "a"])
    done = taken([data[:1], data[1:]], np.array([2, 0, 1]))
    pd.testing.assert_frame_equal(done, data.take([2, 0, 1]))


@pytest.mark.parametrize("rows", [3, 1_500])
def test_pieces_that_differ_in_dtype_are_promoted(rows):
    pieces = [pd.DataFrame({"a": np.arange(rows)}), pd.DataFrame({"a": np.full(rows, 0.5)})]
    order = np.arange(2 * rows)[::-1]
    expected = pd.concat(pieces, ignore_index=True).take(order)
    assert taken(pieces, order)["a"].tolist() == expected["a"].tolist()
    assert taken(pieces, order)["a"].dtype == "float64"


def test_many_short_pieces_cost_little_more_than_the_answer():
    # 1.44 times the answer; 1.78 if every column of every piece is looked at where it lies.
    columns = {f"c{i}": pd.Series(np.arange(2_560, dtype=float)) for i in range(32)}
    columns |= {f"i{i}": pd.Series(np.arange(2_560)) for i in range(32)}
    data = pd.concat(columns, axis=1)
    pieces = [data.iloc[i : i + 40] for i in range(0, len(data), 40)]
    order = np.random.default_rng(0).permutation(len(data))
    taken(pieces[:2], order[order < 80])  # what is made once and kept
    tracemalloc.start()
    try:
        done = taken(pieces, order)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= 1.6 * done.memory_usage().sum()
