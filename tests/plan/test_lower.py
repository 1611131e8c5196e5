from __future__ import annotations

import numpy as np
import pytest

from nbscale.expr.node import Map, Node, Read, Stack
from nbscale.graph.axismap import Each, Group, Listed, Ranges
from nbscale.plan.lower import Emitted, Wanted, lower
from tests.dataframe.serial import run_nodes
from tests.expr.nodes import ByRemainder, Call, Numbers, Plus, Running, Total, Zip


class Pick(Map):
    """Some partitions, as slicing and ``partitions[...]`` read them."""

    values: Node
    chosen: tuple[int, ...]

    @property
    def grid(self):
        return (len(self.chosen),)

    def reads(self):
        lo = np.asarray(self.chosen)
        return (Read(self.values, (0,), (Ranges(self.values.grid[0], lo, lo + 1),)),)

    def kernel(self):
        return lambda index, values: values


def stages_of(*nodes):
    return lower([Wanted(node, i) for i, node in enumerate(nodes)], Emitted(), {})


def names(stages):
    return [(s.name, s.n_tasks) for s in stages]


def test_a_chain_is_one_stage():
    (stage,) = stages_of(Plus(Plus(Numbers(4), 1), 2))
    assert stage.name == "numbers + plus"
    assert len(stage.program.steps) == 3
    assert stage.edges == ()


def test_a_diamond_whose_sides_meet_again_is_one_stage():
    n = Numbers(4)
    (stage,) = stages_of(Zip(Plus(n, 1), Zip(n, n)))
    assert len(stage.program.steps) == 4


def test_what_two_stages_read_is_a_stage_of_its_own():
    n = Plus(Numbers(4), 1)
    stages = stages_of(Total(n), Plus(n, 5))
    assert stages[0].n_tasks == 4
    assert [e.producer for s in stages[1:] for e in s.edges].count(0) == 2


def test_a_reduction_is_a_tree_whose_shape_depends_on_the_grid_alone():
    stages = stages_of(Total(Numbers(100)))
    assert [s.n_tasks for s in stages] == [100, 13, 2, 1]
    assert stages[1].edges[0].maps == (Group(100, 8),)


def test_only_what_is_read_is_kept():
    source, _ = stages_of(Pick(Plus(Numbers(100), 1), (3, 50)))
    assert [list(axis) for axis in source.axes] == [[3, 50]]
    assert run_nodes(Pick(Plus(Numbers(100), 1), (50, 3))) == [[[151, 152, 153], [10, 11, 12]]]


def test_a_prefix_of_a_scan_reads_no_further():
    stages = stages_of(Pick(Running(Numbers(100)), (0, 1)))
    assert max(s.n_tasks for s in stages) == 2
    assert run_nodes(Pick(Running(Numbers(100)), (1,))) == [[[6, 10, 15]]]


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 65])
def test_every_family_computes(n):
    flat = list(range(3 * n))
    values = Numbers(n)
    total, running, parted = run_nodes(Total(values), Running(values), ByRemainder(values, 3))
    assert total == [[sum(flat)]]
    assert [v for part in running for v in part] == list(np.cumsum(flat))
    assert parted == [[v for v in flat if v % 3 == j] for j in range(3)]


def test_calls_share_a_stage_and_layers_follow_collections():
    a = Call("a")
    b = Call("b", (a, Total(Numbers(3))))
    stages = stages_of(Stack((b, a)))
    calls = [s for s in stages if s.original_grid == (2,) and "call" in s.name]
    assert len(calls) == 1
    assert isinstance(calls[0].edges[0].maps[0], Listed)
    assert run_nodes(Stack((b, a))) == [[("b", ("('a',)",), ("[36]",)), ("a",)]]


def test_a_collection_that_reads_a_call_that_reads_a_collection():
    a = Call("a", (Numbers(2),))
    b = Call("b", (Stack((a, a)),))
    ((value,),) = run_nodes(Stack((b,)))
    assert value[0] == "b"
    assert len(value[1]) == 2


def test_calls_nobody_wants_are_left_out():
    calls = [Call("0")]
    for i in range(1, 50):
        calls.append(Call(str(i), (calls[-1],)))
    stages = stages_of(Stack((calls[9],)))
    assert stages[0].n_tasks == 10


def test_values_kept_by_an_earlier_step_are_read_again():
    emitted = Emitted()
    n = Plus(Numbers(4), 1)
    first = lower([Wanted(Total(n))], emitted, {}, hold=(n,))
    second = lower([Wanted(Plus(n, 5), 0)], emitted, {})
    held = next(s for s in first if s.keep and s.n_tasks == 4)
    assert len(second) == 1
    assert second[0].edges[0].producer == held.number
    assert second[0].edges[0].maps == (Each(4),)


def test_values_kept_in_part_are_made_again_whole():
    emitted = Emitted()
    n = Plus(Numbers(4), 1)
    lower([Wanted(Pick(n, (0,)))], emitted, {}, hold=(n,))
    second = lower([Wanted(Plus(n, 5), 0)], emitted, {})
    assert [s.n_tasks for s in second] == [4]


def test_a_million_partitions_cost_a_few_records():
    stages = stages_of(Total(Plus(Numbers(1_000_000), 1)))
    assert sum(s.n_tasks for s in stages) == 1_142_860
    assert all(isinstance(e.maps[0], (Each, Group)) for s in stages for e in s.edges)
