from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nbscale.dataframe as nd


@pytest.fixture
def data():
    return pd.DataFrame({"x": [3, 1, 2], "y": [0.5, None, 1.5], "<b>": ["<i>", "&", "c"]})


@pytest.fixture
def lazy(data):
    return nd.from_pandas(data, npartitions=2)


def test_schema(lazy, data):
    assert lazy.columns.equals(data.columns)
    pd.testing.assert_series_equal(lazy.dtypes, data.dtypes)
    assert (lazy.ndim, lazy.x.ndim) == (2, 1)
    assert lazy.shape == (3, 3)
    assert lazy.x.shape == (3,)
    assert lazy.size == data.size
    assert lazy.x.size == data.x.size
    assert lazy[lazy.x > 1].size == 6
    assert lazy.x.name == "x"
    assert lazy.x.dtype == np.dtype("int64")
    assert not lazy.empty
    assert lazy[lazy.x > 9].empty
    assert list(lazy) == list(data)
    assert "x" in lazy
    assert "x" in dir(lazy)


def test_repr_shows_schema_partitions_and_sample_rows(lazy):
    text = repr(lazy)
    assert "2 partitions" in text
    assert "x int64" in text
    assert "sample" in text
    assert "not computed" in text


def test_html_escapes_what_comes_from_the_data(lazy):
    html = lazy._repr_html_()
    assert "<i>" not in html
    assert "&lt;i&gt;" in html
    assert "<b>nbscale" in html  # ours
    assert html.count("<b>") == 1


def test_missing_columns_are_named_with_near_ones(lazy):
    with pytest.raises(KeyError, match=r"no column 'xx'.*did you mean 'x'"):
        lazy["xx"]
    with pytest.raises(AttributeError, match="no attribute 'zz'"):
        _ = lazy.zz
    with pytest.raises(KeyError, match="no column"):
        lazy[["x", "nope"]]


def test_frames_refuse_truth_and_scalars_act_as_scalars(lazy):
    with pytest.raises(ValueError, match="ambiguous"):
        bool(lazy.x > 1)
    total = lazy.x.sum()
    assert total > 5
    assert int(total) == 6
    assert float(total) == 6.0
    assert f"{total:d}" == "6"
    assert list(range(10))[total] == 6


def test_a_column_is_set_in_place(lazy, data):
    lazy["z"] = lazy.x * 2
    data["z"] = data.x * 2
    pd.testing.assert_frame_equal(lazy.compute(), data)


def test_pandas_objects_are_refused_row_by_row(lazy, data):
    with pytest.raises(TypeError, match="from_pandas first"):
        lazy.x + data.x


def test_the_traceback_has_at_most_one_frame_of_ours(lazy):
    with pytest.raises(KeyError) as caught:
        lazy["nope"]
    frames = [
        f for f in caught.traceback if "nbscale/" in str(f.path) and "tests" not in str(f.path)
    ]
    assert len(frames) <= 1


def test_errors_in_functions_of_the_user_keep_type_and_frame(lazy):
    def broken(part):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        lazy.map_partitions(broken).compute()
    assert any(f.name == "broken" for f in caught.traceback)
    frames = [
        f for f in caught.traceback if "nbscale/" in str(f.path) and "tests" not in str(f.path)
    ]
    assert len(frames) <= 1


def test_a_long_chain_of_operations(lazy):
    x = lazy.x
    for _ in range(3000):
        x = x + 1
    assert x.compute().tolist() == [3003, 3001, 3002]
