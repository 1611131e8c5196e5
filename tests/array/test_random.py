from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbscale import array as na
from nbscale.array.streams import tile_of
from tests.array.serial import run


def made(shape, chunks, seed=1, name="random", *args):
    rng = na.random.default_rng(seed)
    return run(getattr(rng, name)(*args, size=shape, chunks=chunks)).value


@pytest.mark.parametrize("shape", [(100_000,), (600, 300), (40, 50, 60), (3, 200_000)])
def test_numbers_do_not_depend_on_chunks(shape):
    whole = made(shape, -1)
    assert whole.shape == shape
    for chunks in ("auto", 97, tuple(max(1, n // 3) for n in shape)):
        if np.prod([-(-n // 97) for n in shape]) < 1000 or chunks != 97:
            np.testing.assert_array_equal(made(shape, chunks), whole)


@given(st.data())
def test_any_slice_is_the_same_numbers(data):
    whole = made((300, 520), -1)
    chunks = (data.draw(st.integers(40, 300)), data.draw(st.integers(40, 520)))
    lazy = na.random.default_rng(1).random((300, 520), chunks=chunks)
    index = (data.draw(st.slices(300)), data.draw(st.slices(520)))
    np.testing.assert_array_equal(run(lazy[index]).value, whole[index])


def test_tiles_hold_about_as_many_numbers_whatever_the_shape():
    for shape in [(10**6,), (10**4, 10**4), (10**6, 20), (7, 10**7), (300,) * 3, (50,) * 5]:
        tile = tile_of(shape)
        assert 2**14 < np.prod(tile) <= 2**16
        assert all(side <= n for side, n in zip(tile, shape, strict=True))
    assert tile_of(()) == ()
    assert tile_of((0, 5)) == (1, 5)


def test_a_small_slice_makes_only_its_tiles():
    x = na.random.default_rng(1).random((2560, 2560))
    got = run(x[:5, :5])
    assert got.calls == {"random.random": 1}
    np.testing.assert_array_equal(got.value, made((2560, 2560), -1)[:5, :5])


def test_an_array_is_the_same_every_time_and_another_is_not():
    x, y = na.random.random(1000), na.random.random(1000)
    np.testing.assert_array_equal(run(x).value, run(x).value)
    assert not np.array_equal(run(x).value, run(y).value)
    rng = na.random.default_rng(5)
    assert not np.array_equal(run(rng.random(100)).value, run(rng.random(100)).value)


def test_seeds():
    na.random.seed(3)
    one = run(na.random.rand(5)).value
    na.random.seed(3)
    np.testing.assert_array_equal(run(na.random.rand(5)).value, one)
    rng = na.random.default_rng(3)
    assert na.random.default_rng(rng) is rng
    assert not np.array_equal(made((5,), -1, 1), made((5,), -1, 2))


MOMENTS = {
    "random": ((), 0.5, 1 / 12),
    "standard_normal": ((), 0, 1),
    "uniform": ((2, 6), 4, 16 / 12),
    "normal": ((3, 2), 3, 4),
    "exponential": ((2,), 2, 4),
    "integers": ((0, 10), 4.5, 99 / 12),
    "poisson": ((4,), 4, 4),
    "binomial": ((10, 0.3), 3, 2.1),
    "gamma": ((2, 3), 6, 18),
    "beta": ((2, 2), 0.5, 0.05),
    "choice": (([1, 5],), 3, 4),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_moments(name):
    args, mean, variance = MOMENTS[name]
    rng = na.random.default_rng(0)
    x = run(getattr(rng, name)(*args, size=200_000, chunks=50_000)).value
    assert abs(x.mean() - mean) < 5 * np.sqrt(variance / 200_000)
    assert abs(x.var() / variance - 1) < 0.05


def test_tiles_are_independent():
    x = made((4, 65536), (1, 65536), 7, "standard_normal")
    assert np.abs(np.corrcoef(x) - np.eye(4)).max() < 0.02


def test_the_functions_of_the_module():
    assert na.random.random(2).shape == (2,)
    assert na.random.random((2, 3)).shape == (2, 3)
    assert na.random.random().shape == ()
    assert 0 <= float(run(na.random.random()).value) < 1
    assert na.random.randn(2, 3).dtype == np.float64
    assert na.random.randint(5, size=3).dtype == np.int64
    assert set(run(na.random.integers(1, 2, size=9)).value) == {1}
    for array in (
        na.random.uniform(1, 2, 3),
        na.random.normal(0, 1, 3),
        na.random.exponential(1, 3),
        na.random.poisson(1, 3),
        na.random.binomial(2, 0.5, 3),
        na.random.gamma(1, 1, 3),
        na.random.beta(1, 1, 3),
        na.random.choice(3, 3),
        na.random.standard_normal(3),
        na.random.random_sample(3),
    ):
        assert run(array).value.shape == (3,)


def test_parameters_that_are_arrays():
    rng = na.random.default_rng(1)
    x = run(rng.normal(np.array([0.0, 100.0]), 1.0, (1000, 2))).value
    assert x[:, 1].min() > 50 > x[:, 0].max()
    assert run(rng.uniform(na.zeros(3), 1, 3)).value.shape == (3,)


def test_float32_and_endpoints():
    rng = na.random.default_rng(1)
    assert run(rng.random(5, "f4")).value.dtype == np.float32
    assert set(run(rng.integers(0, 1, 100, endpoint=True)).value) == {0, 1}
    assert set(run(rng.choice(["a", "b"], 50, p=[0, 1])).value) == {"b"}


def test_parameters_that_make_no_sense():
    rng = na.random.default_rng(1)
    with pytest.raises(ValueError, match="scale < 0"):
        rng.normal(0, -1, 3)
    with pytest.raises(ValueError, match="low >= high"):
        rng.integers(3, 1, 3)
    with pytest.raises(NotImplementedError, match="replace=False"):
        rng.choice(5, 3, replace=False)
    with pytest.raises(ValueError, match="one-dimensional"):
        rng.choice([[1]], 3)
    with pytest.raises(TypeError):
        rng.random(3, "i8")


def test_chosen_chunks_are_multiples_of_tiles():
    x = na.random.random((10_000, 10_000))
    assert all(n % 256 == 0 for n in x.chunks[0][:-1])
