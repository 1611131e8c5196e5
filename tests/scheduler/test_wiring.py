from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from nbscale.graph.axismap import All, At, Each, Group, Window
from nbscale.graph.stage import Edge, Program, Stage
from nbscale.scheduler.wiring import counts_of_readers, counts_of_reads, wire
from nbscale.testing.random_jobs import random_edge, random_stage

NOTHING = Program(0, (), ())


def stage(number, *grid):
    return Stage(number, "s", tuple(range(n) for n in grid), grid, NOTHING, ())


@given(st.integers(0, 100_000))
def test_a_wire_says_what_the_stage_says(seed):
    rng = random.Random(seed)
    producer, consumer = random_stage(rng, 0, []), random_stage(rng, 1, [])
    edge = random_edge(rng, consumer.grid, producer)
    w = wire(edge, consumer, producer, 0)
    readers = [[] for _ in range(producer.n_tasks)]
    for task in range(consumer.n_tasks):
        read = [int(j) for j in consumer.reads(task, edge, producer)]
        assert sorted(w.numbers(task, producer.n_tasks)) == read
        assert all(type(j) is int for j in w.numbers(task, producer.n_tasks))
        for j in read:
            readers[j].append(task)
    reads = [len(list(consumer.reads(t, edge, producer))) for t in range(consumer.n_tasks)]
    assert counts_of_reads(edge, consumer).tolist() == reads
    assert counts_of_readers(edge, consumer, producer).tolist() == [len(r) for r in readers]
    if not w.common:
        assert [list(w.readers(j)) for j in range(producer.n_tasks)] == readers


def test_what_everybody_reads_is_counted_once():
    everything = Edge(0, (0,), (All(1_000_000, 4),))
    w = wire(everything, stage(1, 1_000_000), stage(0, 4), 3)
    assert w.common
    assert w.block is None
    assert w.slot == 3


def test_one_value_for_everybody_is_counted_once():
    w = wire(Edge(0, (0,), (At(9, 4, 2),)), stage(1, 9), stage(0, 4), 0)
    assert w.common
    assert list(w.block) == [2]
    assert w.covers(2)
    assert not w.covers(1)


def test_one_row_for_everybody():
    edge = Edge(0, (0, 1), (At(9, 4, 2), All(5, 3)))
    w = wire(edge, stage(1, 9, 5), stage(0, 4, 3), 0)
    assert list(w.block) == [6, 7, 8]


def test_a_single_value_without_axes():
    w = wire(Edge(0, (), ()), stage(1, 9), stage(0), 0)
    assert w.common
    assert list(w.numbers(3, 1)) == [0]


def test_the_same_place_needs_no_look():
    w = wire(Edge(0, (0, 1), (Each(2), Each(3))), stage(1, 2, 3), stage(0, 2, 3), 0)
    assert w.same
    assert not wire(Edge(0, (1, 0), (Each(3), Each(2))), stage(1, 2, 3), stage(0, 3, 2), 0).same


def test_calls_that_read_one_another_are_never_common():
    one = stage(0, 1)
    w = wire(Edge(0, (0,), (Window(1, 1, -1, 0),)), one, one, 0)
    assert not w.common
    assert not w.same
    assert list(w.reads(0)) == []


def test_tree_reads_and_readers():
    w = wire(Edge(0, (0,), (Group(10, 4),)), stage(1, 3), stage(0, 10), 0)
    assert [list(w.reads(i)) for i in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [list(w.readers(j)) for j in (0, 3, 4, 9)] == [[0], [0], [1], [2]]
