from __future__ import annotations

import itertools

import numpy as np
import pytest

from nbscale.graph.axismap import All, At, Each, Group, Listed, Window
from nbscale.scheduler import giving, policy
from nbscale.scheduler.machine import Machine
from nbscale.scheduler.protocol import (
    NO_TASK,
    Cancel,
    CloseRun,
    Deliver,
    Drop,
    End,
    Fail,
    Frozen,
    Grown,
    Load,
    Loaded,
    OpenRun,
    Run,
    SetLimit,
    SetQueue,
    Spilled,
    Stopped,
    TaskDone,
    TaskFailed,
    TaskId,
    Thawed,
    WorkerJoined,
    WorkerLeft,
)
from tests.scheduler.stages import (
    Talk,
    delivered,
    drops,
    edge,
    ends,
    loads,
    reports,
    runs,
    spills,
    stage,
    stops,
    tasks,
)

DONE = [("done", "")]


def chain(n, *, length=2, **facts):
    """Stages that each read the one before at the same place; the last is the result."""
    stages = [stage(0, n, **facts)]
    stages += [stage(k, n, edge(k - 1, Each(n)), **facts) for k in range(1, length)]
    return [*stages[:-1], stage(length - 1, n, *stages[-1].edges, result=0, **facts)]


def evict(talk, number, *tasks):
    """Make values leave memory, as the machine does when memory is short."""
    run = talk.machine.runs[1]
    talk.machine._actions = []
    for task in tasks or (0,):
        assert talk.machine._evict(run, run.stages[number], task)


# Plain runs --------------------------------------------------------------------------------


def test_one_task_after_the_other_depth_first():
    talk = Talk()
    said = talk.begin(*chain(3)) + talk.finish()
    assert runs(said) == [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)]
    assert delivered(said) == [(1, 0), (1, 1), (1, 2)]
    assert ends(said) == DONE


def test_a_value_is_dropped_when_its_last_reader_is_done():
    talk = Talk()
    talk.begin(stage(0, 3), stage(1, 3, edge(0, Window(3, 3, 0, 2)), result=0))
    talk.done(0, (0, 0))
    talk.done(0, (0, 1))
    assert drops(talk.done(0, (1, 0))) == [(0, 0), (1, 0)]
    talk.done(0, (0, 2))
    assert drops(talk.done(0, (1, 1))) == [(0, 1), (1, 1)]
    assert drops(talk.done(0, (1, 2))) == [(0, 2), (1, 2)]


def test_a_result_that_others_read_is_delivered_at_once_and_dropped_later():
    talk = Talk()
    talk.begin(stage(0, 1, result=0), stage(1, 1, edge(0, Each(1)), result=1))
    said = talk.done(0, (0, 0))
    assert delivered(said) == [(0, 0)]
    assert drops(said) == []
    assert drops(talk.done(0, (1, 0))) == [(0, 0), (1, 0)]


def test_everything_waits_for_all():
    talk = Talk(workers=2)
    talk.begin(stage(0, 3), stage(1, 2, edge(0, All(2, 3)), result=0))
    assert runs(talk.done(0, (0, 0))) == [(0, 2)]
    assert runs(talk.done(1, (0, 1))) == []
    assert runs(talk.done(0, (0, 2))) == [(1, 0), (1, 1)]
    assert len(tasks(Drop, talk.finish())) == 5


def test_one_value_for_all_opens_its_readers_by_itself():
    talk = Talk()
    talk.begin(stage(0, 3), stage(1, 4, edge(0, At(4, 3, 1)), result=0))
    # The others are read by nobody: they are not run.
    assert talk.running() == {0: [(0, 1)]}
    assert runs(talk.done(0, (0, 1))) == [(1, 0)]
    assert ends(talk.finish()) == DONE


def test_what_nobody_wants_is_not_run():
    talk = Talk()
    said = talk.begin(
        stage(0, 2), stage(1, 2, edge(0, Each(2))), stage(2, 2), stage(3, 1, edge(2, At(1, 2, 0)))
    )
    assert runs(said) == []
    assert ends(said) == DONE


def test_a_run_without_results_is_over_at_once():
    assert ends(Talk().begin()) == DONE
    assert ends(Talk().begin(stage(0, 0, result=0))) == DONE


def test_calls_that_read_one_another():
    talk = Talk()
    diamond = Listed(4, [0, 0, 1, 2, 4], [0, 0, 1, 2])
    said = talk.begin(stage(0, 4, edge(0, diamond), result=0)) + talk.finish()
    assert runs(said) == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert delivered(said) == runs(said)
    assert ends(said) == DONE


def test_grids_of_two_axes():
    talk = Talk(workers=2)
    said = talk.begin(
        stage(0, (2, 3)),
        stage(1, (3, 2), edge(0, Each(2), Each(3), axes=(1, 0))),
        stage(2, (3, 1), edge(1, Each(3), Group(2, 2)), result=0),
    )
    said += talk.finish()
    assert sorted(delivered(said)) == [(2, 0), (2, 1), (2, 2)]
    assert runs(said).index((1, 1)) > runs(said).index((0, 3))


def test_more_tasks_at_once_are_spread_over_the_workers():
    talk = Talk(workers=2, queue=2)
    talk.begin(stage(0, 14, result=0))
    assert talk.running() == {0: [(0, 0), (0, 2)], 1: [(0, 1), (0, 3)]}
    talk.tell(SetQueue(1))
    assert runs(talk.done(0, (0, 0))) == []
    talk.tell(SetQueue(4))
    assert talk.running() == {0: [(0, 2)], 1: [(0, 1), (0, 3)]}
    # More only for those that get on: the other one may be at a long task.
    assert runs(talk.done(0, (0, 2))) == [(0, 4), (0, 5), (0, 6), (0, 7)]
    assert runs(talk.done(1, (0, 1))) == [(0, 8), (0, 9), (0, 10)]
    assert ends(talk.finish()) == DONE


def test_runs_take_turns():
    talk = Talk()
    talk.begin(stage(0, 3, result=0), run=1)
    talk.begin(stage(0, 3, result=0), run=2)
    order = []
    while talk.machine.runs:
        (task,) = talk.machine.workers[0].queue
        order.append(task.run)
        talk.tell(TaskDone(0, task, 1))
    assert order == [1, 1, 2, 1, 2, 2]


def test_no_worker_no_run_and_later_there_is_one():
    talk = Talk(workers=0)
    assert talk.begin(stage(0, 1, result=0)) == []
    assert runs(talk.tell(WorkerJoined(7))) == [(0, 0)]


def test_the_same_signals_give_the_same_actions():
    def talk():
        one = Talk(workers=3, queue=2)
        return one.begin(*chain(20, length=3)) + one.finish()

    assert talk() == talk()


def test_a_clone_goes_its_own_way():
    talk = Talk()
    talk.begin(*chain(2))
    other = talk.machine.clone()
    said = other.handle(TaskDone(0, TaskId(1, 0, 0), 5))
    assert runs(said) == [(1, 0)]
    assert talk.machine.ledger.held == 0
    assert talk.running() == {0: [(0, 0)]}
    assert talk.done(0, (0, 0), 5) == said


# Growth ------------------------------------------------------------------------------------


def test_a_watch_is_reported_once_and_the_values_stay():
    talk = Talk()
    talk.begin(stage(0, 3, keep=True), sealed=False, watches=((0, 2),))
    assert reports(talk.done(0, (0, 0))) == []
    said = talk.done(0, (0, 1))
    assert reports(said) == [(0, None)]
    assert drops(said) == []
    assert reports(talk.done(0, (0, 2))) == []
    said = talk.grow(stage(1, 3, edge(0, Each(3)), result=0), release=(0,))
    assert runs(said) == [(1, 0)]
    assert ends(talk.finish()) == DONE


def test_a_watch_on_values_that_are_there_is_reported_at_once():
    talk = Talk()
    talk.begin(stage(0, 2, keep=True), sealed=False, watches=((0, 1),))
    talk.done(0, (0, 0))
    talk.done(0, (0, 1))
    assert reports(talk.grow(sealed=False, watches=((0, 9),))) == [(0, None)]


def test_what_is_released_and_not_read_is_dropped_and_not_run():
    talk = Talk()
    talk.begin(stage(0, 3, keep=True), sealed=False, watches=((0, 1),))
    talk.done(0, (0, 0))
    said = talk.grow(stage(1, 1, edge(0, At(1, 3, 1)), result=0), release=(0,))
    assert drops(said) == [(0, 0)]
    said = talk.finish()
    assert (0, 2) not in runs(said)
    assert ends(said) == DONE


def test_reports_wait_for_the_answer_to_the_one_before():
    talk = Talk(workers=2)
    talk.begin(
        stage(0, 1, keep=True), stage(1, 1, keep=True), sealed=False, watches=((0, 1), (1, 1))
    )
    assert reports(talk.end((0, 0))) == [(0, None)]
    assert reports(talk.end((1, 0))) == []
    assert reports(talk.grow(sealed=False)) == [(1, None)]
    assert ends(talk.grow()) == DONE


def test_kept_values_are_dropped_before_the_end():
    talk = Talk()
    talk.begin(stage(0, 1, keep=True), stage(1, 1, edge(0, Each(1)), result=0))
    talk.done(0, (0, 0))
    said = talk.done(0, (1, 0))
    assert [type(a) for a in said] == [Deliver, Drop, Drop, End]


def test_what_was_used_up_is_made_again_for_a_later_step():
    talk = Talk()
    talk.begin(
        *chain(2)[:1], stage(1, 2, edge(0, Each(2)), keep=True), sealed=False, watches=((1, 2),)
    )
    said = talk.finish()
    assert drops(said) == [(0, 0), (0, 1)]
    said = talk.grow(stage(2, 2, edge(0, Each(2)), result=0)) + talk.finish()
    assert sorted(runs(said)) == [(0, 0), (0, 1), (2, 0), (2, 1)]
    assert ends(said) == DONE


def test_stages_read_what_is_partly_there():
    talk = Talk()
    talk.begin(stage(0, 4, keep=True), sealed=False, watches=((0, 2),))
    talk.done(0, (0, 0))
    talk.done(0, (0, 1))
    said = talk.grow(
        stage(1, 2, edge(0, Group(4, 2)), result=0), stage(2, 1, edge(0, All(1, 4)), result=1)
    )
    assert runs(said) == []  # the worker is at (0, 2), which was ready before
    said = talk.finish()
    assert runs(said) == [(0, 3), (2, 0), (1, 0), (1, 1)]
    assert ends(said) == DONE


@pytest.mark.parametrize(
    ("grown", "says"),
    [
        (Grown(1, (stage(3, 1),)), "is number 3, not 2"),
        (Grown(1, (stage(2, 1, edge(3, Each(1))),)), "reads stage 3, which is not there"),
        (Grown(1, watches=((0, 1),)), "watched but not kept"),
        (Grown(1, retract=(2,)), "stage 2 is retracted, but there are only 2"),
        (Grown(1, retract=(0,)), "stage 1 that reads it is not"),
    ],
)
def test_answers_that_make_no_sense(grown, says):
    talk = Talk()
    talk.begin(stage(0, 2), stage(1, 2, edge(0, Each(2))), sealed=False)
    with pytest.raises(ValueError, match=says):
        talk.machine.handle(grown)


def test_signals_that_make_no_sense():
    talk = Talk()
    talk.tell(OpenRun(1))
    with pytest.raises(ValueError, match="open already"):
        talk.machine.handle(OpenRun(1))
    with pytest.raises(ValueError, match="here already"):
        talk.machine.handle(WorkerJoined(0))


def test_news_of_what_is_over_is_ignored():
    talk = Talk()
    over = TaskId(9, 0, 0)
    ignored = [
        Grown(9),
        Cancel(9),
        Fail(9),
        CloseRun(9),
        Stopped(0, over),
        TaskFailed(5, over),
        Spilled(over),
        Loaded(over),
        Frozen(9),
        Thawed(9),
        Thawed(0),
        WorkerLeft(9),
    ]
    assert talk.tell(*ignored) == []
    assert talk.tell(TaskDone(9, over, 1)) == [Drop(over)]  # but a value must not stay


# Replan and retraction ---------------------------------------------------------------------


def test_replan_asks_the_job_and_the_new_stages_take_the_place():
    talk = Talk(workers=2)
    talk.begin(stage(0, 2), stage(1, 2, edge(0, Each(2))), stage(2, 2, edge(1, Each(2)), result=0))
    talk.done(0, (0, 0))
    failed = TaskId(1, 1, 0)
    assert reports(talk.tell(TaskFailed(0, failed, replan=True))) == [(1, failed)]
    assert (1, 0) not in [t for ts in talk.running().values() for t in ts]
    said = talk.grow(
        stage(3, 2, edge(0, Each(2))), stage(4, 2, edge(3, Each(2)), result=0), retract=(1, 2)
    )
    assert runs(said) == [(3, 0)]
    said = talk.finish()
    assert delivered(said) == [(4, 0), (4, 1)]
    assert ends(said) == DONE


def test_retraction_stops_what_runs_drops_what_is_there_and_ignores_what_comes_late():
    talk = Talk(workers=3)
    talk.begin(stage(0, 4, result=0))
    assert delivered(talk.done(0, (0, 0))) == [(0, 0)]
    talk.tell(TaskFailed(1, TaskId(1, 0, 1), replan=True))
    said = talk.grow(stage(1, 4, result=0), retract=(0,))
    assert sorted(stops(said)) == [(0, 2), (0, 3)]
    assert runs(said) == [(1, 0)]
    assert drops(talk.done(2, (0, 2))) == [(0, 2)]
    assert drops(talk.tell(Stopped(0, TaskId(1, 0, 3)))) == []
    said = talk.finish()
    assert ends(said) == DONE
    assert len(talk.machine.workers) == 3


def test_retracted_values_in_memory_are_dropped():
    talk = Talk()
    talk.begin(stage(0, 1), stage(1, 1, edge(0, Each(1)), result=0))
    talk.done(0, (0, 0))
    talk.tell(TaskFailed(0, TaskId(1, 1, 0), replan=True))
    said = talk.grow(stage(2, 1), stage(3, 1, edge(2, Each(1)), result=0), retract=(0, 1))
    assert drops(said) == [(0, 0)]
    assert ends(talk.finish()) == DONE


def test_a_second_failure_of_a_retracted_stage_is_not_reported():
    talk = Talk(workers=2)
    talk.begin(stage(0, 2, result=0))
    talk.tell(TaskFailed(0, TaskId(1, 0, 0), replan=True))
    assert reports(talk.tell(TaskFailed(1, TaskId(1, 0, 1), replan=True))) == []
    said = talk.grow(stage(1, 2, result=0), retract=(0,))
    assert reports(said) == []
    assert ends(talk.finish()) == DONE


def test_a_second_failure_elsewhere_is_reported_after_the_answer():
    talk = Talk(workers=2)
    talk.begin(stage(0, 1, result=0), stage(1, 1, result=1))
    talk.fails((0, 0), replan=True)
    talk.fails((1, 0), replan=True)
    said = talk.grow(stage(2, 1, result=0), retract=(0,))
    assert reports(said) == [(1, TaskId(1, 1, 0))]


def test_a_job_that_takes_nothing_back_wants_it_tried_again():
    talk = Talk()
    talk.begin(stage(0, 1, result=0))
    talk.tell(TaskFailed(0, TaskId(1, 0, 0), replan=True))
    assert talk.running() == {}
    assert runs(talk.grow()) == [(0, 0)]


def test_replan_and_fail():
    talk = Talk()
    talk.begin(stage(0, 2, result=0))
    failed = TaskId(1, 0, 0)
    talk.tell(TaskFailed(0, failed, replan=True))
    said = talk.tell(Fail(1))
    assert stops(said) == [(0, 1)]
    assert talk.tell(Stopped(0, TaskId(1, 0, 1))) == [End(1, "failed", "", failed)]


def test_a_job_that_gives_up_at_a_watch():
    talk = Talk()
    talk.begin(stage(0, 1, keep=True), sealed=False, watches=((0, 1),))
    talk.done(0, (0, 0))
    assert talk.tell(Fail(1)) == [Drop(TaskId(1, 0, 0)), End(1, "failed")]


def test_no_report_of_a_stage_that_was_taken_back_meanwhile():
    talk = Talk(workers=2)
    talk.begin(
        stage(0, 1, keep=True), stage(1, 1, keep=True), sealed=False, watches=((0, 1), (1, 1))
    )
    talk.end((0, 0))
    talk.end((1, 0))
    said = talk.grow(stage(2, 1, result=0), retract=(1,))
    assert reports(said) == []
    assert drops(said) == [(1, 0)]


def test_a_sealed_run_is_not_over_before_what_is_watched_was_reported():
    talk = Talk(workers=2)
    talk.begin(stage(0, 1, keep=True), stage(1, 1, result=0), watches=((0, 1),))
    assert ends(talk.end((1, 0))) == []
    assert reports(talk.end((0, 0))) == [(0, None)]
    assert ends(talk.grow()) == DONE


def test_values_on_disk_are_loaded_to_be_watched():
    talk = Talk(can_spill=True)
    talk.begin(stage(0, 3, keep=True), sealed=False)
    talk.finish()
    evict(talk, 0, 0, 1, 2)
    talk.tell(Spilled(TaskId(1, 0, 0)), Spilled(TaskId(1, 0, 1)))
    assert loads(talk.grow(sealed=False, watches=((0, 3),))) == [(0, 0), (0, 1)]
    talk.tell(Loaded(TaskId(1, 0, 0)), Spilled(TaskId(1, 0, 2), ok=False))
    assert reports(talk.tell(Loaded(TaskId(1, 0, 1)))) == [(0, None)]


def test_values_that_were_being_written_are_loaded_to_be_watched():
    talk = Talk(can_spill=True)
    talk.begin(stage(0, 1, keep=True), sealed=False)
    talk.finish()
    evict(talk, 0, 0)
    assert loads(talk.grow(sealed=False, watches=((0, 1),))) == []
    assert loads(talk.tell(Spilled(TaskId(1, 0, 0)))) == [(0, 0)]
    # And what cannot be read is made again.
    assert runs(talk.tell(Loaded(TaskId(1, 0, 0), ok=False))) == [(0, 0)]
    assert reports(talk.done(0, (0, 0))) == [(0, None)]


def test_lost_values_are_made_again_to_be_watched():
    talk = Talk()
    talk.begin(stage(0, 1, keep=True), sealed=False)
    talk.finish()
    evict(talk, 0, 0)
    assert runs(talk.grow(sealed=False, watches=((0, 1),))) == [(0, 0)]
    assert reports(talk.done(0, (0, 0))) == [(0, None)]


def test_a_task_that_waits_for_the_job_hears_of_its_inputs():
    talk = Talk(workers=2)
    talk.begin(
        stage(0, 1),
        stage(1, 1, edge(0, Each(1)), result=0),
        stage(2, 1, edge(0, Each(1)), result=1),
    )
    talk.end((0, 0))
    talk.fails((1, 0), replan=True)
    talk.tell(Frozen(next(iter(talk.running()))))  # so that (2, 0) is to be given out again
    (other,) = talk.running()
    evict(talk, 0)
    talk.tell(WorkerLeft(other))
    assert runs(talk.tell(WorkerJoined(7))) == [(0, 0)]
    assert talk.machine.runs[1].stages[1].pending[0] == 1
    talk.end((0, 0))
    talk.end((2, 0))
    assert runs(talk.grow()) == [(1, 0)]
    assert ends(talk.end((1, 0))) == DONE


# Failures and ends -------------------------------------------------------------------------


def test_a_failed_task_ends_the_run_when_the_others_have_stopped():
    talk = Talk(workers=2)
    talk.begin(*chain(3))
    talk.done(0, (0, 0))
    said = talk.tell(TaskFailed(1, TaskId(1, 0, 1)))
    assert stops(said) == [(1, 0)]
    assert ends(said) == []
    said = talk.tell(Stopped(0, TaskId(1, 1, 0)))
    assert said == [Drop(TaskId(1, 0, 0)), End(1, "failed", "", TaskId(1, 0, 1))]
    assert talk.machine.ledger.held == talk.machine.ledger.promised == 0


def test_cancel_waits_for_what_runs():
    talk = Talk(workers=2)
    talk.begin(stage(0, 3, result=0))
    assert len(stops(talk.tell(Cancel(1)))) == 2
    assert talk.tell(Cancel(1)) == []
    assert drops(talk.done(0, (0, 0))) == [(0, 0)]
    assert ends(talk.tell(WorkerLeft(1))) == [("cancelled", "")]


def test_close_cancels_what_has_not_ended():
    talk = Talk()
    talk.tell(OpenRun(1))
    assert ends(talk.tell(CloseRun(1))) == [("cancelled", "")]
    assert talk.tell(CloseRun(1)) == []


def test_one_run_ends_and_the_other_goes_on():
    talk = Talk()
    talk.begin(stage(0, 1, result=0), run=1)
    talk.begin(stage(0, 1, result=0), run=2)
    talk.tell(Cancel(1))
    said = talk.tell(Stopped(0, TaskId(1, 0, 0)))
    assert ends(said) == [("cancelled", "")]
    assert [a for a in said if type(a) is Run] == [Run(0, TaskId(2, 0, 0))]


def test_what_nobody_needs_any_more_is_stopped_at_the_end():
    talk = Talk(workers=2)
    talk.begin(stage(0, 2, keep=True), sealed=False, watches=((0, 1),))
    talk.done(0, (0, 0))
    said = talk.grow(stage(1, 1, result=0), release=(0,))
    said = talk.done(0, (1, 0))
    assert delivered(said) == [(1, 0)]
    assert stops(said) == [(0, 1)]
    assert ends(talk.tell(Stopped(1, TaskId(1, 0, 1)))) == DONE


# Workers -----------------------------------------------------------------------------------


def test_a_task_whose_worker_dies_runs_again():
    talk = Talk(workers=2)
    talk.begin(stage(0, 2, result=0))
    talk.tell(WorkerLeft(0))
    assert runs(talk.done(1, (0, 1))) == [(0, 0)]
    assert ends(talk.finish()) == DONE


def test_a_value_that_comes_after_its_worker_died_counts():
    talk = Talk(workers=1)
    talk.begin(stage(0, 1, result=0))
    talk.tell(WorkerLeft(0))
    said = talk.done(0, (0, 0))
    assert delivered(said) == [(0, 0)]
    assert ends(said) == DONE


def test_two_dead_workers_are_enough():
    talk = Talk(workers=3)
    talk.begin(stage(0, 1, result=0))
    talk.tell(WorkerLeft(0))
    said = talk.tell(WorkerLeft(1))
    (end,) = ends(said)
    assert end[0] == "failed"
    assert end[1].startswith("WorkerLost: 2 workers in turn")
    assert "'step 0', task 1 of 1" in end[1]


def test_only_the_task_that_ran_is_blamed():
    talk = Talk(workers=1, queue=3)
    talk.begin(stage(0, 3, result=0))
    for worker in (1, 2):
        talk.done(worker - 1, (0, worker - 1))  # the first ends well, the second was running
        talk.tell(WorkerLeft(worker - 1), WorkerJoined(worker))
    assert talk.machine.runs[1].lives == {(0, 1): 1, (0, 2): 1}


@pytest.mark.parametrize(
    ("at", "blamed"),
    [(TaskId(1, 0, 1), {(0, 1): 1}), (NO_TASK, {}), (TaskId(1, 0, 7), {}), (None, {(0, 0): 1})],
)
def test_who_is_known_to_have_run_is_blamed(at, blamed):
    talk = Talk(workers=1, queue=3)
    talk.begin(stage(0, 3, result=0))
    talk.tell(WorkerLeft(0, at), WorkerJoined(1))
    assert talk.machine.runs[1].lives == blamed
    assert ends(talk.finish()) == DONE


def test_what_a_worker_did_not_run_is_not_blamed_for_what_it_was_told_to_stop():
    talk = Talk(workers=1, queue=3)
    talk.begin(stage(0, 1, result=0))
    told = TaskId(1, 0, 0)
    talk.tell(Cancel(1))
    talk.begin(stage(0, 2, result=0), run=2)
    said = talk.tell(WorkerLeft(0, told))
    assert [end[0] for end in ends(said)] == ["cancelled"]
    assert talk.machine.runs[2].lives == {}


def test_a_frozen_worker_loses_its_task_and_its_late_value_is_dropped():
    talk = Talk(workers=2)
    talk.begin(stage(0, 2, result=0))
    talk.tell(Frozen(0))
    assert runs(talk.done(1, (0, 1))) == [(0, 0)]
    said = talk.tell(Thawed(0))
    assert stops(said) == [(0, 0)]
    assert drops(talk.done(0, (0, 0))) == [(0, 0)]
    said = talk.done(1, (0, 0))
    assert delivered(said) == [(0, 0)]
    assert ends(said) == DONE


def test_a_late_value_is_not_dropped_if_it_stands_for_the_same():
    talk = Talk(workers=2)
    talk.begin(stage(0, 1, keep=True), stage(1, 1, edge(0, Each(1)), result=0))
    talk.tell(Frozen(0))
    assert talk.running() == {1: [(0, 0)]}
    talk.done(1, (0, 0))
    assert drops(talk.done(0, (0, 0))) == []


def test_a_thawed_worker_goes_on_with_what_nobody_took():
    talk = Talk(workers=1)
    talk.begin(stage(0, 2, result=0))
    assert talk.tell(Frozen(0), Frozen(0)) == []
    assert talk.running() == {}
    assert talk.tell(Thawed(0)) == []
    assert talk.running() == {0: [(0, 0)]}
    assert ends(talk.finish()) == DONE


def test_news_from_a_worker_thought_frozen_counts_if_nobody_took_its_task():
    talk = Talk(workers=1)
    talk.begin(stage(0, 1, result=0))
    talk.tell(Frozen(0))
    said = talk.done(0, (0, 0))
    assert delivered(said) == [(0, 0)]
    assert ends(said) == DONE
    assert runs(talk.begin(stage(0, 1, result=0), run=2)) == []
    assert runs(talk.tell(Thawed(0))) == [(0, 0)]


def test_a_run_does_not_wait_for_a_frozen_worker():
    talk = Talk(workers=2)
    talk.begin(stage(0, 2, result=0))
    talk.tell(Frozen(0))
    said = talk.tell(Cancel(1))
    assert stops(said) == [(0, 1)]
    assert ends(talk.tell(Stopped(1, TaskId(1, 0, 1)))) == [("cancelled", "")]
    assert stops(talk.tell(Thawed(0))) == [(0, 0)]
    assert talk.tell(Stopped(0, TaskId(1, 0, 0))) == []
    assert talk.machine.ledger.promised == 0


def test_a_frozen_worker_that_is_killed_costs_a_life():
    talk = Talk(workers=3)
    talk.begin(stage(0, 1, result=0))
    for worker in (0, 1):
        talk.tell(Frozen(worker))
    talk.tell(WorkerLeft(0))
    assert stops(talk.tell(WorkerLeft(1))) == [(0, 0)]
    (end,) = ends(talk.tell(Stopped(2, TaskId(1, 0, 0))))
    assert end[1].startswith("WorkerLost")


def told_to_stop_what_is_to_be_given_out_again():
    """Worker 0 was told to stop a task, and worker 1 that took it meanwhile is lost for it, too."""
    talk = Talk(workers=2, queue=2)
    talk.begin(stage(0, 1, result=0))
    talk.tell(Frozen(0))
    assert talk.running() == {1: [(0, 0)]}
    assert stops(talk.tell(Thawed(0))) == [(0, 0)]
    # It could take two tasks, but must not get the one it is about to stop a second time.
    assert talk.tell(Frozen(1)) == []
    return talk


def test_a_worker_gets_a_task_again_when_it_has_stopped_it():
    talk = told_to_stop_what_is_to_be_given_out_again()
    assert runs(talk.tell(Stopped(0, TaskId(1, 0, 0)))) == [(0, 0)]
    talk.tell(Frozen(0), Thawed(0))
    assert ends(talk.done(0, (0, 0))) == DONE
    talk.tell(WorkerLeft(1))
    assert talk.machine.ledger.promised == 0


def test_a_worker_that_did_not_stop_in_time_has_done_the_task():
    talk = told_to_stop_what_is_to_be_given_out_again()
    said = talk.done(0, (0, 0))
    assert delivered(said) == [(0, 0)]
    assert ends(said) == DONE


def test_a_worker_that_freezes_before_it_has_stopped_goes_on_when_it_thaws():
    talk = told_to_stop_what_is_to_be_given_out_again()
    talk.tell(Frozen(0))
    (said,) = talk.machine.workers[0].told
    assert said == (1, 0, 0)
    talk.tell(Thawed(0), Thawed(1))
    assert talk.running() == {1: [(0, 0)]}
    assert ends(talk.done(1, (0, 0))) == []  # worker 0 still owes its answer
    assert ends(talk.tell(Stopped(0, TaskId(1, 0, 0)))) == DONE


def test_a_worker_that_is_to_stop_one_task_gets_no_other_before_it_answers():
    talk = Talk(workers=1, queue=2)
    talk.begin(stage(0, 2, result=0))
    talk.begin(stage(0, 1, result=0), run=2)
    assert stops(talk.tell(Cancel(1))) == [(0, 0), (0, 1)]
    assert runs(talk.tell(Stopped(0, TaskId(1, 0, 1)))) == []
    assert runs(talk.tell(Stopped(0, TaskId(1, 0, 0)))) == [(0, 0)]
    assert talk.running() == {0: [(0, 0)]}


def test_a_task_that_was_given_up_unasked_runs_again():
    talk = Talk(workers=1)
    talk.begin(stage(0, 1, result=0))
    assert runs(talk.tell(Stopped(0, TaskId(1, 0, 0)))) == [(0, 0)]


# Memory ------------------------------------------------------------------------------------


def test_memory_is_promised_before_a_task_starts():
    talk = Talk(workers=4, limit=100)
    talk.begin(stage(0, 9, nbytes=10.0, result=0))
    assert talk.machine.ledger.promised == 80
    assert talk.machine.ledger.room == 20
    talk.tell(SetLimit(59))
    assert runs(talk.done(0, (0, 0), 10)) == []  # 60 are promised still
    assert runs(talk.done(1, (0, 1), 10)) == []
    assert len(runs(talk.done(2, (0, 2), 10))) == 1
    assert ends(talk.finish(10)) == DONE


def test_an_unknown_kernel_starts_one_by_one_near_the_limit():
    talk = Talk(workers=4, limit=7_000_000)
    talk.begin(stage(0, 20, result=0))
    assert len(talk.running()) == 1
    talk.done(0, (0, 0), 500_000)
    assert len(talk.running()) == 3  # until half of the limit is promised it is far away


def test_with_nothing_running_the_first_runs_even_if_it_does_not_fit():
    talk = Talk(workers=2, limit=100)
    talk.begin(stage(0, 2, nbytes=90.0, result=0))
    assert talk.running() == {0: [(0, 0)]}
    assert ends(talk.finish(90)) == DONE


def test_what_cannot_fit_fails_before_it_starts():
    talk = Talk(workers=2, limit=100)
    talk.begin(stage(0, 2, user_code=True), stage(1, 1, edge(0, All(1, 2)), result=0))
    (end,) = ends(talk.finish(60))
    assert end[0] == "failed"
    assert end[1].startswith("TaskMemoryError: 'step 1', task 1 of 1, reads 120 B at once, but")
    assert "100 B" in end[1]


def test_the_head_is_overtaken_by_what_frees_memory():
    talk = Talk(workers=2, limit=100)
    # A large source, held up by the first of it, and small work that reads what is there.
    talk.begin(
        stage(0, 2, nbytes=40.0, user_code=True),
        stage(1, 2, edge(0, Each(2)), nbytes=1.0, user_code=True, result=0),
    )
    assert talk.running() == {0: [(0, 0)]}
    said = talk.done(0, (0, 0), 40)
    assert runs(said) == [(1, 0)]
    assert ends(talk.finish(lambda t: 40 if t.stage == 0 else 1)) == DONE


def test_the_head_is_overtaken_eight_times_and_no_more():
    talk = Talk(workers=2, limit=1000, can_recompute=False)
    # The head wants 800 beside what runs; behind it stand many small ones.
    talk.begin(
        stage(0, 1, nbytes=150.0, result=0),
        stage(1, 1, nbytes=450.0),
        stage(2, 1, nbytes=450.0),
        stage(3, 1, edge(1, Each(1)), edge(2, Each(1)), nbytes=1.0, result=1),
        run=1,
    )
    talk.begin(stage(0, 30, nbytes=1.0, result=0), run=2)
    small = 0
    blocked = talk.machine.blocked
    assert blocked is not None
    while talk.machine.blocked == blocked:
        given = [(w.number, t) for w in talk.machine.workers.values() for t in w.queue]
        here = [(w, t) for w, t in given if t.run == 2]
        if not here:
            break
        small += 1
        talk.tell(TaskDone(here[0][0], here[0][1], 1))
    assert talk.machine.overtaken == small == 8
    assert len([e for e in ends(talk.finish(1)) if e[0] == "done"]) == 2


def mean_stages(n, **facts):
    """x - x.mean(): every part is needed twice, the second time when all were read."""
    return [
        stage(0, n, **facts),
        stage(1, n, edge(0, Each(n)), nbytes=1.0),
        stage(2, 1, edge(1, All(1, n)), nbytes=1.0),
        stage(3, n, edge(0, Each(n)), edge(2, At(n, 1, 0)), nbytes=100.0, result=0),
    ]


def sizes(task):
    return 100 if task.stage in (0, 3) else 1


def test_values_needed_last_are_dropped_and_made_again():
    talk = Talk(limit=600)
    said = talk.begin(*mean_stages(8, nbytes=100.0)) + talk.finish(sizes)
    assert ends(said) == DONE
    made = [t for t in runs(said) if t[0] == 0]
    assert 8 < len(made) <= 16
    assert delivered(said) == [(3, t) for t in range(8)]
    assert [t for t in runs(said) if t[0] == 1] == [(1, t) for t in range(8)]


def looks_at_victims(monkeypatch, many):
    looks = []
    victims = policy.victims

    def looking(*args, **options):
        looks.append(args)
        return victims(*args, **options)

    monkeypatch.setattr(giving, "_MANY", many)
    monkeypatch.setattr(policy, "victims", looking)
    talk = Talk(workers=2, limit=5_000)
    said = talk.begin(*mean_stages(100, nbytes=100.0)) + talk.finish(sizes)
    assert ends(said) == DONE
    monkeypatch.undo()
    return len(looks)


def test_many_values_are_looked_at_now_and_then(monkeypatch):
    assert looks_at_victims(monkeypatch, 16) < looks_at_victims(monkeypatch, 10**6)


def test_values_of_users_code_are_never_made_again():
    talk = Talk(limit=600)
    said = talk.begin(*mean_stages(8, nbytes=100.0, user_code=True)) + talk.finish(sizes)
    assert ends(said) == DONE
    assert len([t for t in runs(said) if t[0] == 0]) == 8


def test_values_needed_last_are_spilled_and_loaded():
    talk = Talk(limit=600, can_spill=True)
    said = talk.begin(*mean_stages(8, nbytes=100.0)) + talk.finish(sizes)
    assert ends(said) == DONE
    assert len([t for t in runs(said) if t[0] == 0]) == 8
    assert spills(said)
    assert sorted(spills(said)) == sorted(loads(said))


def kept_and_large(**facts):
    """Two kept values of 100 bytes, and a task that wants 300 more for one of its own."""
    return stage(0, 2, keep=True, nbytes=100.0), stage(1, 1, nbytes=100.0, result=0, **facts)


def test_what_leaves_is_awaited_before_the_first_task_starts():
    talk = Talk(limit=350, can_spill=True)
    kept, large = kept_and_large()
    talk.begin(kept, sealed=False)
    talk.finish(100)
    said = talk.grow(large)
    assert runs(said) == []
    assert spills(said) == [(0, 1)]
    assert runs(talk.tell(Spilled(TaskId(1, 0, 1)))) == [(1, 0)]
    assert talk.machine.ledger.room == 350 - 100 - 200


def test_what_cannot_be_written_is_dropped_if_it_can_be_made_again():
    talk = Talk(limit=350, can_spill=True)
    kept, large = kept_and_large()
    talk.begin(kept, sealed=False)
    talk.finish(100)
    talk.grow(large)
    said = talk.tell(Spilled(TaskId(1, 0, 1), ok=False))
    # What cannot be written is dropped, for it can be made again.
    assert drops(said) == [(0, 1)]
    assert runs(said) == [(1, 0)]


def test_with_nothing_to_leave_the_first_task_starts_all_the_same():
    talk = Talk(limit=350, can_spill=True)
    talk.begin(stage(0, 2, keep=True, nbytes=100.0, user_code=True), sealed=False)
    talk.finish(100)
    _, large = kept_and_large()
    talk.grow(large)
    assert spills(talk.tell(Spilled(TaskId(1, 0, 1), ok=False))) == [(0, 0)]
    assert runs(talk.tell(Spilled(TaskId(1, 0, 0), ok=False))) == [(1, 0)]
    assert ends(talk.finish(100)) == DONE


def test_inputs_are_loaded_only_if_there_is_room_for_them():
    talk = Talk(workers=2, limit=600, can_spill=True)
    talk.begin(stage(0, 2, keep=True, nbytes=100.0), sealed=False)
    talk.finish(100)
    evict(talk, 0, 0, 1)
    talk.tell(Spilled(TaskId(1, 0, 0)), Spilled(TaskId(1, 0, 1)))
    said = talk.grow(
        stage(1, 1, nbytes=100.0, result=0), stage(2, 1, edge(0, Group(2, 2)), nbytes=1.0, result=1)
    )
    # It reads 200 and makes 1, and 200 are to be loaded: 402, beside the 200 of the other.
    assert loads(said) == [(0, 0), (0, 1)]
    assert runs(said) == []
    talk = Talk(workers=2, limit=600, can_spill=True)
    talk.begin(stage(0, 2, keep=True, nbytes=100.0), sealed=False)
    talk.finish(100)
    evict(talk, 0, 0, 1)
    talk.tell(Spilled(TaskId(1, 0, 0)), Spilled(TaskId(1, 0, 1)))
    said = talk.grow(stage(1, 1, nbytes=100.0, result=0), sealed=False)
    assert runs(said) == [(1, 0)]
    said = talk.grow(stage(2, 1, edge(0, Group(2, 2)), nbytes=1.0, result=1))
    assert loads(said) == []
    assert loads(talk.end((1, 0), 100)) == [(0, 0), (0, 1)]
    assert runs(talk.tell(Loaded(TaskId(1, 0, 0)))) == []
    assert runs(talk.tell(Loaded(TaskId(1, 0, 1)))) == [(2, 0)]


def test_a_disk_that_is_full_and_one_that_forgets():
    talk = Talk(limit=600, can_spill=True)
    chances = itertools.cycle([True, False, True])
    said = talk.begin(*mean_stages(8, nbytes=100.0, user_code=True))
    said += talk.finish(sizes, lambda _: next(chances))
    assert ends(said) == DONE
    # What could not be read was made again, users' code or not: there is no other way.
    again = len(runs(said)) - len(set(runs(said)))
    lost = [a for a in said if type(a) is Load]
    assert 0 < again < len(lost)


def test_a_million_readers_of_one_value_start_without_a_million_entries():
    n = 1_000_000
    machine = Machine(10**9)
    machine.handle(WorkerJoined(0))
    machine.handle(OpenRun(1))
    machine.handle(
        Grown(1, (stage(0, 1), stage(1, n, edge(0, At(n, 1, 0)), result=0)), sealed=True)
    )
    machine.handle(TaskDone(0, TaskId(1, 0, 0), 1))
    assert len(machine.runs[1].queue) == 1
    assert machine.runs[1].stages[1].state.count(1) == n - 1


def test_random_places_are_given_out_in_order():
    n = 100
    place = np.random.default_rng(3).permutation(n)
    talk = Talk()
    listed = Listed(n, np.arange(n + 1), place)
    said = talk.begin(stage(0, n), stage(1, n, edge(0, listed), result=0)) + talk.finish()
    assert [t for s, t in runs(said) if s == 0] == place.tolist()
    assert [t for s, t in runs(said) if s == 1] == list(range(n))
