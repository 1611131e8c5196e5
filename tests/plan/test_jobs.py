from __future__ import annotations

import dataclasses

import pytest

from nbscale.expr.node import Node, Source
from nbscale.graph.job import Done, Failure, Grow, Observation, Replan
from nbscale.plan.jobs import Learned, PlanJob, informed
from tests.dataframe.serial import run_job, run_nodes
from tests.expr.nodes import AboveMean, Numbers, Plus, Total, Zip


def test_adaptive_work_is_asked_for_then_built():
    n = Numbers(4)
    job = PlanJob((AboveMean(n, 12),), {}, Learned())
    first = job.step(None)
    assert isinstance(first, Grow)
    assert not first.sealed
    (watch,) = first.watches
    second = job.step(Observation(watch.stage, ([66],)))
    assert second.sealed
    assert len(second.release) == 2  # the answer, and the numbers that were kept for later


def test_what_was_read_for_the_ask_is_not_read_again():
    n = Numbers(4)
    job = PlanJob((AboveMean(n, 12),), {}, Learned())
    first = job.step(None)
    second = job.step(Observation(first.watches[0].stage, ([66],)))
    source = next(s for s in first.stages if n.key in s.keys)
    assert source.keep
    assert [e.producer for s in second.stages for e in s.edges] == [source.number]


def test_adaptive_over_adaptive():
    inner = AboveMean(Numbers(4), 12)
    outer = AboveMean(Plus(inner, 1), 6)
    (values,) = run_nodes(outer)
    assert [v for part in values for v in part] == [10, 11, 12]


def test_two_results_share_the_ask():
    above = AboveMean(Numbers(4), 12)
    first, second = run_nodes(above, Total(Zip(above, above)))
    assert [v for part in first for v in part] == [6, 7, 8, 9, 10, 11]
    assert second == [[2 * sum(range(6, 12))]]


class Careful(Source):
    """A source whose plan is wrong until it is told so."""

    wide: bool

    @property
    def grid(self):
        return (3,)

    def load(self):
        return _Careful(self.key, self.wide)

    @property
    def identity(self):
        return "careful"

    def notice(self, fact):
        return f"found {fact}"

    def replan(self, fact):
        if fact == "hopeless":
            raise ValueError("no plan fits")
        return Careful(True)


@dataclasses.dataclass(frozen=True)
class _Careful:
    key: str
    wide: bool

    def __call__(self, index):
        if index[0] == 2 and not self.wide:
            raise Replan(self.key, "wider")
        return [index[0] + (0.5 if self.wide else 0)]


def test_a_source_is_planned_again_and_its_readers_with_it():
    assert run_nodes(Total(Careful(False)), Plus(Careful(False), 1)) == [
        [[4.5]],
        [[1.5], [2.5], [3.5]],
    ]


def test_what_made_a_source_plan_again_is_told_and_remembered():
    learned = Learned()
    job = PlanJob((Careful(False),), {}, learned)
    run_job(job, 1)
    assert job.notices == ["found wider"]
    assert informed(Careful(False), learned) is Careful(True)


def test_replanning_takes_back_only_what_read_the_source():
    other = Total(Numbers(2))
    job = PlanJob((Total(Careful(False)), other), {}, Learned())
    grown = job.step(None)
    mine = {s.number for s in grown.stages if s.result == 1 or Numbers(2).key in s.keys}
    stage = next(s for s in grown.stages if Careful(False).key in s.keys)
    again = job.step(Failure(stage.number, 2, Replan(Careful(False).key, "wider")))
    assert again.sealed
    assert stage.number in again.retract
    assert not mine & set(again.retract)


def test_a_source_that_gives_up_ends_the_run_with_its_error():
    job = PlanJob((Careful(False),), {}, Learned())
    grown = job.step(None)
    reply = job.step(Failure(grown.stages[0].number, 0, Replan(Careful(False).key, "hopeless")))
    assert isinstance(reply, Done)
    with pytest.raises(ValueError, match="no plan fits"):
        raise reply.error


def test_sizes_are_learned_by_node_and_original_number():
    n = Numbers(4)
    learned = Learned()
    job = PlanJob((Plus(n, 1),), {}, learned)
    grown = job.step(None)
    job.measured({grown.stages[0].number: {2: (3, 24)}})
    assert learned.sizes == {Plus(n, 1).key: {2: (3, 24)}}


def test_serial_runner_gives_results_in_order():
    job = PlanJob((Total(Numbers(2)), Plus(Numbers(1), 1)), {}, Learned())
    assert run_job(job, 2) == [[[15]], [[1, 2, 3]]]


class Twice(Node):
    """Of no family."""

    values: Node

    @property
    def grid(self):
        return (1,)


def test_a_node_of_no_family_is_a_named_error():
    reply = PlanJob((Twice(Numbers(1)),), {}, Learned()).step(None)
    assert isinstance(reply, Done)
    assert "no family" in str(reply.error)
