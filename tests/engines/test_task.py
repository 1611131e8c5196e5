"""A task gets the inputs its edges say, and its errors say where they come from."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nbscale.engines.task import Work, explain
from nbscale.events import Place
from nbscale.graph.axismap import All, At, Each, Group, Listed, Parent, Ranges, Window
from nbscale.graph.stage import Edge, Program, Stage, Step
from nbscale.testing.jobs import each, over, stage


def work(made, *producers, take=None):
    works = {}
    for producer in producers:
        table = {task: (producer.number, task) for task in range(producer.n_tasks)}
        works[producer.number] = Work(None, 1, producer, table, works, None, None)
    return Work(None, 1, made, {}, works, take, None)


def inputs(index, *values):
    return values


@st.composite
def maps(draw):
    """A map over ten producers."""
    n = 10
    i = st.integers(0, n)
    kind = draw(st.sampled_from([Each, All, At, Window, Group, Parent, Ranges, Listed]))
    if kind is Each:
        return Each(n)
    if kind is All:
        return All(draw(i), n)
    if kind is At:
        return At(draw(i), n, draw(st.integers(0, n - 1)))
    if kind is Window:
        return Window(draw(i), n, draw(st.integers(-3, 3)), draw(st.integers(-3, 3)))
    if kind is Group:
        return Group(n, draw(st.integers(1, n)))
    if kind is Parent:
        return Parent(n * 2, n, 2)
    if kind is Ranges:
        pairs = draw(st.lists(st.tuples(i, i).map(sorted), max_size=6))
        return Ranges(n, [p[0] for p in pairs], [p[1] for p in pairs])
    rows = draw(st.lists(st.sets(st.integers(0, n - 1)).map(sorted), max_size=6))
    ends = [0]
    for row in rows:
        ends.append(ends[-1] + len(row))
    return Listed(n, ends, [j for row in rows for j in row])


@given(maps(), st.sampled_from(["list", "turn"]), st.booleans())
def test_inputs_are_what_the_map_says(m, delivery, pieces):
    producer = stage(0, 10, inputs)
    edge = over(producer, m, delivery=delivery, pieces=pieces)
    reader = stage(1, m.n_out, lambda index, values: list(values), edge)
    table = {j: [(j, i) for i in range(m.n_out)] if pieces else j for j in range(10)}
    made = Work(
        None, 1, reader, {}, {0: Work(None, 1, producer, table, {}, None, None)}, None, None
    )
    for i in range(m.n_out):
        made.execute(i)
        expected = [(j, i) if pieces else j for j in m.inputs(i)]
        assert made.table[i] == expected


@given(st.integers(1, 4), st.integers(1, 4), st.data())
def test_two_axes_are_read_in_c_order(rows, columns, data):
    producer = stage(0, (rows, columns), inputs)
    axis_maps = []
    for n in (rows, columns):
        kind = data.draw(st.sampled_from(["each", "all"]))
        axis_maps.append(Each(n) if kind == "each" else All(n, n))
    reader = stage(1, (rows, columns), lambda index, v: v, over(producer, *axis_maps))
    made = work(reader, producer)
    for task in range(rows * columns):
        made.execute(task)
        i, j = reader.position(task)
        assert made.table[task] == [
            (0, int(a) * columns + int(b))
            for a in axis_maps[0].inputs(i)
            for b in axis_maps[1].inputs(j)
        ]


def test_a_value_is_given_away_once_though_it_is_made_twice():
    given_away = []
    a = stage(0, 2, lambda index: index[0], result=0)
    made = work(a, take=lambda index, value: given_away.append((index, value)))
    for task in (0, 1, 1, 0):
        made.execute(task)
    assert given_away == [((0,), 0), ((1,), 1)]


def test_sizes_are_not_kept_for_a_million_tasks():
    kernel = Program.of(0, [Step(inputs, (), (0,), "op")])
    small = Stage(0, "", (range(10),), (10,), kernel, (), value_of="key")
    large = Stage(0, "", (range(10**6),), (10**6,), kernel, (), value_of="key")
    inner = Stage(0, "", (range(10),), (10,), kernel, ())
    assert work(small).sizes == {}
    assert work(large).sizes is None
    assert work(inner).sizes is None


def failing(steps, number, task=0, grid=(1,)):
    """The notes of an error of one of the steps."""
    chain = [Step(inputs, (), tuple(range(len(grid))), name, place) for name, place in steps]
    axes = tuple(range(n) for n in grid)
    made = work(Stage(0, "whole", axes, grid, Program.of(0, chain), ()))
    error = ValueError("mine")
    if number is not None:
        error.__nbscale_step__ = number
    explain(error, made.stage, task)
    return error.__notes__


def test_the_note_names_the_operation_and_its_place():
    steps = [("read", Place("a.py", 3)), ("assign", Place("x", 2, cell=5)), ("sum", None)]
    assert failing(steps, 0) == ["while running read (a.py, line 3)"]
    assert failing(steps, 1)[0] == "while running assign (cell 5, line 2)"
    assert failing(steps, 2)[0] == "while running sum"
    assert failing(steps, None)[0] == "while running whole"


def test_the_same_note_is_added_once():
    made = work(stage(0, 1, inputs, name="sum"))
    error = ValueError("mine")
    explain(error, made.stage, 0)
    explain(error, made.stage, 0)
    assert error.__notes__ == ["while running sum"]


def test_the_note_names_the_part():
    steps = [("sum", None)]
    assert failing(steps, 0, 11, (64,)) == ["while running sum, on partition 11 of 0 to 63"]
    assert failing(steps, 0, 5, (2, 4)) == [
        "while running sum, on chunk (1, 1) of 2 x 4, counted from 0"
    ]


def test_a_call_is_no_part_of_anything():
    own = Edge(0, (0,), (Listed(2, [0, 0, 1], [0]),), "list")
    error = ValueError("mine")
    explain(error, stage(0, 2, inputs, own, name="call"), 1)
    assert error.__notes__ == ["while running call"]


def test_a_stage_that_reads_itself():
    own = Edge(0, (0,), (Listed(3, [0, 0, 1, 3], [0, 0, 1]),), "list")
    a = stage(0, 3, lambda index, values: len(values) + sum(values), own)
    made = work(a)
    for task in range(3):
        made.execute(task)
    assert made.table == {0: 0, 1: 1, 2: 3}


def test_straight_edges_read_the_same_task():
    producer = stage(0, (2, 3), inputs)
    reader = stage(1, (2, 3), lambda index, value: value, each(producer))
    made = work(reader, producer)
    made.execute(4)
    assert made.table == {4: (0, 4)}
