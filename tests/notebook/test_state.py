"""What is known of a run follows from its events alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nbscale.events import (
    MemoryHeld,
    Place,
    RunEnded,
    RunStarted,
    StageAdded,
    StageWithdrawn,
    TaskEnded,
    TaskStarted,
)
from nbscale.notebook.state import reduce, reduce_all

PLACE = Place("<cell>", 2, 1)
BEGIN = RunStarted(7, 10.0, "mean", "threads", "in memory", PLACE)


def stage(number=0, tasks=4, name="sum"):
    return StageAdded(7, number, name, tasks, (), (PLACE,))


def ended(task, number=0, start=10.0, stop=11.0, nbytes=100, error=None):
    return TaskEnded(7, number, task, 0, start, stop, nbytes, error)


def test_a_run_is_known_from_its_beginning():
    state = reduce(None, BEGIN)
    assert (state.run, state.what, state.engine, state.place) == (7, "mean", "threads", PLACE)
    assert state.outcome == "running"
    assert state.over is None
    assert not state.stages


def test_news_of_a_run_whose_beginning_is_unknown_say_nothing():
    assert reduce_all(None, [stage(), ended(0), RunEnded(7, 12.0, "done")]) is None


def test_tasks_that_ended_count_with_their_bytes_and_seconds():
    state = reduce_all(None, [BEGIN, stage(), ended(0), ended(3, start=11.0, stop=13.0, nbytes=50)])
    assert state.stages[0].done == 2
    assert state.stages[0].nbytes == 150
    assert state.stages[0].seconds == 3.0
    assert state.latest == 13.0


def test_a_task_that_is_run_again_counts_once_and_its_time_twice():
    state = reduce_all(None, [BEGIN, stage(), ended(1), ended(1)])
    assert state.stages[0].done == 1
    assert state.stages[0].ended == 2
    assert state.stages[0].seconds == 2.0


def test_a_task_that_failed_is_not_done():
    state = reduce_all(None, [BEGIN, stage(), ended(1, error="ValueError")])
    assert state.stages[0].done == 0


def test_that_a_task_began_changes_nothing():
    state = reduce_all(None, [BEGIN, stage()])
    assert reduce(state, TaskStarted(7, 0, 0, 0, 10.0)) == state


def test_a_stage_that_was_withdrawn_is_gone_and_late_tasks_of_it_do_no_harm():
    state = reduce_all(None, [BEGIN, stage(), stage(1), ended(0), StageWithdrawn(7, 0), ended(1)])
    assert list(state.stages) == [1]


def test_memory_is_the_last_that_was_said():
    state = reduce_all(None, [BEGIN, MemoryHeld(7, 11.0, 5, 10), MemoryHeld(7, 12.0, 7, 10)])
    assert (state.held, state.budget) == (7, 10)


def test_the_end_is_kept():
    state = reduce_all(None, [BEGIN, RunEnded(7, 12.5, "failed", "ValueError: no")])
    assert (state.over, state.outcome, state.message) == (12.5, "failed", "ValueError: no")


def test_a_state_is_not_changed_by_what_follows_it():
    before = reduce_all(None, [BEGIN, stage(), ended(0)])
    reduce_all(before, [stage(1), ended(1), RunEnded(7, 12.0, "done")])
    assert list(before.stages) == [0]
    assert before.stages[0].done == 1
    assert before.over is None


EVENTS = st.one_of(
    st.builds(stage, st.integers(0, 2), st.integers(1, 20)),
    st.builds(ended, st.integers(0, 19), st.integers(0, 2), error=st.sampled_from([None, "E"])),
    st.builds(lambda number: StageWithdrawn(7, number), st.integers(0, 2)),
    st.builds(lambda held: MemoryHeld(7, 1.0, held, 10), st.integers(0, 10)),
)


@given(st.lists(EVENTS, max_size=30))
def test_all_at_once_is_the_same_as_one_by_one_for_stages_that_stay(events):
    # A stage that comes or goes in between is the exception: what ended before it may count.
    numbers = [e.stage for e in events if isinstance(e, StageAdded | StageWithdrawn)]
    events = [e for e in events if not isinstance(e, StageAdded | StageWithdrawn)]
    opening = [BEGIN, *(stage(number, 20) for number in sorted(set(numbers)))]
    one_by_one = None
    for event in [*opening, *events]:
        one_by_one = reduce(one_by_one, event)
    assert reduce_all(None, [*opening, *events]) == one_by_one


def test_a_long_stage_is_counted_rightly():
    n = 200_000
    state = reduce_all(None, [BEGIN, stage(tasks=n), *(ended(i) for i in range(0, n, 2))])
    assert state.stages[0].done == n // 2
