"""Arguments of functions of items: bags go item by item, other lazy values whole, the rest as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbscale.bag.node import BagMap
from nbscale.collection import Collection, wrap
from nbscale.expr.function import capture
from nbscale.expr.node import Node

__all__ = ["applied"]


def applied(step: Any, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The bag of ``step`` with the function and what is read, partition by partition."""
    nodes: list[Node] = []
    parents: list[Collection] = []
    places = []
    for value in (*args, *kwargs.values()):
        if not isinstance(value, Collection):
            places.append(("value", value))
            continue
        node = value._node  # noqa: SLF001 - one of us
        is_bag = getattr(node, "kind", None) == "bag"
        if not is_bag and node.grid != (1,):
            raise TypeError(
                f"a {type(value).__name__} of {len(node.grid)} axes cannot go with the items of a bag; "
                "compute() it first, or give a bag"
            )
        places.append(("bag" if is_bag else "item", len(nodes)))
        nodes.append(node)
        parents.append(value)
    bags = [n for n, (how, _) in zip(nodes, _lazy(places), strict=True) if how == "bag"]
    if not bags:
        raise TypeError("at least one argument must be a bag")
    counts = sorted({node.grid[0] for node in bags})
    if len(counts) > 1:
        raise ValueError(
            f"bags that go together need equally many partitions, not {counts[0]} and {counts[-1]}; "
            "repartition() one of them"
        )
    # The first input says how many partitions there are.
    order = sorted(range(len(nodes)), key=lambda i: getattr(nodes[i], "kind", None) != "bag")
    moved = {old: new for new, old in enumerate(order)}
    places = [(how, what if how == "value" else moved[what]) for how, what in places]
    captured = capture(function)
    node = BagMap(
        tuple(nodes[i] for i in order),
        step(captured, tuple(places), tuple(kwargs)),
        captured.name,
    )
    return wrap(node, *parents)


def _lazy(places: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return [place for place in places if place[0] != "value"]
