from __future__ import annotations

import gc
import pickle
import weakref

import pytest

from nbscale.expr.need import EVERYTHING, Need
from nbscale.expr.node import Stack, everything, one, same, walk
from nbscale.graph.axismap import All, At, Each
from tests.expr.nodes import Numbers, Plus, Total, Zip


def test_equal_nodes_are_one_object():
    assert Plus(Numbers(4), 1) is Plus(Numbers(4), 1)
    assert Plus(Numbers(4), 1) is not Plus(Numbers(4), 2)
    assert Plus(Numbers(4), 1) is not Plus(Numbers(4), 1.0)


def test_a_node_nobody_holds_is_freed():
    ref = weakref.ref(Plus(Numbers(4), 77))
    gc.collect()
    assert ref() is None


def test_nodes_are_frozen():
    with pytest.raises(AttributeError):
        Numbers(4).parts = 5


def test_inputs_are_the_nodes_among_the_fields():
    a, b = Numbers(2), Numbers(3)
    assert Zip(a, b).inputs == (a, b)
    assert Stack((a, b)).inputs == (a, b)


def test_with_inputs_puts_them_back_in_order():
    a, b = Numbers(2), Numbers(3)
    assert Zip(a, a).with_inputs((a, b)) is Zip(a, b)
    assert Stack((a, a)).with_inputs((b, a)) is Stack((b, a))
    node = Plus(a, 1)
    assert node.with_inputs((a,)) is node


def test_replace_changes_named_fields():
    assert Plus(Numbers(2), 1).replace(amount=5) is Plus(Numbers(2), 5)


def test_pickling_gives_the_same_object():
    node = Total(Plus(Numbers(2), 1))
    assert pickle.loads(pickle.dumps(node)) is node


def test_walk_gives_inputs_first_and_each_node_once():
    a = Numbers(2)
    b = Plus(a, 1)
    c = Zip(a, b)
    assert list(walk((c, b))) == [a, b, c]


def test_a_long_chain_needs_no_recursion():
    node = Numbers(2)
    for i in range(20_000):
        node = Plus(node, i)
    assert sum(1 for _ in walk((node,))) == 20_001
    assert node.grid == (2,)
    assert Stack((node,)).with_inputs((node,)).inputs == (node,)


def test_a_description_is_short_and_leaves_inputs_out():
    assert repr(Plus(Numbers(2), 1)) == "Plus(amount=1)"


def test_reads():
    n = Numbers(5)
    assert same(n).maps == (Each(5),)
    assert one(n, (7,), (2,)).maps == (At(7, 5, 2),)
    assert everything(n, (7,)).maps == (All(7, 5),)


def test_needs_join():
    both = Need(frozenset("a"), index=False, order=False) | Need(frozenset("b"), True, False)
    assert both == Need(frozenset("ab"), True, False)
    assert (both | EVERYTHING) == EVERYTHING
    assert both.plus("c").columns == frozenset("abc")
