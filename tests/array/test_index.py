from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nbscale import array as na
from tests.array.serial import run

SHAPE = (5, 6, 7)


@given(hnp.basic_indices(SHAPE, allow_newaxis=True), st.integers(1, 7))
def test_basic_indices(index, chunks):
    x = np.arange(210).reshape(SHAPE)
    made = na.from_array(x, chunks)[index]
    want = x[index]
    assert made.shape == want.shape
    np.testing.assert_array_equal(run(made).value, want)
    summed = (na.from_array(x, chunks).cumsum(axis=0))[index]
    np.testing.assert_array_equal(run(summed).value, x.cumsum(axis=0)[index])


@given(st.data(), st.integers(1, 6), st.integers(0, 2))
def test_arrays_of_integers_and_masks(data, chunks, axis):
    x = np.arange(210).reshape(SHAPE)
    n = SHAPE[axis]
    places = data.draw(
        st.lists(st.integers(-n, n - 1), max_size=12).map(lambda v: np.array(v, int))
        | hnp.arrays(bool, n)
    )
    others = [data.draw(st.just(slice(None)) | st.integers(0, 4) | st.slices(5)) for _ in range(2)]
    index = (*others[:axis], places, *others[axis:])
    want = x[index]
    made = na.from_array(x, chunks)[index]
    assert made.shape == want.shape
    np.testing.assert_array_equal(run(made).value, want)
    np.testing.assert_array_equal(run((na.from_array(x, chunks) + 1)[index]).value, want + 1)


@pytest.mark.parametrize(
    ("index", "match"),
    [
        (5, "index 5 is out of bounds for axis 0 with size 5"),
        ((0, -7), "index -7 is out of bounds for axis 1 with size 6"),
        ((0, 0, 0, 0), "too many indices"),
        ((..., ...), "single ellipsis"),
        ("a", "only integers"),
        (1.5, "only integers"),
        ([9], "index 9 is out of bounds"),
        ([1.5], "integer"),
        (np.array([True, False]), "boolean index did not match"),
    ],
)
def test_indices_outside(index, match):
    x = np.zeros(SHAPE)
    with pytest.raises(IndexError):
        x[index]
    with pytest.raises(IndexError, match=match):
        na.from_array(x)[index]


def test_what_is_not_there():
    x = na.ones((3, 3))
    with pytest.raises(NotImplementedError, match="one array"):
        x[[0, 1], [0, 1]]
    with pytest.raises(NotImplementedError, match="True or False"):
        x[True]
    with pytest.raises(TypeError, match="where"):
        x[0] = 1


def test_a_slice_reads_only_its_chunks():
    x = na.random.random((1000, 1000), chunks=100).cumsum(axis=0)
    got = run(x[5:20, 950:])
    assert got.calls["random.random"] <= 2


def test_a_take_reads_only_its_chunks():
    x = na.random.random(10_000, chunks=100)
    got = run(x[[5, 9_999]])
    assert got.value.shape == (2,)
    assert got.calls["random.random"] == 2


def test_iteration():
    rows = list(na.arange(6).reshape(2, 3))
    assert [run(row).value.tolist() for row in rows] == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(TypeError, match="0-d"):
        iter(na.full((), 1))


def test_backwards_twice_is_forwards():
    x = na.arange(12, chunks=3)
    made = (x[::-1] + 1)[::-1]
    assert run(made).value.tolist() == list(range(1, 13))
    assert run((made[::-1] * 2)[::-1].argmax()).value == 11
