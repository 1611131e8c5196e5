"""What is recorded of a run, and that it holds nothing of the user's."""

import gc
import weakref

import pytest

from nbscale.graph.job import Grow, Watch
from nbscale.graph.stage import Program, Stage, Step
from nbscale.history import recording
from nbscale.history.recording import FREE, MEMORY, Growth, Operation, Recording, Row


class Kernel:
    def part(self, index):
        return None


def stage(number, kernel=len):
    program = Program.of(0, [Step(kernel, (), (0,), "step")])
    return Stage(number, "s", (range(2),), (2,), program, (), shared=("memory",))


def test_rows_come_back_as_they_were():
    made = Recording()
    rows = [Row(True, 0, 1, 2, 0.5, 1.5, 10**12), Row(False, 3, 2**40, 5, 1e9, 1e9 + 1e-6, 0)]
    for row in rows:
        made.task(*row)
    assert list(made.rows()) == rows
    assert len(made) == 2
    assert made.totals() == (2, pytest.approx(1.000001), 10**12, 0.5)


def test_a_run_without_tasks():
    made = Recording(began=3.0)
    assert (list(made.rows()), made.totals()) == ([], (0, 0.0, 0, 3.0))


def test_stages_are_kept_without_what_they_run():
    kernel = Kernel()
    gone = weakref.ref(kernel)
    made = Recording()
    made.grown(1.0, Grow((stage(0, kernel),), (Watch(0, 1),)))
    made.grown(2.0, Grow((stage(1),), sealed=True, release=(0,), retract=(0,)), after=0)
    del kernel
    gc.collect()
    assert gone() is None
    assert made.stages[0].program.steps == ()
    assert made.stages[0].shared == ()
    assert made.operations[0] == (Operation("step", None, reads=True),)
    assert made.operations[1] == (Operation("step", None, reads=False),)
    assert made.joined == {0: 1.0, 1: 2.0}
    assert made.withdrawn == {0}
    assert made.growths == [
        Growth(1.0, None, (0,), ((0, 1),), (), sealed=False),
        Growth(2.0, 0, (1,), (), (0,), sealed=True),
    ]


def test_seconds_of_steps_add_up():
    made = Recording()
    made.steps(0, [1.0, 2.0, 0.5])
    made.steps(0, (1.0, 0.0, 1.5))
    assert made.spent == {0: [2.0, 2.0, 2.0]}
    assert made.waited(0) == 0.5
    assert made.waited(7) == 0.0


def test_only_changes_are_marked():
    made = Recording()
    for time, state in enumerate([FREE, FREE, MEMORY, MEMORY, FREE]):
        made.mark(time, state)
    assert made.marks == [(2, MEMORY), (4, FREE)]


def test_too_many_tasks_are_not_recorded(monkeypatch):
    monkeypatch.setattr(recording, "_MOST_ROWS", 3)
    made = Recording()
    for task in range(5):
        made.task(True, 0, task, 0, 0.0, 1.0, 8)
    assert len(made) == 3
    assert not made.complete
