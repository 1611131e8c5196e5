"""A task in its cone gives what it gives in the whole, and nothing else is made for it."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbscale.graph.axismap import All, Each, Group, Listed
from nbscale.graph.cone import cone
from nbscale.graph.stage import Edge, Program, Stage, Step
from nbscale.testing.random_jobs import random_stage


def run(stages):
    """The values of all stages by number and task, in plain loops."""
    values = {}
    for stage in stages:
        for task in range(stage.n_tasks):
            given = []
            for edge in stage.edges:
                producer = next(s for s in stages if s.number == edge.producer)
                read = [values[edge.producer, int(j)] for j in stage.reads(task, edge, producer)]
                given.append(read)
            # What it is and what it read stands for what any kernel could make of both.
            values[stage.number, task] = (stage.name, stage.index(task), given)
    return values


@settings(max_examples=200)
@given(st.integers(0, 10**6), st.integers(1, 7))
def test_every_task_of_random_stages(seed, count):
    rng = random.Random(seed)
    stages = []
    for number in range(count):
        stages.append(random_stage(rng, number, stages))
    whole = run(stages)
    by_number = {stage.number: stage for stage in stages}
    last = stages[-1]
    for task in range(min(last.n_tasks, 5)):
        before, target = cone(by_number, last.number, task)
        assert [stage.number for stage in before] == list(range(len(before)))
        assert (target.number, target.n_tasks) == (len(before), 1)
        again = run([*before, target])
        assert _same(again[target.number, 0], whole[last.number, task])
        read = [stage.number for stage in before if stage.result is not None]
        assert sorted(read) == sorted({edge.producer for edge in target.edges})


def _same(one, other):
    """Compared with a stack: they are nested deeply."""
    stack = [(one, other)]
    while stack:
        (name, index, given), (name2, index2, given2) = stack.pop()
        if (name, index) != (name2, index2) or len(given) != len(given2):
            return False
        for read, read2 in zip(given, given2, strict=True):
            if len(read) != len(read2):
                return False
            stack += zip(read, read2, strict=True)
    return True


NOTHING = Program(0, (), ())


def test_only_what_is_read_is_there():
    a = Stage(0, "a", (range(16),), (16,), NOTHING, ())
    b = Stage(1, "b", (range(2),), (2,), NOTHING, (Edge(0, (0,), (Group(16, 8),), "list"),))
    other = Stage(2, "c", (range(5),), (5,), NOTHING, ())
    before, target = cone({0: a, 1: b, 2: other}, 1, 1)
    assert [(s.name, list(s.axes[0]), s.original_grid) for s in before] == [
        ("a", list(range(8, 16)), (16,))
    ]
    assert [int(c) for c in target.axes[0]] == [1]


def test_calls_that_read_calls_of_their_stage():
    reads = Listed(5, [0, 0, 1, 2, 2, 4], [0, 1, 2, 3])  # 1 reads 0, 2 reads 1, 4 reads 2 and 3
    calls = Stage(0, "calls", (range(5),), (5,), NOTHING, (Edge(0, (0,), (reads,), "list"),))
    before, target = cone({0: calls}, 0, 2)
    assert [int(c) for c in before[0].axes[0]] == [0, 1]
    assert target.edges[0].producer == 0
    again = run([*before, target])
    assert _same(again[1, 0], run([calls])[0, 2])


def test_pieces_are_still_addressed_by_their_reader():
    whole = Stage(0, "split", (range(3),), (3,), NOTHING, ())
    edge = Edge(0, (0,), (All(4, 3),), "list", pieces=True)
    merge = Stage(1, "merge", (np.array([0, 2, 3]),), (4,), NOTHING, (edge_of(edge),))
    _, target = cone({0: whole, 1: merge}, 1, 1)
    assert target.flat_original(0) == 2


def edge_of(edge):
    restricted, _ = edge.maps[0].restrict(np.array([0, 2, 3]))
    return Edge(0, (0,), (restricted,), edge.delivery, edge.pieces)


@pytest.mark.parametrize("keep", [True, False])
def test_nothing_is_kept_that_was(keep):
    a = Stage(0, "a", (range(2),), (2,), Program.of(0, [Step(len, (), (0,), "a")]), (), keep=keep)
    b = Stage(1, "b", (range(2),), (2,), NOTHING, (Edge(0, (0,), (Each(2),)),), result=3)
    before, target = cone({0: a, 1: b}, 1, 0)
    assert not before[0].keep
    assert target.result is None
