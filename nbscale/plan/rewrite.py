"""Rewriting: one driver, one ordered list of rules, every step recorded for ``explain()``.

A rule takes the roots and gives new ones that mean the same. It reads facts of nodes, never their
names. The driver checks that the roots still deliver what they did, and carries the place of a
node over to what replaces it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from nbscale.events import Place
from nbscale.expr.node import Node, walk
from nbscale.record import record

__all__ = [
    "Change",
    "Rule",
    "bottom_up",
    "carry_places",
    "inherit_places",
    "rewrite",
    "signature",
    "substitute",
]

Roots: TypeAlias = tuple[Node, ...]


class Rule(Protocol):
    """What the driver needs of a rule: a module-like object with a name and a function."""

    name: str

    def apply(self, roots: Roots) -> Roots:
        """Give roots that mean the same; the same objects if there is nothing to do."""


@record
class Change:
    """One rule that changed something."""

    rule: str
    before: Roots
    after: Roots


def bottom_up(roots: Iterable[Node], change: Callable[[Node], Node | None]) -> Roots:
    """Rebuild the graph from the sources up, each node once, replacing where ``change`` says so.

    ``change`` sees a node whose inputs are rebuilt already, and gives its replacement or None.
    """
    done: dict[str, Node] = {}
    roots = tuple(roots)
    for node in walk(roots):
        fresh = node.with_inputs([done[i.key] for i in node.inputs])
        done[node.key] = change(fresh) or fresh
    return tuple(done[root.key] for root in roots)


def substitute(roots: Iterable[Node], instead: Mapping[str, Node]) -> Roots:
    """Replace nodes by key."""
    if not instead:
        return tuple(roots)
    done: dict[str, Node] = {}
    roots = tuple(roots)
    for node in walk(roots):
        known = instead.get(node.key)
        done[node.key] = (
            known if known is not None else node.with_inputs([done[i.key] for i in node.inputs])
        )
    return tuple(done[root.key] for root in roots)


def signature(node: Node) -> Any:
    """What a rule may not change of a root: its schema, or its shape and dtype."""
    return getattr(node, "signature", None)


def carry_places(places: dict[str, Place], before: Iterable[Node], after: Iterable[Node]) -> None:
    """Give every new node the place of the node it stands for, if it has none.

    A rule gives new roots and does not say what became of what. A new node stands for the old one of
    the same class and label; where several do, and not as many as before, or none does, it gets the
    place of the root it came under. ``places`` is changed in place: it grows with the plan.
    """
    for old, new in zip(before, after, strict=True):
        if old is new:
            continue
        had = _alike(walk((old,)))
        for kind, nodes in _alike(walk((new,))).items():
            known = [places.get(node.key) for node in had.get(kind, ())]
            if len(known) != len(nodes):
                known = [known[0] if known and len(set(known)) == 1 else None] * len(nodes)
            for node, place in zip(nodes, known, strict=True):
                found = place if place is not None else places.get(old.key)
                if found is not None:
                    places.setdefault(node.key, found)


def inherit_places(places: dict[str, Place], roots: Iterable[Node]) -> None:
    """Give nodes without a place, which one call of the user's made with others, that of a reader."""
    order = list(walk(roots))
    missing = {node.key for node in order if node.key not in places}
    if not missing:
        return
    # Backwards, so that of several readers the earliest counts: it was made together with the node.
    for node in reversed(order):
        place = places.get(node.key)
        for child in node.inputs:
            if place is not None and child.key in missing:
                places[child.key] = place


def _alike(nodes: Iterable[Node]) -> dict[tuple[type, str], list[Node]]:
    """Nodes by class and label, in their order."""
    found: dict[tuple[type, str], list[Node]] = {}
    for node in nodes:
        found.setdefault((type(node), node.label), []).append(node)
    return found


def rewrite(
    roots: Sequence[Node], rules: Iterable[Rule], places: dict[str, Place]
) -> tuple[Roots, list[Change]]:
    """Apply the rules in order.

    Raises
    ------
    AssertionError
        If a rule changes what a root delivers: a defect of the rule, named in the message.
    """
    current: Roots = tuple(roots)
    changes: list[Change] = []
    for rule in rules:
        after = rule.apply(current)
        if all(new is old for new, old in zip(after, current, strict=True)):
            continue
        for new, old in zip(after, current, strict=True):
            if signature(new) != signature(old):
                msg = f"rule {rule.name} changed {old!r}: {signature(old)} became {signature(new)}"
                raise AssertionError(msg)
        carry_places(places, current, after)
        changes.append(Change(rule.name, current, after))
        current = after
    return current, changes
