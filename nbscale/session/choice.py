"""Which engine fits a job, where the user has fixed none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nbscale.engines import limits
from nbscale.expr.node import Adaptive, Node, Source, Tasks, walk
from nbscale.plan.jobs import PlanJob

__all__ = ["fitting"]

_SMALL = 1_000_000
"""Bytes below which handing work to others costs more than the work."""

_LARGE = 4
"""Of the memory there is, data from one in so many goes to processes, which can be fenced in."""


def fitting(job: PlanJob) -> tuple[str, str]:
    """The name of the engine that a job is run on if none is fixed, and why."""
    nodes = list(walk(job.roots))
    user_code = next((node for node in nodes if node.user_code), None)
    calls = sum(isinstance(node, Tasks) for node in nodes)
    if calls > 1:
        return "local", f"{calls} calls of your functions"
    size = _source_bytes(nodes)
    if size is not None and size <= _SMALL:
        return "inline", "small data" if not calls else "one call"
    if user_code is not None:
        return "local", f"{user_code.label} calls your function"
    locked = next((node for node in nodes if not node.gil_free), None)
    if locked is not None and not any(n.gil_free for n in _work(nodes)):
        return "local", f"{locked.label} holds Python's lock"
    if size is not None and size > limits.budget() / _LARGE:
        return "local", "built-in operations, on much of the memory there is"
    return "threads", "built-in operations, in memory"


def _work(nodes: Sequence[Node]) -> Iterator[Node]:
    return (node for node in nodes if not isinstance(node, Source))


def _source_bytes(nodes: Sequence[Node]) -> float | None:
    """Estimated bytes that all sources give, or None if one is unknown."""
    total = 0.0
    for node in nodes:
        if isinstance(node, Source):
            size = node.nbytes()
            if size is None:
                return None
            count = 1
            if not isinstance(node, Adaptive):
                for n in node.grid:
                    count *= n
            total += size * count
    return total
