from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from nbscale.graph.axismap import All, At, Each, Group
from nbscale.scheduler.growth import become_ready
from nbscale.scheduler.records import WorkerRecord
from nbscale.scheduler.states import READY, RUNNING, WAITING, move
from tests.scheduler.stages import edge, run_of, stage


@given(st.integers(0, 10_000), st.integers(1, 80))
def test_the_queue_gives_every_ready_task_once_in_order(seed, n):
    rng = random.Random(seed)
    run = run_of(stage(0, n, result=0), stage(1, max(1, n // 2), result=1))
    for record in run.stages:
        become_ready(run, record)
    given_out = set()
    for _ in range(5 * n):
        record = rng.choice(run.stages)
        task = rng.randrange(record.n)
        if record.state[task] == READY and rng.random() < 0.3:
            move(record, task, WAITING)
        elif record.state[task] == WAITING:
            move(record, task, READY)
            run.push(record, task)
        elif rng.random() < 0.5:
            ready = [r.entry(t) for r in run.stages for t in range(r.n) if r.state[t] == READY]
            found = run.take_first()
            if found is None:
                assert not ready
                break
            record, task = found
            assert record.entry(task) == min(ready)
            move(record, task, RUNNING)
            assert (record.number, task) not in given_out
            given_out.add((record.number, task))


def test_tasks_ready_from_the_start_are_one_entry():
    run = run_of(stage(0, 10_000, result=0))
    become_ready(run, run.stages[0])
    assert len(run.queue) == 1


def test_what_is_needed():
    n = 4
    run = run_of(
        stage(0, n),
        stage(1, 2, edge(0, Group(n, 2)), keep=True),
        stage(2, 3, edge(0, At(3, n, 1))),
        stage(3, 3, result=0),
    )
    source, kept, _, result = run.stages
    assert not source.simple
    source.uses[1] = source.uses[2] = 0
    assert [source.is_needed(t) for t in range(n)] == [True, True, False, True]
    run.stages[2].undone = 0
    assert not source.is_needed(1)
    assert kept.is_needed(0)
    assert result.is_needed(0)
    result.delivered[0] = 1
    assert not result.is_needed(0)


def test_clones_lead_to_clones():
    run = run_of(stage(0, 3), stage(1, 3, edge(0, Each(3))), stage(2, 1, edge(1, All(1, 3))))
    copy = run.clone()
    for old, new in zip(run.stages, copy.stages, strict=True):
        assert new is not old
        for links in ("ins", "outs", "common_ins", "common_outs"):
            for (_, one), (_, other) in zip(getattr(old, links), getattr(new, links), strict=True):
                assert other is copy.stages[one.number]
    copy.stages[0].state[0] = READY
    copy.stages[0].uses[0] = 9
    assert run.stages[0].state[0] == WAITING
    assert run.stages[0].uses[0] == 1
    worker = WorkerRecord(1)
    worker.clone().queue["x"] = 1
    assert not worker.queue
