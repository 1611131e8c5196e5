from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbscale import array as na
from tests.array.serial import run


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.integers(0, 1))
def test_running_sums_over_any_chunks(sizes, axis):
    shape = (sum(sizes), 3) if axis == 0 else (3, sum(sizes))
    x = np.arange(3 * sum(sizes)).reshape(shape)
    chunks = (tuple(sizes), 2) if axis == 0 else (2, tuple(sizes))
    lazy = na.from_array(x, chunks).cumsum(axis=axis)
    np.testing.assert_array_equal(run(lazy).value, x.cumsum(axis=axis))


def test_small_integers_add_up_in_large_ones():
    x = np.full(300, 200, "u1")
    made = na.from_array(x, 70).cumsum()
    assert made.dtype == x.cumsum().dtype
    np.testing.assert_array_equal(run(made).value, x.cumsum())
    np.testing.assert_array_equal(
        run(na.from_array(x, 70).cumsum(dtype="u1")).value, x.cumsum(dtype="u1")
    )


def test_products():
    x = np.arange(1, 13).reshape(3, 4)
    np.testing.assert_array_equal(run(na.from_array(x, 2).cumprod()).value, x.cumprod())


def test_the_first_of_a_running_sum_need_only_the_first_chunks():
    x = na.random.random(1000, chunks=100)
    got = run(x.cumsum()[:150])
    assert got.calls["random.random"] <= 4


def test_axes_that_are_not_there():
    with pytest.raises(np.exceptions.AxisError):
        na.ones(3).cumsum(axis=1)
