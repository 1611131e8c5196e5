"""The job: what an engine runs. A pure state machine that gives stages, sees results, gives more.

Engines call ``step`` and decide nothing. ``step`` is short, does no I/O and never blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

from nbscale.graph.stage import Stage
from nbscale.record import record

__all__ = ["Done", "Failure", "Grow", "Job", "Observation", "Replan", "Reply", "Sealed", "Watch"]


class Replan(Exception):
    """Raised by a kernel that cannot go on as planned: the job is asked before the run fails.

    Not an error of the user's. ``fact`` is plain data that says what was found (for example which
    column of a file has values wider than its planned dtype).
    """

    def __init__(self, key: str, fact: Any) -> None:
        super().__init__(key, fact)
        self.key = key
        self.fact = fact


@record
class Watch:
    """Ask to be told when tasks ``0 .. first-1`` of a kept stage are done (all, if None)."""

    stage: int
    first: int | None = None


@record
class Observation:
    """A watched stage's values, in flat order, and every stage's rows and bytes known so far."""

    stage: int
    values: tuple[Any, ...]


@record
class Failure:
    """A task raised ``Replan``."""

    stage: int
    task: int
    signal: Replan


@record
class Grow:
    """More stages, numbered on from those there are.

    Attributes
    ----------
    stages
        New stages; they may read any stage that was not retracted or released.
    watches
        What to report.
    sealed
        No stage will be added any more, unless a task raises ``Replan``.
    release
        Kept stages that nobody will read any more but stages already there.
    retract
        Stages to take back: running tasks are stopped, values dropped, nobody may read them.
    """

    stages: tuple[Stage, ...] = ()
    watches: tuple[Watch, ...] = ()
    sealed: bool = False
    release: tuple[int, ...] = ()
    retract: tuple[int, ...] = ()


@record
class Done:
    """Nothing to run: every result is known without a task, or the failure is final.

    ``error`` is the exception to raise in the caller, or None.
    """

    error: BaseException | None = None


Reply: TypeAlias = Grow | Done


class Job(Protocol):
    """What an engine needs of a job."""

    def step(self, seen: Observation | Failure | None) -> Reply:
        """Begin (None), or go on with what was seen."""

    def measured(self, sizes: Mapping[int, Mapping[int, tuple[int, int]]]) -> None:
        """Take note of (rows, bytes) of finished tasks, by stage and task: for later estimates."""


class Sealed:
    """A job whose stages are all known from the start.

    Parameters
    ----------
    stages
        All of them, numbered from 0.
    """

    def __init__(self, stages: tuple[Stage, ...]) -> None:
        self._stages = stages

    def step(self, seen: Observation | Failure | None) -> Grow:
        """All stages at once; it is asked no more."""
        del seen
        return Grow(self._stages, sealed=True)

    def measured(self, sizes: Mapping[int, Mapping[int, tuple[int, int]]]) -> None:
        """Nobody plans with them."""
