from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbscale import array as na
from tests.array.serial import run


@st.composite
def two_shapes(draw):
    """Two shapes of as many elements, ones among them."""
    factors = draw(st.lists(st.sampled_from([2, 2, 3, 5]), min_size=1, max_size=5))

    def shape():
        order = draw(st.permutations(factors))
        cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=3)))
        edges = [0, *cuts, len(order)]
        return tuple(math.prod(order[a:b]) for a, b in itertools.pairwise(edges))

    return shape(), shape()


@given(two_shapes(), st.data())
def test_any_shape_becomes_any_other(shapes, data):
    old, new = shapes
    x = np.arange(math.prod(old)).reshape(old)
    chunks = tuple(data.draw(st.integers(1, n)) for n in old)
    made = na.from_array(x, chunks).reshape(new)
    assert made.shape == new
    np.testing.assert_array_equal(run(made).value, x.reshape(new))
    flat = run((na.from_array(x, chunks) + 0).reshape(new, order="F")).value
    np.testing.assert_array_equal(flat, x.reshape(new, order="F"))


def test_what_is_moved_and_then_turned_finds_its_pieces():
    x = np.arange(32).reshape(4, 8)
    made = na.from_array(x, (1, 3)).reshape((2, 2, 8), order="F")
    np.testing.assert_array_equal(run(made).value, x.reshape((2, 2, 8), order="F"))


def test_reshape_that_only_splits_or_merges_whole_axes_moves_nothing():
    x = na.ones((12, 10), chunks=(3, 10))
    assert len(run(x.reshape(120)).stages) <= 2
    assert x.reshape(120).chunks == ((30, 30, 30, 30),)
    assert x.reshape(4, 3, 10).chunks[0] == (1, 1, 1, 1)
    assert x.reshape(12, 10)._node is x._node


def test_large_rows_are_cut_within():
    x = na.ones((2, 1000), chunks=(1, 100))
    assert max(x.reshape(-1).chunks[0]) <= 100


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ((4,), r"cannot reshape array of size 6 into shape \(4,\)"),
        ((-1, -1), "one unknown"),
        ((4, -1), r"into shape \(4,-1\)"),
        ((0, -1), "cannot reshape"),
    ],
)
def test_shapes_that_do_not_fit(shape, match):
    with pytest.raises(ValueError, match=match):
        na.ones(6).reshape(shape)
    with pytest.raises(ValueError):
        np.ones(6).reshape(shape)


def test_nothing_in_any_shape():
    assert run(na.ones((0, 3)).reshape(3, 0, 2)).value.shape == (3, 0, 2)
    assert na.ones((0, 3)).reshape(-1).shape == (0,)
    assert run(na.full((), 3).reshape(1, 1)).value.tolist() == [[3]]
    assert run(na.full((1, 1), 3).reshape(())).value == 3


def test_transposing_back_is_nothing():
    x = na.ones((2, 3, 4))
    assert x.T.T._node is x._node
    assert x.transpose(1, 2, 0).transpose((2, 0, 1))._node is x._node
    assert x.T.shape == (4, 3, 2)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda x: x.transpose(0), "axes don't match"),
        (lambda x: x.transpose(0, 0), "repeated axis"),
        (lambda x: x.transpose(0, 5), "out of bounds"),
        (lambda x: x.squeeze(0), "not equal to one"),
        (lambda x: np.broadcast_to(x, (3, 5)), "broadcast"),
        (lambda x: np.concatenate([x, na.ones(3)]), "same number of dimensions"),
        (lambda x: np.concatenate([x, na.ones((2, 4))]), "along dimension 1"),
        (lambda x: np.stack([x, na.ones(3)]), "same shape"),
        (lambda x: np.concatenate([na.ones(()), na.ones(())]), "zero-dimensional"),
        (lambda x: np.expand_dims(x, 7), "out of bounds"),
        (lambda x: np.moveaxis(x, (0, 1), 0), "same number"),
    ],
)
def test_errors_are_numpys(call, match):
    with pytest.raises(ValueError, match=match):
        call(na.ones((2, 3)))


def test_nothing_to_put_together():
    with pytest.raises(ValueError, match="at least one"):
        na.concatenate([])
    with pytest.raises(ValueError, match="at least one"):
        na.stack([])


def test_only_the_arrays_needed_are_made():
    parts = [na.random.random(100) for _ in range(5)]
    got = run(na.concatenate(parts)[150:160])
    assert got.calls["random.random"] == 1
    np.testing.assert_array_equal(got.value, run(parts[1]).value[50:60])


def test_results_of_broadcasting_can_be_written_into():
    run(na.broadcast_to(na.arange(3), (2, 3))).value[0, 0] = 7
