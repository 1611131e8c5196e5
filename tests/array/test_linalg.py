from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbscale import array as na
from nbscale.array.product import Mirror, Product
from tests.array.serial import run

rng = np.random.default_rng(1)


@given(st.data())
def test_products_over_any_chunks(data):
    x, y = rng.integers(-9, 9, (5, 7)), rng.integers(-9, 9, (7, 6))
    cut = [data.draw(st.integers(1, 7)) for _ in range(4)]
    a, b = na.from_array(x, tuple(cut[:2])), na.from_array(y, tuple(cut[2:]))
    np.testing.assert_array_equal(run(a @ b).value, x @ y)
    np.testing.assert_array_equal(run((b.T @ a.T)[1:3]).value, (y.T @ x.T)[1:3])


@pytest.mark.parametrize("chunks", [3, (2, 9), (9, 2), -1])
@pytest.mark.parametrize("kind", ["f8", "f4", "i8", "?", "c16"])
def test_symmetric_products(chunks, kind):
    x = (rng.random((8, 9)) * 5).astype(kind)
    lazy = na.from_array(x, chunks)
    for got, want in ((lazy.dot(lazy.T), x.dot(x.T)), (lazy.T @ lazy, x.T @ x)):
        assert got.dtype == want.dtype
        made = run(got).value
        np.testing.assert_allclose(made, want, rtol=1e-5 if kind == "f4" else 1e-12)
        np.testing.assert_array_equal(made, made.T)


def test_half_of_a_symmetric_product_is_computed():
    x = na.random.random((400, 100), chunks=100)
    y = x.dot(x.T)
    assert isinstance(y._node, Mirror)
    products = []
    real, np.matmul = np.matmul, lambda *a, **k: products.append(1) or real(*a, **k)
    try:
        run(y)
    finally:
        np.matmul = real
    assert len(products) == 10
    assert isinstance(x.dot((x + 1).T)._node, Product)


def test_the_array_job_makes_only_the_tiles_it_needs():
    x = na.random.default_rng(1).random((10_000, 10_000))
    y = x.dot(x.T) - x.mean(axis=0)
    got = run(y[:5, :5])
    assert got.calls["random.random"] == sum(x.numblocks)
    rows, columns = run(x[:5]).value, run(x[:, :5]).value
    np.testing.assert_allclose(got.value, rows @ rows.T - columns.mean(axis=0), rtol=1e-12)


def test_a_slice_across_the_diagonal():
    x = rng.random((50, 20))
    lazy = na.from_array(x, 7)
    y = lazy.dot(lazy.T)
    want = x.dot(x.T)
    np.testing.assert_allclose(run(y[40:, :30:3]).value, want[40:, :30:3], rtol=1e-12)
    whole, part = run(y, y[3:9, ::-1]).value
    np.testing.assert_allclose(whole, want, rtol=1e-12)
    np.testing.assert_array_equal(part, whole[3:9, ::-1])


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda a, b: a @ a, "mismatch in its core dimension 0"),
        (
            lambda a, b: a.dot(a),
            r"shapes \(2,3\) and \(2,3\) not aligned: 3 \(dim 1\) != 2 \(dim 0\)",
        ),
        (lambda a, b: a @ 3, "enough dimensions"),
        (lambda a, b: np.tensordot(a, b, 1), "shape-mismatch"),
        (lambda a, b: np.tensordot(a, a, ([0], [0, 1])), "shape-mismatch"),
        (np.inner, "not aligned"),
    ],
)
def test_shapes_that_do_not_match(call, match):
    a, b = np.ones((2, 3)), np.ones((2, 4))
    with pytest.raises(ValueError):
        call(a, b)
    with pytest.raises(ValueError, match=match):
        call(na.from_array(a), na.from_array(b))


@pytest.mark.parametrize("order", [([0, 1], [1, 0]), ([1, 0], [0, 1]), ([2, 0], [2, 1])])
def test_sums_over_several_axes_in_any_order(order):
    x, y = rng.integers(0, 9, (4, 5, 6)), rng.integers(0, 9, (5, 4, 6))
    a, b = na.from_array(x, 2), na.from_array(y, 2)
    np.testing.assert_array_equal(run(na.tensordot(a, b, order)).value, np.tensordot(x, y, order))


@given(
    st.sampled_from([(4, 5), (1, 4, 5), (3, 4, 5), (2, 1, 4, 5), (5,)]),
    st.sampled_from([(5, 2), (1, 5, 2), (3, 5, 2), (2, 3, 5, 2), (5,)]),
    st.integers(1, 3),
)
def test_stacks_of_matrices(one, other, chunks):
    x, y = rng.integers(0, 9, one), rng.integers(0, 9, other)
    got = na.from_array(x, chunks) @ na.from_array(y, chunks)
    np.testing.assert_array_equal(run(got).value, x @ y)
