from __future__ import annotations

import types

import pytest

from nbscale.events import Place
from nbscale.expr.node import walk
from nbscale.plan.rewrite import bottom_up, inherit_places, rewrite, substitute
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


def wider(node):
    """As a rule that has a source read more or less does: all above it is made anew."""
    if isinstance(node, Numbers) and node.width == 3:
        return Numbers(node.parts, 5)
    return None


def test_nodes_that_are_made_anew_keep_the_place_of_those_they_stand_for():
    lines = [Place("cell", n) for n in range(4)]
    source = Numbers(2)
    one = Plus(source, 1)
    two = Plus(one, 2)
    root = Zip(two, source)
    places = {n.key: line for n, line in zip((source, one, two, root), lines, strict=True)}
    (after,), _ = rewrite((root,), [rule("wider", wider)], places)
    found = {
        type(n).__name__ + str(getattr(n, "amount", "")): places[n.key] for n in walk((after,))
    }
    assert found == {
        "Numbers": lines[0], "Plus1": lines[1], "Plus2": lines[2], "Zip": lines[3]
    }  # fmt: skip


def test_where_several_become_one_it_has_their_place_if_they_share_it():
    here, there = Place("cell", 1), Place("cell", 2)
    inner, root = Plus(Numbers(2), 1), Plus(Plus(Numbers(2), 1), 2)
    places = {inner.key: here, root.key: here, Zip(root, root).key: there}
    (after,), _ = rewrite((Zip(root, root),), [rule("merge", merge_plus)], places)
    assert places[after.left.key] is here
    places = {inner.key: here, root.key: there, Zip(root, root).key: there}
    (after,), _ = rewrite((Zip(root, root),), [rule("merge", merge_plus)], places)
    assert places[after.left.key] is there  # that of the root


def test_what_one_call_made_with_others_was_written_there():
    source = Numbers(2)
    inner, other = Plus(source, 1), Plus(source, 5)
    root = Zip(Plus(inner, 2), other)
    here, there = Place("cell", 1), Place("cell", 2)
    places = {root.key: there, Plus(inner, 2).key: here}
    inherit_places(places, (root,))
    assert places[inner.key] is here
    assert places[source.key] is here  # read by both; made with the first
    assert places[other.key] is there
    inherit_places({}, (root,))  # nothing is known of anything


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
