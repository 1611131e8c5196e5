"""Filter early: a filter moves below what keeps rows, down to the source that can skip rows.

``filter(f(x), mask)`` becomes ``f(filter(x, mask))`` when f keeps every row of one input and the
mask does not read what f makes. At a source that has statistics, the comparisons of the mask are
handed over as hints: the source may skip what cannot match, the filter stays.
"""

from __future__ import annotations

from nbscale.expr.node import Node, walk
from nbscale.plan.rewrite import bottom_up

__all__ = ["apply", "name"]

name = "push_filter"


def apply(roots: tuple[Node, ...]) -> tuple[Node, ...]:
    """Push every filter one place at a time until none can move."""
    while True:
        after = bottom_up(roots, _push)
        if all(new is old for new, old in zip(after, roots, strict=True)):
            return after
        roots = after


def _push(node: Node) -> Node | None:
    if not getattr(node, "filters_rows", False):
        return None
    work, mask = node.inputs
    hinted = getattr(work, "hinted", None)
    if hinted is not None:
        source = hinted(mask)
        return None if source is work else node.with_inputs((source, _over(mask, work, source)))
    if not work.row_preserving or not getattr(work, "carries_index", False):
        return None
    below = [i for i in work.inputs if getattr(i, "has_index", True)]
    if len(below) != 1 or any(n is work for n in walk((mask,))):
        return None
    (source,) = below
    moved = node.with_inputs((source, mask))
    return work.with_inputs([moved if i is source else i for i in work.inputs])


def _over(mask: Node, old: Node, new: Node) -> Node:
    return bottom_up((mask,), lambda n: new if n is old else None)[0]
