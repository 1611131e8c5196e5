from __future__ import annotations

import numpy as np

from nbscale import array as na
from nbscale.plan.rules import fuse_tiles
from tests.array.serial import run


def fused(*arrays):
    return fuse_tiles.apply(tuple(a._node for a in arrays))


def kinds(node):
    return [type(node).__name__, *[type(child).__name__ for child in node.inputs]]


def test_a_chain_becomes_one_node():
    x = na.random.random(10)
    (node,) = fused(np.sqrt(x * 2 + 1).astype("f4"))
    assert kinds(node) == ["Fused", "Random"]
    assert node.label == "multiply + add + sqrt + astype"
    assert node.dtype == np.float32


def test_what_two_read_apart_is_not_drawn_into_one():
    x = na.random.random(10) * 2
    one, other = fused(x + 1, x + 2)
    assert kinds(one) == ["Elementwise", "Elementwise"]
    assert one.inputs == other.inputs


def test_what_both_sides_of_one_read_is_drawn_in():
    x = na.random.random(10)
    y = x * 2
    (node,) = fused((y + 1) / (y - 1))
    assert kinds(node) == ["Fused", "Random"]
    assert len(node.steps) == 4


def test_a_result_stays_a_result():
    x = na.random.random(10) + 1
    y = x * 2
    one, other = fused(x, y)
    assert one is x._node
    assert other is y._node


def test_a_smaller_operand_is_made_once_for_all_rows():
    x, y = na.random.random((10, 10)), na.random.random(10)
    (node,) = fused(x + y * 2)
    assert kinds(node) == ["Elementwise", "Random", "Elementwise"]


def test_alone_nothing_changes():
    x = na.ones(5) + 1
    assert fused(x) == (x._node,)


def test_tiles_give_the_same_numbers():
    x = np.random.default_rng(1).random((300, 700))
    y = x[:1] + 1
    lazy_x, lazy_y = na.from_array(x, -1), na.from_array(y, -1)

    def work(a, b):
        return np.where(a > 0.5, a * b, -b) ** 2 / 3

    got = run(work(lazy_x, lazy_y))
    np.testing.assert_array_equal(got.value, work(x, y))
    assert any("**" in name for name in got.calls)
    np.testing.assert_array_equal(run(work(lazy_x.T, lazy_y.T)).value, work(x.T, y.T))
    flat = work(lazy_x.reshape(-1), lazy_x.reshape(-1))
    np.testing.assert_array_equal(run(flat).value, work(x.ravel(), x.ravel()))
