from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbscale import array as na
from tests.array.serial import run


def same(lazy, want):
    got = run(lazy).value
    assert lazy.dtype == want.dtype == got.dtype
    assert lazy.shape == want.shape
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("chunks", [-1, 2, 3])
@pytest.mark.parametrize("dtype", ["f8", "i4", "?", "c16"])
def test_filled_arrays(chunks, dtype):
    same(na.ones((3, 4), dtype, chunks=chunks), np.ones((3, 4), dtype))
    same(na.zeros((3, 4), dtype, chunks=chunks), np.zeros((3, 4), dtype))
    same(na.full((3, 4), 5, dtype, chunks=chunks), np.full((3, 4), 5, dtype))
    assert na.empty((3, 4), dtype, chunks=chunks).shape == (3, 4)


def test_full_takes_the_dtype_of_its_value():
    same(na.full(3, 7), np.full(3, 7))
    same(na.full((), 2.5), np.full((), 2.5))
    same(na.full(2, np.float32(2)), np.full(2, np.float32(2)))
    same(na.full(2, na.ones(3).sum()), np.full(2, 3.0))
    with pytest.raises(ValueError, match="scalar"):
        na.full(3, [1, 2, 3])
    with pytest.raises(OverflowError):
        na.full(3, 1000, "u1")


def test_likes():
    x = na.ones((4, 4), "f4", chunks=2)
    assert na.zeros_like(x).chunks == x.chunks
    same(na.zeros_like(x), np.zeros((4, 4), "f4"))
    same(na.ones_like(np.arange(3)), np.ones(3, int))
    same(na.full_like(x, 3, dtype="i8", shape=2), np.full(2, 3))
    assert na.empty_like([1, 2]).dtype == np.int64


@pytest.mark.parametrize(
    "args",
    [
        (5,),
        (0,),
        (2, 9),
        (9, 2),
        (9, 2, -1),
        (2, 12, 3),
        (0.0, 1.0, 0.1),
        (1, 2, 0.3),
        (-3,),
        (0, 1e16, 1e15),
        (np.float32(0), np.float32(1), np.float32(0.1)),
        (0.1, 7.7, 0.7),
    ],
)
@pytest.mark.parametrize("chunks", [-1, 2, 3])
def test_arange(args, chunks):
    same(na.arange(*args, chunks=chunks), np.arange(*args))


@pytest.mark.parametrize("dtype", ["f4", "i2", "u8", "f8"])
def test_arange_of_a_dtype(dtype):
    same(na.arange(0, 50, 3, dtype, chunks=4), np.arange(0, 50, 3, dtype))


def test_arange_of_dates():
    want = np.arange("2020-01", "2020-03", dtype="M8[D]")
    same(na.arange("2020-01", "2020-03", dtype="M8[D]", chunks=7), want)


def test_arange_needs_a_step():
    with pytest.raises(ZeroDivisionError):
        na.arange(0, 5, 0)


@given(
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    st.integers(0, 40),
    st.booleans(),
    st.integers(1, 50),
)
def test_linspace(start, stop, num, endpoint, chunks):
    want, step = np.linspace(start, stop, num, endpoint, retstep=True)
    lazy, our_step = na.linspace(start, stop, num, endpoint, retstep=True, chunks=chunks)
    same(lazy, want)
    np.testing.assert_array_equal(our_step, step)


def test_linspace_of_integers():
    same(na.linspace(0, 10, 7, dtype=int, chunks=3), np.linspace(0, 10, 7, dtype=int))


@pytest.mark.parametrize("k", [-3, 0, 2, 9])
@pytest.mark.parametrize("chunks", [-1, 2, (1, 3)])
def test_eye(k, chunks):
    same(na.eye(5, 4, k, int, chunks=chunks), np.eye(5, 4, k, int))
    same(na.identity(3), np.identity(3))


def test_shapes_that_are_none():
    with pytest.raises(ValueError, match="negative dimensions"):
        na.ones((3, -1))
    with pytest.raises(TypeError):
        na.ones("ab")
