from __future__ import annotations

import random
import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nbscale.graph.axismap import All, At, Each, Group, Listed, Parent, Ranges, Window
from nbscale.graph.order import positions
from nbscale.graph.stage import Edge, Program, Stage
from nbscale.testing.random_jobs import random_stage

NOTHING = Program(0, (), ())


def stage(number, grid, *edges, **facts):
    grid = (grid,) if isinstance(grid, int) else grid
    axes = tuple(range(n) for n in grid)
    return Stage(number, f"stage {number}", axes, grid, NOTHING, edges, **facts)


def edge(producer, *maps, axes=None):
    return Edge(producer, tuple(range(len(maps))) if axes is None else axes, maps, "list")


def tree(n, k=8):
    stages = [stage(0, n)]
    while n > 1:
        m = Group(n, k)
        n = m.n_out
        stages.append(stage(len(stages), n, edge(len(stages) - 1, m)))
    return stages


def most_held(stages, places):
    """The most values that wait when tasks run one at a time, the lowest position first."""
    keys = {
        (s.number, t): (places[s.number][t], -s.number, t) for s in stages for t in range(s.n_tasks)
    }
    reads = {
        (s.number, t): [(e.producer, j) for e in s.edges for j in s.reads(t, e, stages[e.producer])]
        for s, t in keys_of(stages)
    }
    uses = dict.fromkeys(keys, 0)
    for inputs in reads.values():
        for key in inputs:
            uses[key] += 1
    done, held, most = set(), set(), 0
    while len(done) < len(keys):
        task = min(
            (key for key in keys if key not in done and done.issuperset(reads[key])), key=keys.get
        )
        done.add(task)
        held.add(task)
        most = max(most, len(held))
        for key in reads[task]:
            uses[key] -= 1
            if not uses[key]:
                held.discard(key)
        if not uses[task]:
            held.discard(task)
    return most


def keys_of(stages):
    return [(s, t) for s in stages for t in range(s.n_tasks)]


def test_a_cone_lies_in_the_stretch_of_its_consumer():
    stages = tree(64, 4)
    places = positions(stages)
    for s in stages[1:]:
        here, below = places[s.number], places[s.number - 1]
        for task in range(s.n_tasks):
            end = here[task + 1] if task + 1 < s.n_tasks else 1.0
            cone = below[4 * task : 4 * task + 4]
            assert here[task] == cone[0]
            assert (cone < end).all()


def test_a_tree_holds_a_few_values_a_level():
    stages = tree(64, 4)
    assert most_held(stages, positions(stages)) <= 3 * 3 + 2


def test_two_results_of_one_source_are_made_together():
    n = 16
    stages = [
        stage(0, n),
        stage(1, n, edge(0, Each(n)), result=0),
        stage(2, 4, edge(0, Group(n, 4)), result=1),
    ]
    assert most_held(stages, positions(stages)) <= 6


def test_windows_hold_their_width():
    n = 30
    stages = [stage(0, n), stage(1, n, edge(0, Window(n, n, -2, 1)), result=0)]
    assert most_held(stages, positions(stages)) <= 4


def test_rows_of_a_product_share_theirs():
    # y[i, j] = sum over k of a[i, k] * b[k, j]: a row of a stays while the columns of b pass
    n = 4
    a, b = stage(0, (n, n)), stage(1, (n, n))
    product = stage(
        2,
        (n, n),
        edge(0, Each(n), All(n, n), axes=(0, -1)),
        edge(1, All(n, n), Each(n), axes=(-1, 1)),
        result=0,
    )
    places = positions([a, b, product])
    assert most_held([a, b, product], places) <= n * n + n + 1


def test_transposed_axes():
    stages = [
        stage(0, (3, 5)),
        stage(1, (5, 3), edge(0, Each(3), Each(5), axes=(1, 0)), result=0),
    ]
    source, result = positions(stages)
    assert np.array_equal(source.reshape(3, 5).T, result.reshape(5, 3))


def test_stages_of_a_later_step_stand_behind():
    stages = [stage(0, 4), stage(1, 4, edge(0, Each(4)), result=0)]
    (later,) = positions(stages, 1, 1.0)
    assert later.tolist() == [1.0, 1.25, 1.5, 1.75]


def test_maps_in_any_order():
    backwards = Ranges(4, np.arange(4)[::-1].copy(), np.arange(4)[::-1] + 1)
    some = Listed(4, [0, 1, 3], [3, 0, 1])
    stages = [
        stage(0, 4),
        stage(1, 4, edge(0, backwards), result=0),
        stage(2, 4),
        stage(3, 2, edge(2, some), result=1),
        stage(4, 2),
        stage(5, 6, edge(4, Parent(6, 2, 3)), result=2),
        stage(6, 3),
        stage(7, 2, edge(6, At(2, 3, 1)), result=3),
    ]
    places = positions(stages)
    assert places[0].tolist() == [0.75, 0.5, 0.25, 0.0]
    assert places[2].tolist()[:2] == sorted(places[2].tolist()[:2])
    assert places[2][3] == 0.0
    assert places[4].tolist() == [0.0, 0.5]
    assert places[6][1] == 0.0  # and those that nobody reads have some place
    assert np.isfinite(places[6]).all()


def test_a_chain_of_calls_needs_no_recursion():
    n = 100_000
    chain = Listed(n, [0, *range(n)], range(n - 1))
    (place,) = positions([stage(0, n, edge(0, chain), result=0)])
    assert (np.diff(place) > 0).all()


def test_calls_that_read_their_neighbours():
    (place,) = positions([stage(0, 5, edge(0, Window(5, 5, -2, 0)), result=0)])
    assert (np.diff(place) > 0).all()


def test_calls_run_after_what_they_read_and_cone_by_cone():
    # 6 reads 0..2, 7 reads 3..5: all of one before anything of the other
    m = Listed(8, [0, 0, 0, 0, 0, 0, 0, 3, 6], [0, 2, 4, 1, 3, 5])
    (place,) = positions([stage(0, 8, edge(0, m), result=0)])
    assert place[[0, 2, 4, 6]].max() < place[[1, 3, 5, 7]].min()


def test_no_values_no_tasks():
    stages = [stage(0, 0), stage(1, 3, edge(0, All(3, 0)), result=0), stage(2, 0)]
    assert [p.size for p in positions(stages)] == [0, 3, 0]
    assert [p.size for p in positions([stage(0, ()), stage(1, 2, Edge(0, (), ()), result=0)])] == [
        1,
        2,
    ]


@given(st.integers(0, 10_000))
def test_nothing_stands_before_its_first_reader(seed):
    rng = random.Random(seed)
    stages = []
    for number in range(4):
        stages.append(random_stage(rng, number, stages))
    places = positions(stages, 0, 3.0)
    for s in stages:
        place = places[s.number]
        assert place.shape == (s.n_tasks,)
        assert ((place >= 3.0) & (place < 4.0)).all()
        readers = [
            (consumer, e) for consumer in stages for e in consumer.edges if e.producer == s.number
        ]
        diagonal = any(len({*e.axes} - {-1}) < sum(a >= 0 for a in e.axes) for _, e in readers)
        if diagonal or any(consumer is s for consumer, _ in readers):
            continue
        for task in range(s.n_tasks):
            reading = [
                places[consumer.number][i]
                for consumer, e in readers
                for i in consumer.read_by(e, task, s)
            ]
            assert not reading or place[task] >= min(reading)


def test_a_million_tasks_take_no_objects():
    stages = tree(1_000_000)
    tracemalloc.start()
    try:
        places = positions(stages)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30_000_000
    assert all((np.diff(place) > 0).all() for place in places)
