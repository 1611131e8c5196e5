"""What a plan is expected to cost: rows, bytes and seconds of each node, over all partitions.

Bytes come from what sources say of themselves or from what earlier runs have taught, seconds from
rates that are only good to a factor of a few. An estimate chooses an engine and warns; it never
decides the bits of a result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from nbscale.expr.node import Adaptive, Node, Reduce, Source, walk
from nbscale.plan.jobs import Learned
from nbscale.record import record

__all__ = ["Estimate", "estimate"]

_READ = 200e6
"""Bytes a second that one core parses or loads."""

_TOUCH = 2e9
"""Bytes a second that one core reads and writes in a column kernel."""


@record
class Estimate:
    """Of one node, over all its partitions; None where nothing is known."""

    rows: float | None
    nbytes: float | None
    seconds: float | None


def estimate(roots: Sequence[Node], learned: Learned) -> dict[str, Estimate]:
    """Estimate every node below the roots, by key."""
    found: dict[str, Estimate] = {}
    for node in walk(roots):
        found[node.key] = _of(node, [found[i.key] for i in node.inputs], learned)
    return found


def _of(node: Node, inputs: Sequence[Estimate], learned: Learned) -> Estimate:
    count = _count(node)
    seen = learned.sizes.get(node.key)
    if seen and count:
        rows: float = sum(r for r, _ in seen.values()) * count / len(seen)
        nbytes = sum(b for _, b in seen.values()) * count / len(seen)
        return Estimate(rows, nbytes, _seconds(node, nbytes, inputs))
    if isinstance(node, Source):
        each = node.nbytes()
        total = None if each is None or count is None else each * count
        known = getattr(node, "rows", None)
        return Estimate(known, total, None if total is None else total / _READ)
    own = getattr(node, "nbytes", None)
    if own is not None and count is not None:  # an array's chunks
        return Estimate(None, own() * count, _seconds(node, own() * count, inputs))
    sizes = [i.nbytes for i in inputs if i.nbytes is not None]
    if not sizes:
        return Estimate(None, None, None)
    read = sum(sizes)
    first = inputs[0].rows if inputs else None
    if isinstance(node, Reduce):
        return Estimate(count, None, read / _TOUCH)
    out = max(sizes) * node.growth
    kept = first if node.row_preserving else None
    return Estimate(kept, out, _seconds(node, out, inputs))


def _count(node: Node) -> float | None:
    """How many partitions there are, where that is known before it runs."""
    try:
        return None if isinstance(node, Adaptive) else float(math.prod(node.grid))
    except LookupError:  # over an adaptive node
        return None


def _seconds(node: Node, nbytes: float, inputs: Sequence[Estimate]) -> float:
    if isinstance(node, Source):
        return nbytes / _READ
    return (nbytes + sum(i.nbytes or 0.0 for i in inputs)) / _TOUCH
