"""What collections ask the session for, and how the results are gathered."""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from nbscale.events import Place
from nbscale.expr.node import Index, Node
from nbscale.plan.jobs import PlanJob
from nbscale.record import record

__all__ = ["Collecting", "Gather", "Request", "listed"]


class Gather(Protocol):
    """Takes the values of a result as they are made, in any order, from any thread."""

    def take(self, index: Index, value: Any) -> None:
        """Take one value; called once for each index."""

    def result(self) -> Any:
        """Return the whole, in memory. Called once, after every value was taken."""


@record
class Request:
    """One result that is wanted.

    Attributes
    ----------
    node
        The expression.
    places
        Where the user made it and what it is made from, by node key.
    gather
        Makes the gather, given the node as it is when its partitions are known.
    what
        The result in the user's words.
    """

    node: Node
    places: Mapping[str, Place]
    gather: Callable[[Node], Gather]
    what: str


class Collecting:
    """Makes the gather of each result when its stage joins the run, anew if it is planned anew."""

    def __init__(self, requests: Sequence[Request], job: PlanJob) -> None:
        self._requests = requests
        self._job = job
        self._gathers: dict[int, Gather] = {}

    def __call__(self, result: int, /) -> Callable[[Index, Any], None]:
        gather = self._requests[result].gather(self._job.roots[result])
        self._gathers[result] = gather
        return gather.take

    def results(self) -> list[Any]:
        """Return the results in the order of the requests. Called once, when the run is over."""
        # Requests that are planned to one node are computed, and delivered, once.
        roots = [root.key for root in self._job.roots]
        given = {roots[i]: i for i in self._gathers}
        made: dict[int, Any] = {}
        for i, key in enumerate(roots):
            source = given[key]
            if source not in made:
                made[source] = self._gathers[source].result()
            if source != i:
                made[i] = _another(made[source])
        return [made[i] for i in range(len(roots))]


def _another(value: Any) -> Any:
    """A copy, for two who were promised a result each; what has no ``copy`` they share."""
    copy = getattr(value, "copy", None)
    return copy() if callable(copy) else value


def listed(names: Sequence[str]) -> str:
    """What is computed together, as text: ``100 × load, mean and 2 more``."""
    counts = collections.Counter(names)
    parts = [name if n == 1 else f"{n} × {name}" for name, n in counts.items()]
    return ", ".join(parts[:3]) + (f" and {len(parts) - 3} more" if len(parts) > 3 else "")
