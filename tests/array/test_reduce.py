from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nbscale import array as na
from tests.array.serial import run

values = st.sampled_from([-2.0, -0.0, 0.0, 1.0, 1.0, 3.0, np.nan, np.inf])
arrays = hnp.arrays("f8", hnp.array_shapes(min_dims=1, max_dims=3, max_side=6), elements=values)


@given(arrays, st.integers(1, 4), st.data())
def test_chosen_values_and_their_places(x, chunks, data):
    lazy = na.from_array(x, chunks)
    axis = data.draw(st.none() | st.integers(-x.ndim, x.ndim - 1))
    for name in ("min", "max", "argmin", "argmax", "any", "all"):
        want = getattr(np, name)(x, axis=axis)
        got = run(getattr(lazy, name)(axis=axis)).value
        np.testing.assert_array_equal(got, want, name)
        assert np.asarray(got).dtype == np.asarray(want).dtype


def test_the_same_bits_every_time_and_on_every_engine():
    x = na.random.default_rng(1).random((1000, 300), chunks=70)
    wanted = [x.sum(), x.std(axis=0), x.mean(axis=1)]
    first = [run(w).value.tobytes() for w in wanted]
    for engine in ("inline", "threads"):
        assert [w.compute(engine=engine).tobytes() for w in wanted] == first


def test_sums_are_as_good_as_numpys():
    x = np.random.default_rng(1).random(100_000) * 1e8
    exact = float(np.sum(x.astype(np.longdouble)))
    lazy = na.from_array(x, 997)
    assert abs(run(lazy.sum()).value - exact) <= 4 * np.spacing(exact)


def test_a_moment_of_large_numbers():
    x = np.random.default_rng(1).random(10_000) + 1e9
    np.testing.assert_allclose(run(na.from_array(x, 333).var()).value, x.var(), rtol=1e-9)


@pytest.mark.parametrize("name", ["min", "max", "argmin", "argmax"])
def test_nothing_has_no_smallest(name):
    with pytest.raises(ValueError, match=r"zero-size|empty"):
        getattr(na.zeros((0, 3)), name)()
    assert getattr(na.zeros((0, 3)), name)(axis=1).shape == (0,)


def test_axes_that_are_not_there():
    with pytest.raises(np.exceptions.AxisError):
        na.ones((2, 3)).sum(axis=2)
    with pytest.raises(ValueError, match="duplicate"):
        na.ones((2, 3)).sum(axis=(0, 0))
    with pytest.raises(TypeError):
        na.ones((2, 3)).argmin(axis=(0, 1))


def test_chunks_without_elements():
    x = na.from_array(np.arange(6.0), ((0, 2, 0, 4),))
    assert run(x.min()).value == 0
    assert run(x.argmax()).value == 5
    assert run(x.var()).value == np.arange(6.0).var()
    assert run(na.nanmax(x)).value == 5


def test_no_axes():
    x = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(run(na.from_array(x, 2).sum(axis=())).value, x)
    assert run(na.full((), 3).sum()).value == 3
    assert run(na.full((), 3).argmin()).value == 0


def test_reductions_of_objects_and_booleans():
    x = np.array([3, 1, 2], object)
    assert run(na.from_array(x, 2).sum()).value == 6
    assert run(na.from_array(np.array([True, True]), 1).sum()).value == 2


def test_halves_are_added_up_as_numpy_does():
    x = np.random.default_rng(1).random(1000).astype("f2")
    got = run(na.from_array(x, 100).mean()).value
    assert got.dtype == np.float16
    np.testing.assert_allclose(got, x.mean(), rtol=1e-3)
    assert run(na.from_array(x, 100).std()).value.dtype == np.float16


def test_only_missing_values():
    x = na.full((2, 3), np.nan, chunks=1)
    assert np.isnan(run(na.nanmean(x)).value)
    assert np.isnan(run(na.nanmin(x, axis=0)).value).all()
    assert run(na.nansum(x)).value == 0


def test_functions_take_numpy_arrays_and_no_out():
    assert run(na.sum(np.arange(3))).value == 3
    assert run(np.sum(na.arange(3), out=None)).value == 3
    with pytest.raises(TypeError):
        np.sum(na.arange(3), out=np.zeros(()))
    assert na.amax is na.max
    assert np.add.reduce(na.ones((2, 3))).shape == (3,)


def test_dates():
    days = np.array(["2020-01-03", "2020-01-01"], "M8[D]")
    lazy = na.from_array(days, 1)
    assert run(lazy.min()).value == days.min()
    assert run((lazy - days[0]).sum()).value == (days - days[0]).sum()
