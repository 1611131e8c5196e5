"""What is measured: workloads, the peers that do each of them, and the gates set on their ratios.

A workload is a function that turns a peer's value into a small comparable answer, so that no peer
is timed for doing something else. A peer is a function of the workload's inputs that imports and
prepares, untimed, and returns the callable that is timed; or a script timed as a whole process.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

__all__ = [
    "WORKLOADS",
    "Gate",
    "Measured",
    "Missing",
    "Peer",
    "Workload",
    "load_workloads",
    "peer",
    "script",
    "workload",
]

Inputs: TypeAlias = dict[str, Any]
Answer: TypeAlias = dict[str, float]
Prepare: TypeAlias = Callable[[Inputs], Callable[[], Any]]


class Missing(RuntimeError):
    """A peer cannot do its work here: that is told of it, and is nobody's failure."""


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """What a timed callable may return: its value, and measures only it can take."""

    value: Any
    measures: Mapping[str, float]


@dataclasses.dataclass(frozen=True, slots=True)
class Gate:
    """A promise: ``measure(peer) <= limit * (measure(baseline) + allowance)``, pair by pair.

    Attributes
    ----------
    measure
        Name of a measure of a row: ``wall_s``, ``cpu_s``, ``peak_mb``, or one the peer reports.
    peer
        Whose measure is judged.
    baseline
        Whose measure of the same round it is divided by; None: by the allowance alone.
    limit
        The largest ratio allowed.
    allowance
        Added to the baseline's measure, in the measure's unit.
    every
        Every single run has to keep it: for a limit that is never to be passed, however rarely.
    """

    measure: str
    peer: str
    baseline: str | None
    limit: float
    allowance: float = 0.0
    every: bool = False

    def __post_init__(self) -> None:
        if self.baseline is None and self.allowance <= 0:
            msg = f"gate on {self.peer}: without a baseline it needs an allowance above zero"
            raise ValueError(msg)

    def __str__(self) -> str:
        over = [] if self.baseline is None else [self.baseline]
        if self.allowance:
            over.append(f"{self.allowance:g}")
        return f"{self.measure}: {self.peer} / ({' + '.join(over)}) <= {self.limit:g}{', in every run' * self.every}"


@dataclasses.dataclass(frozen=True, slots=True)
class Peer:
    """Somebody who does a workload.

    Attributes
    ----------
    prepare
        Imports and prepares, and returns the callable that is timed; None for a script.
    script
        The text of a whole program, timed from its start to its end; None for a function.
    most
        At most so many runs, for a peer too slow to be run in every round; None: all rounds.
    """

    name: str
    prepare: Prepare | None = None
    script: str | None = None
    most: int | None = None


@dataclasses.dataclass(slots=True)
class Workload:
    """A job, what it is made from, and who does it.

    Attributes
    ----------
    answer
        Turns a peer's value into a few numbers, the same for every peer.
    setup
        Makes the inputs from the options, in a process of its own; the inputs are JSON.
    options
        Sizes and their defaults.
    reference
        The peer that the others' figures are divided by in the table.
    measure
        Which figures: the table is sorted by this measure.
    tolerance
        How far answers may differ, relative.
    module
        Where it is defined, so that a child imports only that.
    """

    name: str
    summary: str
    answer: Callable[[Any], Answer]
    setup: Callable[[dict[str, int]], Inputs] | None
    options: dict[str, int]
    reference: str
    tolerance: float
    module: str
    gates: tuple[Gate, ...] = ()
    peers: dict[str, Peer] = dataclasses.field(default_factory=dict)
    measure: str = "wall_s"

    def with_options(self, changes: Mapping[str, int]) -> dict[str, int]:
        """Return the options with changes.

        Raises
        ------
        ValueError
            If there is no such option.
        """
        unknown = sorted(set(changes) - set(self.options))
        if unknown:
            known = ", ".join(self.options) or "none"
            msg = f"{self.name} has no option {', '.join(unknown)}; it has: {known}"
            raise ValueError(msg)
        return {**self.options, **changes}

    def choose(self, names: Sequence[str] | None) -> list[Peer]:
        """Return the peers of these names, or all of them, in the order they were registered.

        Raises
        ------
        ValueError
            If one of them is no peer of this workload.
        """
        if names is None:
            return list(self.peers.values())
        unknown = [name for name in names if name not in self.peers]
        if unknown:
            msg = f"{self.name} has no peer {', '.join(unknown)}; it has: {', '.join(self.peers)}"
            raise ValueError(msg)
        return [peer for name, peer in self.peers.items() if name in names]


WORKLOADS: dict[str, Workload] = {}


def workload(
    name: str,
    *,
    reference: str,
    setup: Callable[[dict[str, int]], Inputs] | None = None,
    options: Mapping[str, int] | None = None,
    tolerance: float = 1e-9,
    measure: str = "wall_s",
    gates: Sequence[Gate] = (),
) -> Callable[[Callable[[Any], Answer]], Callable[[Any], Answer]]:
    """Register the decorated function, which turns a peer's value into an answer, as a workload."""

    def register(answer: Callable[[Any], Answer]) -> Callable[[Any], Answer]:
        if name in WORKLOADS:
            msg = f"there are two workloads named {name!r}: in {answer.__module__} too"
            raise ValueError(msg)
        summary = (answer.__doc__ or name).strip().partition("\n")[0]
        WORKLOADS[name] = Workload(
            name=name,
            summary=summary,
            answer=answer,
            setup=setup,
            options=dict(options or {}),
            reference=reference,
            tolerance=tolerance,
            module=answer.__module__,
            measure=measure,
            gates=tuple(gates),
        )
        return answer

    return register


def _add(workload_name: str, new: Peer) -> None:
    peers = WORKLOADS[workload_name].peers
    if new.name in peers:
        msg = f"{workload_name} has two peers named {new.name!r}"
        raise ValueError(msg)
    peers[new.name] = new


def peer(workload_name: str, name: str, *, most: int | None = None) -> Callable[[Prepare], Prepare]:
    """Register the decorated function as a peer: it prepares, and returns what is timed."""

    def register(prepare: Prepare) -> Prepare:
        _add(workload_name, Peer(name, prepare=prepare, most=most))
        return prepare

    return register


def script(workload_name: str, name: str, text: str) -> None:
    """Register a program as a peer: the whole process is timed, its start included."""
    _add(workload_name, Peer(name, script=text))


def load_workloads() -> dict[str, Workload]:
    """Import every module of ``benchmarks.workloads`` and return what they registered."""
    from benchmarks import workloads

    for found in pkgutil.iter_modules(workloads.__path__):
        importlib.import_module(f"{workloads.__name__}.{found.name}")
    return WORKLOADS
