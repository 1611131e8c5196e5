"""What if: the real machine run on jobs in a world in which clock, workers and store are values.

Nothing is computed: a task takes the seconds and makes the bytes it is said to, then its value
"exists". Asked with what a run has measured, it answers what-if questions (other workers, another
memory limit); with faults and a seed it is the test of the machine.

The same jobs, options and seed give the same trace, bit for bit, in any process.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from nbscale.graph.job import Done, Failure, Grow, Job, Observation
from nbscale.graph.stage import Stage
from nbscale.scheduler.machine import Machine
from nbscale.scheduler.simulation import Broken, Faults, Measure, Simulation, Trace, plain

__all__ = ["Broken", "Faults", "Recorded", "Simulation", "Trace", "replay", "simulate"]


class Recorded:
    """The job of stages that are known from the beginning, such as those of a run that is over."""

    def __init__(self, stages: Iterable[Stage]) -> None:
        self.stages = tuple(stages)

    def step(self, seen: Observation | Failure | None) -> Grow | Done:
        """All stages at once; a task that asks for a new plan gets none."""
        if seen is not None:
            return Done(RuntimeError("no new plan"))
        return Grow(self.stages, sealed=True)

    def measured(self, sizes: Any) -> None:
        """Nothing to learn."""


def simulate(
    *jobs: Job | Sequence[Stage],
    workers: int = 2,
    limit: int = 10**9,
    seed: int = 0,
    faults: Faults | None = None,
    seconds: Measure | None = None,
    nbytes: Measure | None = None,
    machine: type[Machine] = Machine,
    **options: Any,
) -> Trace:
    """Run jobs, or stages, through the machine; all begin at time zero.

    Parameters
    ----------
    jobs
        What to run.
    workers, limit, options
        As the machine takes them: ``headroom``, ``can_spill``, ``queue``, ...
    seed
        Decides whatever is random.
    faults
        What goes wrong; nothing by default.
    seconds, nbytes
        What a task of a stage takes and makes; by default a second, and what the stage estimates.
    machine
        The class of the machine.

    Raises
    ------
    Broken
        The machine did something it must not, or got stuck.

    Examples
    --------
    >>> from nbscale.graph.axismap import Each
    >>> from nbscale.graph.stage import Program
    >>> stage = Stage(0, "load", (range(6),), (6,), Program(0, (), ()), (), result=0)
    >>> simulate([stage], workers=2).makespan, simulate([stage], workers=3).makespan
    (3.0, 2.0)
    """
    simulation = Simulation(
        workers=workers,
        limit=limit,
        seed=seed,
        faults=faults or Faults(),
        seconds=seconds or (lambda _stage, _task: 1.0),
        nbytes=nbytes or (lambda stage, _task: int(stage.nbytes or 0)),
        options=options,
        machine=machine,
    )
    for job in jobs:
        simulation.open(Recorded(job) if isinstance(job, (list, tuple)) else job)  # type: ignore[arg-type]
    for _ in simulation:
        pass
    return simulation.trace()


def replay(trace: Trace, machine: Machine) -> None:
    """Feed a new machine, made as the first was, the signals of a trace.

    Raises
    ------
    Broken
        Its answers differ.
    """
    for number, (signal, actions) in enumerate(trace.log):
        now = tuple(machine.handle(signal))
        if now != actions:
            raise Broken(f"signal {number}, {plain(signal)}: {now}, but it was {actions}")
