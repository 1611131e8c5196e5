"""Drop columns, indexes and work that nobody reads: one backward pass, one pass forward."""

from __future__ import annotations

from nbscale.expr.need import EVERYTHING, Need
from nbscale.expr.node import Node, walk

__all__ = ["apply", "name"]

name = "prune"


def apply(roots: tuple[Node, ...]) -> tuple[Node, ...]:
    """Collect what is needed of every node from those that read it, then narrow from below."""
    order = list(walk(roots))
    needs: dict[str, Need] = {root.key: EVERYTHING for root in roots}
    for node in reversed(order):
        if node.key not in needs:
            continue
        for child, need in zip(node.inputs, node.needs(needs[node.key]), strict=True):
            if need is not None:
                known = needs.get(child.key)
                needs[child.key] = need if known is None else known | need
    done: dict[str, Node] = {}
    for node in order:
        # What nobody needs is left alone: those that had it as an input drop it themselves.
        need = needs.get(node.key)
        inputs = [done[i.key] for i in node.inputs]
        done[node.key] = node if need is None else node.pruned(need, inputs)
    return tuple(done[root.key] for root in roots)
