"""The job of a plan: lower what can be lowered, ask for what decides the rest, go on.

A pure state machine. Adaptive nodes with nothing adaptive below them are the frontier: what they
ask for is lowered, kept and watched; with the answers they are built, and so on until nothing
adaptive is left and the results themselves are lowered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from nbscale.errors import NbscaleError
from nbscale.events import Place
from nbscale.expr.node import Adaptive, Node, walk
from nbscale.graph.job import Done, Failure, Grow, Observation, Reply, Watch
from nbscale.graph.stage import Stage
from nbscale.plan.draft import Drafts
from nbscale.plan.lower import Emitted, Wanted, lower
from nbscale.plan.rewrite import carry_places, substitute

__all__ = ["Learned", "PlanJob", "Replannable"]

_MOST_REPLANS = 3


@dataclasses.dataclass(slots=True)
class Learned:
    """What runs have taught a session.

    ``sizes``: rows and bytes of partitions, by key of the node and flat number. ``facts``: what made
    sources plan again, by identity of the source: the next run begins with it.
    """

    sizes: dict[str, dict[int, tuple[int, int]]] = dataclasses.field(default_factory=dict)
    facts: dict[str, list[Any]] = dataclasses.field(default_factory=dict)

    def note(self, key: str, task: int, rows: int, nbytes: int) -> None:
        """Remember the size of one partition."""
        self.sizes.setdefault(key, {})[task] = (rows, nbytes)


class Replannable(Protocol):
    """A source that can be planned again with something learned while it was read."""

    @property
    def identity(self) -> str:
        """Names what is read, whatever is wanted of it."""

    def replan(self, fact: Any) -> Node:
        """The node to use instead; raises the user's error if nothing can be done."""

    def notice(self, fact: Any) -> str:
        """What the user is told of it, or ''."""


def informed(node: Node, learned: Learned) -> Node:
    """The node with what earlier runs found in its source."""
    for fact in learned.facts.get(getattr(node, "identity", ""), ()):
        node = node.replan(fact)  # type: ignore[attr-defined]
    return node


class PlanJob:
    """Implements ``graph.job.Job`` for a set of result nodes.

    Parameters
    ----------
    roots
        The nodes wanted, already rewritten; result ``i`` is ``roots[i]``.
    places
        Where the user made each node.
    learned
        The session's table, added to by ``measured``.
    """

    def __init__(
        self, roots: Sequence[Node], places: Mapping[str, Place], learned: Learned
    ) -> None:
        self.roots = tuple(roots)
        self.places = dict(places)
        self.learned = learned
        self.emitted = Emitted()
        self.sealed = False
        self.notices: list[str] = []
        self.drafts = Drafts()
        self._answers: dict[str, tuple[Any, ...]] = {}
        self._asked: dict[int, Node] = {}
        self._built: dict[str, Node] = {}
        self._replans: dict[str, int] = {}
        self._gone: set[int] = set()

    # The protocol ---------------------------------------------------------------------------

    def step(self, seen: Observation | Failure | None) -> Reply:
        """Begin, or go on with what was seen."""
        try:
            match seen:
                case Observation(stage=stage, values=values):
                    self._answers[self._asked.pop(stage).key] = values
                case Failure():
                    return self._replan(seen)
            return self._advance()
        except Exception as error:  # noqa: BLE001 - whatever building raises belongs to the user
            return Done(error)

    def measured(self, sizes: Mapping[int, Mapping[int, tuple[int, int]]]) -> None:
        """Remember rows and bytes by the node that a stage ends with."""
        for number, tasks in sizes.items():
            stage = self.emitted.stages[number]
            if not stage.value_of:
                continue
            for task, (rows, nbytes) in tasks.items():
                self.learned.note(stage.value_of, stage.flat_original(task), rows, nbytes)

    # Steps ----------------------------------------------------------------------------------

    def _advance(self, retract: tuple[int, ...] = ()) -> Reply:
        if self.sealed and not retract:
            return Grow(sealed=True)
        asks = self._build()
        if not asks:
            self.sealed = True
            wanted = [Wanted(root, i) for i, root in enumerate(self.roots)]
            stages = lower(wanted, self.emitted, self.places, (), self.drafts)
            release = tuple(
                stage.number
                for stage in self.emitted.stages
                if stage.keep and stage.number not in self._gone
            )
            self._gone.update(release)
            return Grow(tuple(stages), (), sealed=True, release=release, retract=retract)
        fresh = [ask for ask in asks if ask.key not in {a.key for a in self._asked.values()}]
        if not fresh:
            return Grow(retract=retract)
        hold = self._shared(fresh)
        stages = lower([Wanted(ask) for ask in fresh], self.emitted, self.places, hold, self.drafts)
        watches = []
        for ask in fresh:
            number, _ = self.emitted.kept[self.drafts.of[ask.key].key]
            self._asked[number] = ask
            watches.append(Watch(number))
        return Grow(tuple(stages), tuple(watches), retract=retract)

    def _build(self) -> list[Node]:
        """Build every adaptive node that has its answers; return what the others still ask."""
        while True:
            asks: dict[str, Node] = {}
            ready: dict[str, Node] = {}
            self._frontier(self.roots, asks, ready)
            if not ready:
                return list(asks.values())
            for old_key, new in ready.items():
                place = self.places.get(old_key)
                if place is not None:
                    for node in walk((new,)):
                        self.places.setdefault(node.key, place)
            before = self.roots
            self.roots = substitute(self.roots, ready)
            self._built.update(ready)
            carry_places(self.places, before, self.roots)

    def _frontier(
        self, exprs: Sequence[Node], asks: dict[str, Node], ready: dict[str, Node]
    ) -> None:
        """Sort the adaptive nodes that have nothing adaptive below into answered and asking."""
        open_keys: set[str] = set()
        for node in walk(exprs):
            below = any(i.key in open_keys for i in node.inputs)
            if below or isinstance(node, Adaptive):
                open_keys.add(node.key)
            if below or not isinstance(node, Adaptive):
                continue
            missing: list[Node] = []
            answers: list[tuple[Any, ...]] = []
            for ask in node.asks():
                (resolved,) = substitute((ask,), self._built)
                if resolved.key in self._answers:
                    answers.append(self._answers[resolved.key])
                else:
                    missing.append(resolved)
            if not missing:
                ready[node.key] = node.build(*answers)
                continue
            for ask in missing:
                if any(isinstance(n, Adaptive) for n in walk((ask,))):
                    inner: dict[str, Node] = {}
                    self._frontier((ask,), asks, inner)
                    self._built.update(inner)
                    ready.update(inner)
                else:
                    asks[ask.key] = ask
                    self._place(ask, node)

    def _place(self, ask: Node, asker: Node) -> None:
        """What an adaptive node asks for was written where it was."""
        place = self.places.get(asker.key)
        if place is not None:
            for node in walk((ask,)):
                self.places.setdefault(node.key, place)

    def _shared(self, asks: Sequence[Node]) -> list[Node]:
        """Nodes computed for the asks that what comes later reads too: they are kept."""
        below = {node.key for node in walk(asks)}
        shared: dict[str, Node] = {}
        for node in walk(self.roots):
            if node.key in below:
                continue
            for child in node.inputs:
                if child.key in below:
                    shared[child.key] = child
        return list(shared.values())

    # Going back -----------------------------------------------------------------------------

    def _replan(self, seen: Failure) -> Reply:
        """A kernel found its plan wrong: plan its node again and take back what read it."""
        key, fact = seen.signal.key, seen.signal.fact
        old = next((n for n in walk((*self.roots, *self._asked.values())) if n.key == key), None)
        if old is None:
            msg = f"a task asked for a new plan of {key}, which is no node of this run"
            raise NbscaleError(msg)
        tries = self._replans.get(key, 0)
        if tries >= _MOST_REPLANS * 8:
            msg = f"{old!r} was planned again {tries} times and still does not fit: {fact!r}"
            raise NbscaleError(msg)
        source: Any = old
        new: Node = source.replan(fact)
        self.learned.facts.setdefault(source.identity, []).append(fact)
        notice = source.notice(fact)
        if notice:
            self.notices.append(notice)
        self._replans[new.key] = tries + 1
        (before, self.roots) = (self.roots, substitute(self.roots, {key: new}))
        carry_places(self.places, before, self.roots)
        place = self.places.get(key)
        if place is not None:
            self.places[new.key] = place
        retract = self._cone(key)
        self._gone.update(retract)
        self.emitted.kept = {
            k: (number, axes)
            for k, (number, axes) in self.emitted.kept.items()
            if number not in self._gone
        }
        self._asked = {n: ask for n, ask in self._asked.items() if n not in self._gone}
        self.sealed = False
        return self._advance(retract)

    def _cone(self, key: str) -> tuple[int, ...]:
        """Stages that hold the node or read a stage that does."""
        cone: list[int] = []
        for stage in self.emitted.stages:
            if stage.number in self._gone:
                continue
            if key in stage.keys or any(edge.producer in cone for edge in stage.edges):
                cone.append(stage.number)
        return tuple(cone)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Every stage so far."""
        return tuple(self.emitted.stages)
