"""Number rows late: a running row number that is only carried along is added after the work.

A symbolic index (row numbers over all partitions) needs the lengths of all earlier partitions.
Adding it after filters and projections means that what waits for the lengths is small.
"""

from __future__ import annotations

from nbscale.expr.node import Node
from nbscale.plan.rewrite import bottom_up

__all__ = ["apply", "name"]

name = "number_late"


def apply(roots: tuple[Node, ...]) -> tuple[Node, ...]:
    """Move numbering above every node that carries an index without reading it."""
    return bottom_up(roots, _later)


def _later(node: Node) -> Node | None:
    if not getattr(node, "carries_index", False):
        return None
    numbered = [i for i in node.inputs if getattr(i, "numbers_rows", False)]
    if not numbered:
        return None
    counted = {i.inputs[-1].key for i in numbered}
    plain = [i for i in node.inputs if not getattr(i, "numbers_rows", False)]
    if len(counted) > 1 or any(getattr(i, "has_index", True) for i in plain):
        return None
    inner = node.with_inputs(
        [i.inputs[0] if getattr(i, "numbers_rows", False) else i for i in node.inputs]
    )
    return numbered[0].with_inputs((inner, numbered[0].inputs[-1]))
