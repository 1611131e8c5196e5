from __future__ import annotations

import types

import pytest

from nbscale.events import Place
from nbscale.expr.node import walk
from nbscale.plan.rewrite import bottom_up, rewrite, substitute
from tests.expr.nodes import Numbers, Plus, Total, Zip


def rule(name, change):
    return types.SimpleNamespace(name=name, apply=lambda roots: bottom_up(roots, change))


def merge_plus(node):
    if isinstance(node, Plus) and isinstance(node.values, Plus):
        return Plus(node.values.values, node.values.amount + node.amount)
    return None


def test_rules_run_in_order_and_are_recorded():
    root = Plus(Plus(Numbers(2), 1), 2)
    (after,), changes = rewrite(
        (root,), [rule("idle", lambda n: None), rule("merge", merge_plus)], {}
    )
    assert after is Plus(Numbers(2), 3)
    assert [c.rule for c in changes] == ["merge"]
    assert changes[0].before == (root,)


def test_what_replaces_a_root_keeps_its_place():
    here = Place("cell", 3)
    places = {Plus(Plus(Numbers(2), 1), 2).key: here}
    (after,), _ = rewrite((Plus(Plus(Numbers(2), 1), 2),), [rule("merge", merge_plus)], places)
    assert places[after.key] is here


def test_a_rule_may_not_change_what_a_root_delivers():
    class Signed(Plus):
        @property
        def signature(self):
            return self.amount

    root = Signed(Numbers(2), 1)
    bad = rule("bad", lambda n: Signed(Numbers(2), 2) if isinstance(n, Signed) else None)
    with pytest.raises(AssertionError, match="rule bad changed"):
        rewrite((root,), [bad], {})


def test_shared_nodes_are_rebuilt_once():
    seen = []
    shared = Plus(Numbers(2), 1)
    bottom_up((Zip(shared, shared), Total(shared)), lambda n: seen.append(n))
    assert len(seen) == 4


def test_substitute_replaces_by_key():
    a, b = Numbers(2), Numbers(3)
    root = Zip(Plus(a, 1), a)
    (after,) = substitute((root,), {a.key: b})
    assert a not in list(walk((after,)))
    assert substitute((root,), {}) == (root,)
