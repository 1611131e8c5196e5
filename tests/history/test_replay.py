"""What if: recorded runs through the real scheduler with other workers and other memory."""

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import nbscale as ns
import nbscale.array as na
from nbscale.graph.axismap import All, Each
from nbscale.graph.job import Grow, Watch
from nbscale.graph.stage import Edge, Program, Stage
from nbscale.history.account import account_of
from nbscale.history.recording import Operation, Recording
from nbscale.history.replay import critical_path, simulated, what_if
from nbscale.scheduler.simulate import Faults
from nbscale.testing.random_jobs import RandomJob
from tests.history.histories import recorded


def stage(number, n, *edges, **more):
    program = Program(len(edges), (), ())
    return Stage(number, f"s{number}", (range(n),), (n,), program, edges, **more)


def reads_all(producer, n, of):
    return Edge(producer, (0,), (All(n, of),), "list")


# Four tasks of two seconds each, two at a time, and one that reads them all.
TREE = [stage(0, 4), stage(1, 1, reads_all(0, 1, 4), result=0)]
ROWS = [(0, 0, 0, 1, 3), (0, 1, 1, 1, 3), (0, 2, 0, 3, 5), (0, 3, 1, 3, 5), (1, 0, 0, 5, 6)]


def tree(**more):
    return recorded(TREE, ROWS, ended=6.5, **more)


@pytest.mark.parametrize(("workers", "seconds"), [(1, 9), (2, 5), (3, 5), (4, 3), (9, 3)])
def test_other_workers(workers, seconds):
    # A second before the first task and half of one after the last stay what they were.
    assert what_if(tree(), workers).seconds == pytest.approx(seconds + 1.5)


def test_the_same_again():
    found = what_if(tree())
    assert found.seconds == pytest.approx(6.5)
    assert found.before == (2, 10**9, 6.5)
    assert (found.workers, found.limit) == (2, 10**9)
    assert found.peak == 5 * 8  # four values and what was made of them


def test_the_critical_path_is_named():
    found = what_if(tree(), 4)
    assert (found.path, found.on_path, found.longest) == (3.0, 2, ("s0", 2.0))
    assert found.reasons == (
        (
            "the critical path: 2 tasks that wait for one another take 3 s, the longest (s0) 2 s; "
            "more workers do not help"
        ),
    )
    assert str(found).splitlines()[0] == "4 workers, 1 GB: 4.5 s instead of 6.5 s (2 workers, 1 GB)"
    assert "more workers" in found._repr_html_()


def test_work_is_the_reason_where_all_are_busy():
    made = recorded([stage(0, 8, result=0)], [(0, i, i % 2, i // 2, i // 2 + 1) for i in range(8)])
    assert what_if(made).reasons == ("work: workers are busy 100% of the time",)


def test_too_few_tasks():
    rows = [(0, i, i, 0, 10 - 2 * i) for i in range(3)] + [(1, 0, 0, 10, 11)]
    made = recorded([stage(0, 3), stage(1, 1, reads_all(0, 1, 3), result=0)], rows, workers=3)
    made.task(True, 0, 2, 2, 0.0, 6.0, 8)
    assert what_if(made, 2).reasons[0].startswith("not enough tasks: workers have none for")


def test_memory():
    big = [dataclasses.replace(s, nbytes=1e8) for s in TREE]
    made = recorded(big, [], ended=6.5)
    for row in ROWS:
        made.task(True, *row, 10**8)
    assert what_if(made, 4, 10**10).seconds == pytest.approx(4.5)
    tight = what_if(made, 4, 6 * 10**8)
    assert tight.seconds > 5
    assert any(reason.startswith("memory: workers wait for it") for reason in tight.reasons)
    assert tight.peak <= 6 * 10**8


def test_tasks_on_their_way_take_as_long_as_they_did():
    # A second between any two tasks.
    made = recorded(
        [stage(0, 4, result=0)], [(0, i, i % 2, i // 2 * 2, i // 2 * 2 + 1) for i in range(4)]
    )
    made.ended = 3.0
    found = what_if(made, 1)
    assert found.account.nanoseconds["hand-over"] == pytest.approx(2e9)
    assert found.seconds == pytest.approx(3 + 3)  # four tasks and half a second each, less one side
    assert any(reason.startswith("small tasks") for reason in found.reasons)


def test_time_for_a_processor_is_shared_by_fewer():
    made = recorded(
        [stage(0, 4, result=0)], [(0, i, i % 2, i // 2 * 3, i // 2 * 3 + 3) for i in range(4)]
    )
    made.ended, made.cores = 6.0, 2
    made.operations[0] = (Operation("f", None, reads=False),)
    made.spent[0] = [3.0, 0.0, 2.0]  # two of three seconds were waited: two others for each of both
    assert made.waited(0) == pytest.approx(2 / 3)
    assert what_if(made).seconds == pytest.approx(6)
    # One worker fewer on two processors: each second takes half a second less.
    assert what_if(made, 1).seconds == pytest.approx(4 * 2.5)
    four = what_if(made, 4)
    assert four.seconds == pytest.approx(3)
    assert four.reasons[-1] == (
        "other programs: tasks wait for a processor 67% of the time, of which there are 2 for 4 "
        "workers"
    )


def test_stages_that_joined_later_join_later():
    made = Recording()
    made.begin(0.0, 2, [0, 1], 10**9)
    kept = stage(0, 2, keep=True)
    made.grown(0.0, Grow((kept,), (Watch(0),)))
    made.grown(5.0, Grow((stage(1, 2, result=0),), sealed=True, release=(0,)), after=0)
    for row in [(0, 0, 0, 0, 5), (0, 1, 1, 0, 1), (1, 0, 0, 5, 6), (1, 1, 1, 5, 6)]:
        made.task(True, *row, 8)
    made.ended, made.outcome = 6.0, "done"
    assert what_if(made).seconds == pytest.approx(6)  # and not 4, as if all had been known
    assert what_if(made, 8).path == pytest.approx(6)
    assert what_if(made, 1).seconds == pytest.approx(8)


def test_stages_that_were_taken_back_are_left_out():
    again = [stage(0, 2), stage(1, 4, result=0), stage(2, 1, reads_all(1, 1, 4), result=1)]
    made = recorded(again, [(1, i, 0, i, i + 1) for i in range(4)] + [(2, 0, 0, 4, 5)], workers=1)
    made.withdrawn.add(0)
    made.ended = 5.0
    assert what_if(made).seconds == pytest.approx(5)
    assert what_if(made, 4).seconds == pytest.approx(2)


def test_a_run_that_did_not_do_all_of_it():
    made = recorded(TREE, ROWS[:-1])
    made.outcome = "failed"
    with pytest.raises(ValueError, match=r"not recorded whole \(failed\)"):
        what_if(made)
    made.outcome, made.complete = "done", False
    with pytest.raises(ValueError, match="had too many tasks"):
        what_if(made)
    with pytest.raises(ValueError, match="not over yet"):
        what_if(recorded(TREE, ROWS, ended=None))
    with pytest.raises(ValueError, match="at least one worker, not 0"):
        what_if(tree(), 0)


def test_a_run_without_tasks():
    assert what_if(recorded([], [], ended=2.0), 4).seconds == pytest.approx(2)


seconds_of = st.sampled_from([lambda s, t: 1.0 + (s.number * 5 + t * 3) % 7, lambda s, t: 1.0])


@settings(max_examples=100, deadline=None)
@example(9122, 2, 4, 1, lambda s, t: 1.0)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), seconds_of)
def test_random_jobs_are_predicted_as_they_then_are(seed, steps, workers, others, seconds):
    def run(count):
        made, _ = simulated([RandomJob(seed, steps)], count, 10**12, seconds, lambda s, t: 8)
        return made

    made = run(workers)
    account = account_of(made)
    assert account.total == workers * round(made.ended * 10**9)
    assert sum(account.percent.values()) in (0, 100)
    found = what_if(made, others)
    whole = sum(row.stop - row.start for row in made.rows())
    ran = {(row.stage, row.task) for row in made.rows()}
    if len(made) == len(ran) == sum(stage.n_tasks for stage in made.stages.values()):
        assert found.seconds == pytest.approx(run(others).ended)
        assert found.seconds >= found.path * (1 - 1e-9)
        # One worker may have less to do: what is taken back before it is run.
        assert what_if(made, 1).seconds == pytest.approx(run(1).ended)
    # What nobody wanted in time was not run, so nobody knows how long it takes.
    assert what_if(made, 1).seconds <= whole * (1 + 1e-9)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.sampled_from([10**9, 3000, 600]), st.booleans())
def test_the_sum_of_simulated_runs_with_faults(seed, workers, limit, spill):
    faults = Faults(die=0.05, freeze=0.1, fail=0.005, late=0.5, together=0.5, spill=0.2, load=0.2)
    made, _ = simulated(
        [RandomJob(seed), RandomJob(seed + 1)],
        workers,
        limit,
        lambda s, t: 1.0 + (s.number * 5 + t * 3) % 7,
        lambda s, t: (s.number * 31 + t * 17) % 101,
        can_spill=spill,
        seed=seed,
        faults=faults,
    )
    account = account_of(made)
    assert min(account.nanoseconds.values()) >= 0
    assert account.total >= workers * round(made.ended * 10**9) - workers
    assert sum(account.percent.values()) in (0, 100)


def test_a_path_goes_through_what_each_task_reads():
    reader = stage(1, 2, Edge(0, (0,), (Each(2),)))
    rows = [(0, 0, 0, 0, 1), (0, 1, 1, 0, 4), (1, 0, 0, 1, 3), (1, 1, 1, 4, 5)]
    made = recorded([stage(0, 2), reader], rows)
    measured = {(row.stage, row.task): row for row in made.rows()}
    assert [(row.stage, row.task) for row in critical_path(made, measured)] == [(0, 1), (1, 1)]


@pytest.mark.parametrize("engine", ["inline", "threads", "local"])
def test_a_real_run(engine):
    value = na.from_array(np.arange(40_000.0), chunks=2_000).sum()
    value.compute(engine=engine)
    run = ns.runs()[-1]
    took = run.recording.ended - run.recording.began
    assert run.what_if().seconds == pytest.approx(took, rel=0.8)
    one, many = run.what_if(workers=1), run.what_if(workers=100)
    assert one.seconds >= many.seconds >= many.path
    assert "100 workers, 8 GB: " in str(run.what_if(workers=100, memory="8 GB"))
