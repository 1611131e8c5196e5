from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nbscale import array as na
from tests.array.serial import run

dtypes = st.sampled_from(["?", "i1", "u1", "i4", "i8", "u8", "f2", "f4", "f8", "c8"])
scalars = st.sampled_from([True, 2, 2.5, 1 + 2j, np.float32(2), np.int8(3), np.float64(2)])


@given(dtypes, dtypes, scalars)
def test_promotion_is_numpys(one, other, scalar):
    x, y = np.ones((2, 3), one), np.ones(3, other)
    a, b = na.from_array(x), na.from_array(y)
    assert (a * b).dtype == (x * y).dtype
    assert (a * scalar).dtype == (x * scalar).dtype
    assert (scalar + a).dtype == (scalar + x).dtype
    assert np.multiply(a[0, 0], b).dtype == np.multiply(x[0, 0], y).dtype


@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=4), st.data())
def test_broadcasting_is_numpys(shapes, data):
    rng = np.random.default_rng(1)
    arrays = [rng.integers(0, 9, shape) for shape in shapes.input_shapes]
    lazy = [na.from_array(a, data.draw(st.integers(1, 4))) for a in arrays]
    made = lazy[0] - lazy[1]
    assert made.shape == shapes.result_shape
    np.testing.assert_array_equal(run(made).value, arrays[0] - arrays[1])


def test_shapes_that_do_not_go_together():
    with pytest.raises(
        ValueError, match=r"could not be broadcast together with shapes \(3,\) \(4,\)"
    ):
        na.ones(3) + na.ones(4)
    with pytest.raises(ValueError, match="broadcast"):
        na.ones((3, 2)) * np.ones(4)


def test_chunks_follow_the_larger_operand():
    x, y = na.ones((10, 10), chunks=5), na.ones(10, chunks=3)
    assert (x + y).chunks == (y + x).chunks == x.chunks


def test_equal_operations_are_one_node():
    x = na.arange(5)
    assert (x + 1)._node is (x + 1)._node
    assert (x + 1)._node is not (x + 1.0)._node
    assert (x + np.int8(1))._node is not (x + 1)._node


def test_functions_of_two_results():
    x = np.array([2.5, -3.75])
    lazy = na.from_array(x, 1)
    for got, want in zip(np.modf(lazy), np.modf(x), strict=True):
        np.testing.assert_array_equal(run(got).value, want)
    mantissa, exponent = na.frexp(lazy)
    np.testing.assert_array_equal(run(np.ldexp(mantissa, exponent)).value, x)


def test_a_negative_power_of_integers_is_numpys_error():
    with pytest.raises(ValueError, match="negative integer powers"):
        run(na.arange(3) ** -1)


def test_numbers_that_do_not_fit():
    with pytest.raises(OverflowError):
        na.ones(3, "u1") + 300


def test_operations_numpy_does_not_know():
    with pytest.raises(TypeError):
        na.ones(3, "f8") & 1
    with pytest.raises(TypeError):
        na.ones(3) + None
    with pytest.raises(TypeError, match="2 positional arguments"):
        na.add(na.ones(3))
    with pytest.raises(NotImplementedError, match="nonzero"):
        na.where(na.ones(3) > 0)
    with pytest.raises(ValueError, match="both or neither"):
        na.where(na.ones(3) > 0, 1)


def test_numpy_arrays_on_the_left_stay_lazy():
    x = np.arange(3)
    for lazy in (x + na.ones(3), x * na.ones(3), x < na.ones(3), np.float64(2) - na.ones(3)):
        assert isinstance(lazy, na.Array)


def test_writing_into_numpy_arrays_is_refused():
    x = np.zeros(3)
    with pytest.raises(TypeError):
        x += na.ones(3)
    with pytest.raises(TypeError):
        np.add(na.ones(3), 1, out=x)
    with pytest.raises(TypeError):
        np.add(na.ones(3), 1, where=[True, False, True])


def test_other_ufuncs():
    text = na.from_array(np.array(["a", "bcd"]), 1)
    made = np.strings.str_len(text)
    assert made.dtype == np.int64
    assert not made._node.gil_free
    np.testing.assert_array_equal(run(made).value, [1, 3])
    with pytest.raises(TypeError, match="cannot be pickled"):
        np.frompyfunc(lambda v: v * 2, 1, 1)(na.arange(3))


def test_scalars_alone():
    assert run(na.sqrt(4)).value == 2
    assert na.add(np.float32(1), 2).dtype == np.float32
    assert run(na.clip(5, 1, 3)).value == 3


def test_dates_and_text():
    days = np.array(["2020-01-01", "2020-03-01"], "M8[D]")
    lazy = na.from_array(days, 1)
    made = lazy - np.datetime64("2020-01-01")
    assert made.dtype == np.dtype("m8[D]")
    np.testing.assert_array_equal(run(made).value, days - np.datetime64("2020-01-01"))
    np.testing.assert_array_equal(run(np.isnat(lazy)).value, [False, False])
    text = np.array(["a", "bcd"])
    np.testing.assert_array_equal(run(na.from_array(text, 1) == "a").value, [True, False])
    assert na.from_array(np.array([1.5, 2])).astype("U").dtype.kind == "U"


def test_astype():
    x = na.arange(3)
    assert x.astype("i8") is x
    with pytest.raises(TypeError, match="Cannot cast"):
        na.ones(3).astype("i4", casting="safe")


def test_warnings_are_not_given():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = run(1 / na.zeros(3)).value
    assert np.isinf(value).all()


def test_a_long_chain():
    x = na.zeros(4)
    for _ in range(5000):
        x = x + 1
    np.testing.assert_array_equal(run(x).value, np.full(4, 5000.0))
    del x
