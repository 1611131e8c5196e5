"""Random jobs: graphs of stages over every kind of map, that grow, watch, release and go back.

Used to test the scheduler in simulation. A seed gives the same job, and the same run of it with the
same faults, everywhere; ``python -m nbscale.testing.random_jobs SEED`` runs one and tells what
happens, signal by signal.
"""

from __future__ import annotations

import dataclasses
import math
import random
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nbscale.graph.axismap import (
    All,
    At,
    AxisMap,
    Each,
    Group,
    Listed,
    Parent,
    Ranges,
    Window,
)
from nbscale.graph.job import Done, Failure, Grow, Observation, Reply, Watch
from nbscale.graph.stage import Delivery, Edge, Program, Stage
from nbscale.scheduler.check import Checker
from nbscale.scheduler.machine import Machine
from nbscale.scheduler.simulate import Broken, Faults, Simulation

__all__ = [
    "RandomJob",
    "check_seed",
    "random_edge",
    "random_map",
    "random_simulation",
    "random_stage",
]

_MOST_SIGNALS = 50_000

_NOTHING = Program(0, (), ())


def random_map(rng: random.Random, n_out: int, n_in: int) -> AxisMap:
    """Any map between so many outputs and so many producers."""
    choices: list[AxisMap] = [All(n_out, n_in), _window(rng, n_out, n_in)]
    choices += [_ranges(rng, n_out, n_in), _listed(rng, n_out, n_in)]
    if n_in:
        choices.append(At(n_out, n_in, rng.randrange(n_in)))
    if n_out == n_in:
        choices += [Each(n_out)] * 3
    if n_in and n_out:
        k = -(-n_in // n_out)
        if -(-n_in // k) == n_out:
            choices += [Group(n_in, k)] * 3
        choices.append(Parent(n_out, n_in, max(1, -(-n_out // n_in))))
    return rng.choice(choices)


def _window(rng: random.Random, n_out: int, n_in: int) -> AxisMap:
    a = rng.randint(-2, 1)
    return Window(n_out, n_in, a, a + rng.randint(0, 3))


def _ranges(rng: random.Random, n_out: int, n_in: int) -> AxisMap:
    ends = [sorted((rng.randint(0, n_in), rng.randint(0, n_in))) for _ in range(n_out)]
    if rng.random() < 0.5:
        ends.sort()
        ends = [[lo, max(lo, hi)] for lo, hi in ends]
    return Ranges(
        n_in,
        np.array([lo for lo, _ in ends], dtype=np.int64),
        np.array([hi for _, hi in ends], dtype=np.int64),
    )


def _listed(rng: random.Random, n_out: int, n_in: int, *, below: bool = False) -> Listed:
    """Each output reads a few producers; ``below``: only those with smaller numbers."""
    rows = []
    for i in range(n_out):
        among = range(min(i, n_in) if below else n_in)
        rows.append(sorted(rng.sample(among, min(len(among), rng.randint(0, 3)))))
    indptr = np.cumsum([0, *map(len, rows)])
    return Listed(n_in, indptr, np.array([j for row in rows for j in row], dtype=np.int64))


def random_edge(rng: random.Random, grid: Sequence[int], producer: Stage) -> Edge:
    """Any edge from a producer to a stage with this grid."""
    drivers = [*range(len(grid)), *range(len(grid)), -1]
    axes: list[int] = []
    maps: list[AxisMap] = []
    straight = tuple(grid) == producer.grid and rng.random() < 0.4
    for axis, n in enumerate(producer.grid):
        a = axis if straight else rng.choice(drivers)
        axes.append(a)
        if straight:
            maps.append(Each(n))
        elif a >= 0:
            maps.append(random_map(rng, grid[a], n))
        else:
            maps.append(rng.choice([All(1, n), At(1, n, rng.randrange(n))]) if n else All(1, n))
    single = all(isinstance(m, (Each, At, Parent)) for m in maps)
    choices: list[Delivery] = ["one"] if single else ["list", "list", "turn"]
    return Edge(
        producer.number,
        tuple(axes),
        tuple(maps),
        rng.choice(choices),
        pieces=rng.random() < 0.15,
    )


def _stand_in(error: BaseException) -> Any:
    return error


def random_stage(rng: random.Random, number: int, producers: Sequence[Stage]) -> Stage:
    """A stage that reads some of the producers, and perhaps itself."""
    grid = tuple(rng.randint(1, 5) for _ in range(1 if rng.random() < 0.7 else 2))
    if producers and rng.random() < 0.4:
        grid = rng.choice(producers).grid
    if rng.random() < 0.03:
        grid = (0,)
    some = rng.sample(producers, min(len(producers), rng.randint(0, 3)))
    edges = [random_edge(rng, grid, producer) for producer in some]
    if len(grid) == 1 and rng.random() < 0.25:
        itself = _listed(rng, grid[0], grid[0], below=True)
        edges.append(Edge(number, (0,), (itself,), "list"))
    n = math.prod(grid)
    once = frozenset(i for i in range(n) if rng.random() < 0.5) if rng.random() < 0.1 else None
    return Stage(
        number=number,
        name=f"stage {number}",
        axes=tuple(range(n) for n in grid),
        original_grid=grid,
        program=_NOTHING,
        edges=tuple(edges),
        keep=rng.random() < 0.2,
        user_code=rng.random() < 0.15,
        nbytes=rng.choice([None, None, float(rng.randint(0, 100))]),
        once=once or frozenset(),
        substitute=_stand_in if rng.random() < 0.2 else None,
    )


class RandomJob:
    """A job that grows at random for a few steps, and replaces what it is told is wrong.

    Parameters
    ----------
    seed
        Decides everything.
    steps
        How often it adds stages, at most.
    """

    def __init__(self, seed: int, steps: int = 3) -> None:
        self.random = random.Random(seed)  # noqa: S311 - to be replayed, not to be secret
        self.steps = steps
        self.stages: list[Stage] = []
        self.gone: set[int] = set()
        self.released: set[int] = set()
        self.watching: set[int] = set()
        self.sealed = False
        self.results = 0
        self.replans = 0

    def step(self, seen: Observation | Failure | None) -> Reply:
        """More stages; or others in the place of those that failed and all that read them."""
        match seen:
            case Observation(stage=stage):
                self.watching.discard(stage)
            case Failure(stage=stage):
                if self.random.random() < 0.1:
                    return Done(RuntimeError("no new plan"))
                return self._go_back(stage)
        if self.sealed:
            return Grow(sealed=True)
        return self._go_on()

    def measured(self, sizes: Mapping[int, Mapping[int, tuple[int, int]]]) -> None:
        """Nothing to learn."""

    def _alive(self) -> list[Stage]:
        return [
            s
            for s in self.stages
            if s.keep and s.number not in self.gone and s.number not in self.released
        ]

    def _go_on(self) -> Grow:
        rng = self.random
        self.steps -= 1
        readable = self._alive()
        new: list[Stage] = []
        for _ in range(rng.randint(1, 4)):
            stage = random_stage(rng, len(self.stages) + len(new), readable + new)
            new.append(stage)
        last = self.steps <= 0
        if last or rng.random() < 0.3:
            at = rng.randrange(len(new))
            for k in {at, len(new) - 1}:
                new[k] = dataclasses.replace(new[k], result=self.results)
                self.results += 1
        self.stages += new
        watches = []
        older = [s for s in readable if s.number not in self.watching]
        if older and rng.random() < 0.3:
            stage = rng.choice(older)
            watches.append(Watch(stage.number, rng.choice([None, 1, 2])))
            self.watching.add(stage.number)
        if not last:
            k = rng.randrange(len(new))
            stage = dataclasses.replace(new[k], keep=True)
            new[k] = self.stages[stage.number] = stage
            watches.append(Watch(stage.number, rng.choice([None, 1, 2])))
            self.watching.add(stage.number)
        release = []
        if rng.random() < 0.5:
            release = [s.number for s in readable if rng.random() < 0.5 or last]
            release = [n for n in release if n not in self.watching]
        self.released.update(release)
        self.sealed = last and not self.watching
        return Grow(tuple(new), tuple(watches), sealed=self.sealed, release=tuple(release))

    def _go_back(self, failed: int) -> Grow:
        """The cone of the failed stage anew."""
        self.replans += 1
        cone = {failed}
        for stage in self.stages:
            reads = any(e.producer in cone for e in stage.edges)
            if stage.number not in self.gone and reads:
                cone.add(stage.number)
        fresh: dict[int, int] = {}
        new: list[Stage] = []
        watches = []
        for number in sorted(cone):
            old = self.stages[number]
            fresh[number] = len(self.stages) + len(new)
            edges = tuple(
                dataclasses.replace(e, producer=fresh.get(e.producer, e.producer))
                for e in old.edges
            )
            new.append(dataclasses.replace(old, number=fresh[number], edges=edges))
            if number in self.watching:
                watches.append(Watch(fresh[number]))
            if number in self.released:
                self.released.add(fresh[number])
        self.watching = {fresh.get(n, n) for n in self.watching}
        self.stages += new
        self.gone |= cone
        # What was released is so anew, but for what the new stages still read through others.
        release = tuple(fresh[n] for n in sorted(cone) if n in self.released)
        return Grow(tuple(new), tuple(watches), self.sealed, release, tuple(sorted(cone)))


def random_simulation(seed: int, machine: type[Machine] = Machine) -> Simulation:
    """One to three random jobs on random workers, with random limits and faults."""
    rng = random.Random(f"simulation {seed}")  # noqa: S311 - to be replayed, not to be secret

    def sometimes(chance: float) -> float:
        return chance if rng.random() < 0.4 else 0.0

    faults = Faults(
        die=sometimes(0.05),
        freeze=sometimes(0.1),
        replan=sometimes(0.03),
        fail=sometimes(0.005),
        cancel=sometimes(0.005),
        change=sometimes(0.02),
        spill=sometimes(0.3),
        load=sometimes(0.3),
        late=sometimes(0.5),
        together=sometimes(0.6),
        short=sometimes(0.05),
    )
    simulation = Simulation(
        workers=rng.randint(1, 3),
        limit=rng.choice([10**9, 3000, 600, 250]),
        seed=seed,
        faults=faults if rng.random() < 0.9 else Faults(),
        seconds=lambda stage, task: 1.0 + (stage.number * 5 + task * 3) % 7,
        nbytes=lambda stage, task: (stage.number * 31 + task * 17) % 101,
        options={
            "headroom": 0,
            "can_spill": rng.random() < 0.5,
            "can_recompute": rng.random() < 0.8,
            "queue": rng.choice([1, 1, 2, 4]),
        },
        machine=machine,
    )
    for k in range(rng.choice([1, 1, 2, 3])):
        simulation.open(RandomJob(seed * 10 + k, rng.randint(1, 4)))
    return simulation


def check_seed(seed: int, machine: type[Machine] = Machine, *, tell: bool = False) -> Simulation:
    """Run a random simulation to its end, checking the machine after every signal.

    Raises
    ------
    AssertionError
        Something does not hold; the message says how to see it again.
    """
    simulation = random_simulation(seed, machine)
    checker = Checker()
    try:
        for _ in simulation:
            if tell:
                sys.stdout.write(f"{simulation.now:8.2f} {simulation.log[-1]}\n")
            checker.check(simulation.machine)
            if len(simulation.log) > _MOST_SIGNALS:
                raise Broken(f"not over after {_MOST_SIGNALS} signals")
    except AssertionError as error:
        raise AssertionError(
            f"seed {seed}, signal {len(simulation.log)}: {error}\n"
            f"to see it again: python -m nbscale.testing.random_jobs {seed}"
        ) from error
    return simulation


if __name__ == "__main__":
    check_seed(int(sys.argv[1]), tell=True)
