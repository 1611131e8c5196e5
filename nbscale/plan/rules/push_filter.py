"""Filter early: a filter moves below what keeps rows, down to the source that can skip rows.

``filter(f(x), mask)`` becomes ``f(filter(x, mask))`` when f keeps every row of one input, the mask
does not read what f makes, and nobody else does: then f works on fewer rows. At a source that has
statistics the mask is handed over as a hint: the source may skip what cannot match, the filter
stays.
"""

from __future__ import annotations

from collections import Counter

from nbscale.expr.node import Node, walk
from nbscale.plan.rewrite import bottom_up

__all__ = ["apply", "name"]

name = "push_filter"


def apply(roots: tuple[Node, ...]) -> tuple[Node, ...]:
    """Push every filter as far down as it goes, in one pass."""
    order = list(walk(roots))
    if not any(getattr(node, "filters_rows", False) for node in order):
        return roots
    # By content, since nodes are rebuilt on the way up; what is new has one reader.
    readers = Counter(i.key for node in order for i in node.inputs)
    readers.update(root.key for root in roots)

    def push(node: Node) -> Node | None:
        return _push(node, readers) if getattr(node, "filters_rows", False) else None

    return bottom_up(roots, push)


def _push(node: Node, readers: Counter[str]) -> Node | None:
    work, mask = node.inputs
    in_mask = {n.key for n in walk((mask,))}
    passed: list[Node] = []
    while (
        work.row_preserving
        and getattr(work, "carries_index", False)
        and not work.user_code
        and work.key not in in_mask
        and readers[work.key] <= 1
    ):
        below = [i for i in work.inputs if getattr(i, "has_index", True)]
        if len(below) != 1:
            break
        passed.append(work)
        (work,) = below
    hinted = getattr(work, "hinted", None)
    source = hinted(mask) if hinted is not None else work
    if not passed and source is work:
        return None
    if source is not work:
        (mask,) = bottom_up((mask,), lambda n: source if n is work else None)
    moved: Node = node.with_inputs((source, mask))
    for old in reversed(passed):
        moved = old.with_inputs([moved if i is work else i for i in old.inputs])
        work = old
    return moved
