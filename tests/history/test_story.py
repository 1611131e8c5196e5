"""The story of runs that never were."""

from nbscale.graph.axismap import Each
from nbscale.graph.stage import Edge, Program, Stage
from nbscale.history.recording import MEMORY, SPILL, Loss
from nbscale.history.story import run_story, task_story
from tests.history.histories import recorded


def stage(number, n, *edges):
    return Stage(number, f"s{number}", (range(n),), (n,), Program(len(edges), (), ()), edges)


TWO = [stage(0, 3), stage(1, 3, Edge(0, (0,), (Each(3),)))]


def test_each_stage_has_a_line():
    made = recorded(TWO, [(0, 0, 0, 1, 2), (0, 1, 1, 1, 4), (0, 2, 0, 2, 3)])
    first, second = run_story(made)
    assert first == (
        "stage 0: s0: 3 of 3 tasks on 2 workers, from +1 s to +4 s, 5 s in all, the longest 3 s "
        "(task 1)"
    )
    assert second == "stage 1: s1: 0 of 3 tasks ended"


def test_many_stages_are_shortened():
    made = recorded([stage(n, 1) for n in range(40)], [])
    lines = run_story(made)
    assert len(lines) == 13
    assert lines[6] == "... 28 more stages ..."


def test_values_that_were_made_twice():
    made = recorded(TWO, [(0, 1, 0, 1, 2), (0, 1, 1, 3, 4), (0, 2, 1, 4, 5), (0, 2, 1, 6, 7)])
    assert "made again: 2 values of stage 0" in run_story(made)[-1]
    made.losses.append(Loss(2.5, 0, 1, 0, "by signal SIGKILL"))
    *_, lost, again = run_story(made)
    assert lost == "run again: task 1 of stage 0, at +2.5 s: worker 0 ended by signal SIGKILL"
    assert "made again: 1 values of stage 0" in again


def test_what_it_waits_for():
    made = recorded(TWO, [(0, 0, 0, 1, 2)], ended=None)
    assert run_story(made)[-2:] == [
        "now: 2 tasks of stage 0, s0, run or wait for a worker",
        "now: 3 tasks of stage 1, s1, wait for stage 0 (1 of 3 values made)",
    ]
    made.mark(3.0, MEMORY)
    assert "now: tasks are ready, but wait for memory" in run_story(made)
    made.mark(4.0, SPILL)
    assert "now: tasks wait for values on their way to or from disk" in run_story(made)


def test_a_run_without_workers_or_with_nothing_to_do():
    assert "now: it waits for the first worker to be there" in run_story(
        recorded(TWO, [], ended=None, present=[])
    )
    assert "what follows is being decided" in run_story(recorded([], [], ended=None))[0]


def test_stages_that_were_taken_back():
    made = recorded(TWO, [])
    made.withdrawn |= {1, 0}
    assert "planned again: stages 0, 1 were taken back" in run_story(made)[-1]


def test_a_task():
    made = recorded(TWO, [(0, 0, 0, 1, 2)])
    made.task(False, 0, 1, 1, 2.0, 3.0, 0)
    made.losses.append(Loss(0.5, 0, 0, 3, "with exit code 1"))
    assert task_story(made, 0, 0) == [
        "worker 3 ended with exit code 1 while it ran it, at +500 ms",
        "ran on worker 0, from +1 s on, for 1 s, and gave 8 B",
    ]
    assert task_story(made, 0, 1)[0].endswith("and raised an error")
    assert task_story(made, 0, 2) == ["did not run to its end"]
    made.ended = None
    assert task_story(made, 0, 2) == ["has not ended; 1 of the 3 that were given out with it have"]
