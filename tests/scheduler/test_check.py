"""Every check must be able to fail: a mistake is planted for each."""

from __future__ import annotations

import pytest

from nbscale.graph.axismap import All, Each, Group
from nbscale.scheduler.check import validate
from nbscale.scheduler.protocol import TaskId
from nbscale.scheduler.states import HELD, LOST, READY, WAITING
from tests.scheduler.stages import Talk, edge, stage


def midway():
    """A machine in the middle of a run: tasks of every kind."""
    talk = Talk(workers=2, limit=10_000)
    talk.begin(
        stage(0, 6, nbytes=1.0),
        stage(1, 3, edge(0, Group(6, 2)), nbytes=1.0),
        stage(2, 3, edge(1, Each(3)), result=0, nbytes=1.0),
        stage(3, 2, edge(1, All(2, 3)), result=1, nbytes=1.0),
    )
    for task in ((0, 0), (0, 1), (1, 0), (0, 2)):
        talk.end(task)
    return talk.machine


def stages(machine):
    return machine.runs[1].stages


def lose_wake_up(machine):
    record = stages(machine)[0]
    record.state[record.state.find(READY)] = WAITING


def lose_queue_entry(machine):
    machine.runs[1].queue.clear()


def miscount_pending(machine):
    stages(machine)[1].pending[2] += 1


def miscount_uses(machine):
    stages(machine)[1].uses[0] += 1


def miscount_undone(machine):
    stages(machine)[1].undone += 1


def miscount_absent(machine):
    stages(machine)[1].absent += 1


def miscount_busy(machine):
    stages(machine)[0].busy += 1


def miscount_bytes(machine):
    stages(machine)[1].nbytes += 1


def miscount_gate(machine):
    stages(machine)[3].gates[0] += 1


def miscount_closed(machine):
    stages(machine)[3].closed += 1


def miscount_undelivered(machine):
    machine.runs[1].undelivered += 1


def miscount_outside(machine):
    machine.runs[1].outside += 1


def start_too_early(machine):
    record = stages(machine)[1]
    record.state[2] = READY
    machine.runs[1].push(record, 2)


def give_out_twice(machine):
    worker = machine.workers[0]
    other = machine.workers[1]
    task, promised = next(iter(other.queue.items()))
    worker.queue[task] = promised


def give_what_was_to_be_stopped(machine):
    worker = machine.workers[0]
    task = next(iter(worker.queue))
    worker.leftover[task] = 0
    worker.told[task] = None
    machine.runs[task.run].outside += 1


def forget_a_task(machine):
    machine.workers[0].queue.clear()


def run_what_is_done(machine):
    machine.workers[0].queue[TaskId(1, 1, 0)] = 0


def keep_a_frozen_worker_busy(machine):
    machine.workers[0].frozen = True


def tell_without_a_reason(machine):
    machine.workers[0].told[TaskId(1, 0, 5)] = None


def free_a_busy_worker(machine):
    machine.free[0] = machine.workers[0]


def free_a_worker_that_left(machine):
    machine.free[9] = machine.workers[0]


def forget_the_size(machine):
    record = stages(machine)[1]
    record.nbytes -= record.size.pop(0)


def hold_too_little(machine):
    machine.ledger.held -= 1


def promise_too_little(machine):
    machine.ledger.promised -= 1


def spill_from_nowhere(machine):
    machine.spilling += 1


def drop_too_often(machine):
    stages(machine)[1].dropped[0] = 3


def overtake_too_often(machine):
    machine.overtaken = 9


def keep_what_nobody_needs(machine):
    record = stages(machine)[0]
    record.state[0] = HELD
    record.size[0] = 0


def retract_in_part(machine):
    stages(machine)[3].retracted = True


def pull_the_input_away(machine):
    """Drop what a running task reads."""
    run = machine.runs[1]
    record = run.stages[2]
    name = TaskId(1, 2, 0)
    assert any(name in w.queue for w in machine.workers.values())
    record.ins[0][1].state[0] = LOST
    record.ins[0][1].absent += 1
    machine.ledger.held -= record.ins[0][1].size[0]


def fetch_what_is_not_fetched(machine):
    machine.fetching[TaskId(1, 0, 5)] = None


def make_anew_what_is_there(machine):
    machine.anew[TaskId(1, 1, 0)] = None


def let_a_run_linger(machine):
    run = machine.runs[1]
    run.outcome = "done"
    run.outside = 0


def take_no_turn(machine):
    machine.turn.clear()


MISTAKES = [f for name, f in list(globals().items()) if getattr(f, "__module__", "") == __name__]
MISTAKES = [f for f in MISTAKES if f.__code__.co_varnames[:1] == ("machine",) and f is not stages]


def test_nothing_is_wrong_midway():
    validate(midway())


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda f: f.__name__)
def test_a_mistake_is_found(mistake):
    machine = midway()
    mistake(machine)
    with pytest.raises(AssertionError):
        validate(machine)


def test_idle_workers_beside_ready_tasks_are_found():
    talk = Talk(workers=0)
    talk.begin(stage(0, 2, result=0))
    machine = talk.machine
    from nbscale.scheduler.records import WorkerRecord

    machine.workers[0] = machine.free[0] = WorkerRecord(0)
    with pytest.raises(AssertionError, match="P3"):
        validate(machine)
