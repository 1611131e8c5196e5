"""The simulator itself: what-if answers, faults that happen, breaches that are found, replay."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest

from nbscale.graph.axismap import Each, Group
from nbscale.scheduler.machine import Machine
from nbscale.scheduler.protocol import (
    Deliver,
    Drop,
    End,
    Frozen,
    Run,
    Spilled,
    TaskFailed,
    WorkerLeft,
)
from nbscale.scheduler.simulate import Broken, Faults, replay, simulate
from nbscale.testing.random_jobs import check_seed
from tests.scheduler.stages import edge, stage


def tree(n, **facts):
    stages = [stage(0, n, **facts)]
    while n > 1:
        m = Group(n, 8)
        n = m.n_out
        stages.append(stage(len(stages), n, edge(len(stages) - 1, m), nbytes=1.0))
    return [*stages[:-1], stage(len(stages) - 1, 1, *stages[-1].edges, nbytes=1.0, result=0)]


def test_what_if_there_were_more_workers():
    stages = tree(64)
    seconds = [
        simulate(stages, workers=w, seconds=lambda s, _: float(s.number == 0)).makespan
        for w in (1, 2, 4, 64)
    ]
    assert seconds == [64, 32, 16, 1]


def test_what_if_there_were_less_memory():
    def parts(n, nbytes):
        return [stage(0, n, nbytes=nbytes), stage(1, n, edge(0, Each(n)), nbytes=1.0, result=0)]

    def run(limit):
        return simulate(
            parts(40, 100.0),
            workers=4,
            limit=limit,
            headroom=0,
            seconds=lambda s, _: 1.0 - s.number,
        )

    assert run(10_000).makespan == 10
    assert run(450).makespan == 20  # 200 for each task: two at once
    assert run(250).makespan == 40
    for limit in (250, 450, 10_000):
        trace = run(limit)
        assert trace.peak <= limit
        assert trace.busy == 40
        assert trace.ends[1].outcome == "done"


def test_a_tree_over_more_than_the_memory_holds_little():
    trace = simulate(tree(512, nbytes=100.0), workers=2, limit=5000, headroom=0)
    assert trace.peak < 1000
    assert trace.ends[1].outcome == "done"


def test_faults_happen():
    seen = Counter()
    for seed in range(40):
        trace = simulate(
            tree(30),
            tree(5),
            seed=seed,
            faults=Faults(die=0.02, freeze=0.05, fail=0.01, cancel=0.002, replan=0.005, late=0.5),
        )
        seen.update(type(signal) for signal, _ in trace.log)
        seen.update(end.outcome for end in trace.ends.values())
    assert {WorkerLeft, Frozen, TaskFailed, "done", "failed", "cancelled"} <= set(seen)


def test_a_trace_can_be_replayed():
    trace = simulate(tree(30), workers=3, seed=5, faults=Faults(die=0.02, freeze=0.1))
    machine = Machine(10**9)
    replay(trace, machine)
    with pytest.raises(Broken, match="signal 4, Grown"):
        replay(trace, Machine(1))


HASHES = """
from nbscale.testing.random_jobs import check_seed
print([check_seed(seed).trace().digest for seed in (0, 7, 11, 23)])
"""


def test_a_seed_gives_the_same_trace_in_any_process():
    digests = {
        subprocess.run(
            [sys.executable, "-c", HASHES],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "1234")
    }
    digests.add(f"{[check_seed(seed).trace().digest for seed in (0, 7, 11, 23)]}\n")
    assert len(digests) == 1


# Machines that make mistakes -----------------------------------------------------------------


class Altered(Machine):
    """Changes what the machine answers."""

    def handle(self, signal):
        return list(self.alter(super().handle(signal)))


class DropsTooEarly(Altered):
    def alter(self, actions):
        for action in actions:
            yield action
            if type(action) is Run and action.task.stage == 1:
                record = self.runs[1].stages[0]
                yield Drop(record.name(1, next(iter(record.size))))


class DropsTwice(Altered):
    def alter(self, actions):
        for action in actions:
            yield action
            if type(action) is Drop:
                yield action


class DeliversTwice(Altered):
    def alter(self, actions):
        for action in actions:
            yield action
            if type(action) is Deliver:
                yield action


class EndsTwice(Altered):
    def alter(self, actions):
        for action in actions:
            yield action
            if type(action) is End:
                yield action


class LeavesValues(Altered):
    def alter(self, actions):
        return [a for a in actions if type(a) is not Drop]


class NeverEnds(Altered):
    def alter(self, actions):
        return [a for a in actions if type(a) is not End]


class DeliversNothing(Altered):
    def alter(self, actions):
        return [a for a in actions if type(a) is not Deliver]


class RunsTwice(Altered):
    def alter(self, actions):
        for action in actions:
            yield action
            if type(action) is Run and action.task.task == 3:
                yield Run(action.worker, action.task)


@pytest.mark.parametrize(
    ("machine", "says"),
    [
        (DropsTooEarly, "runs, but stage 0|no such value"),
        (DropsTwice, "no such value"),
        (DeliversTwice, "delivered twice"),
        (EndsTwice, "ended already"),
        (LeavesValues, "left behind"),
        (NeverEnds, "never ends"),
        (DeliversNothing, "not delivered"),
        (RunsTwice, "is at it"),
    ],
)
def test_a_machine_that_makes_a_mistake_is_found(machine, says):
    with pytest.raises(Broken, match=says):
        simulate(tree(10), workers=2, machine=machine)


def test_values_that_cannot_be_written_or_read():
    n = 20
    stages = [
        stage(0, n, nbytes=100.0),
        stage(1, n, edge(0, Each(n)), nbytes=1.0, keep=True),
        stage(2, 1, edge(0, Group(n, n)), nbytes=1.0, result=0),
    ]
    outcomes = set()
    for seed in range(10):
        trace = simulate(
            stages,
            seed=seed,
            limit=2300,
            headroom=0,
            can_spill=True,
            faults=Faults(spill=0.3, load=0.3),
            nbytes=lambda s, _: 100 if s.number == 0 else 1,
        )
        assert trace.ends[1].outcome == "done"
        outcomes |= {s.ok for s, _ in trace.log if isinstance(s, Spilled)}
    assert outcomes <= {True, False}
