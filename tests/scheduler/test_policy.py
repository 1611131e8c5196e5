from __future__ import annotations

import contextlib

from nbscale.graph.axismap import All, At, Each, Group
from nbscale.scheduler import policy
from nbscale.scheduler.growth import become_ready
from nbscale.scheduler.ledger import Ledger
from nbscale.scheduler.states import GONE, HELD, LOST, READY, RUNNING, move
from tests.scheduler.stages import edge, run_of, stage


def held(run, number, *tasks, nbytes=10):
    record = run.stages[number]
    for task in tasks:
        record.state[task] = HELD
        record.undone -= 1
        record.size[task] = nbytes
        record.nbytes += nbytes


def found(run, *, spill=False, pins=None):
    victims = policy.victims({1: run}, pins or policy.Pins(), spill=spill)
    return [(stage, task) for _, _, stage, task in victims]


def test_what_is_needed_last_leaves_first():
    run = run_of(stage(0, 4), stage(1, 2, edge(0, Group(4, 2)), result=0), stage(2, 1, keep=True))
    held(run, 0, 3, 0, 1)
    held(run, 2, 0)
    assert found(run) == [(0, 0), (0, 1), (0, 3), (2, 0)]


def test_what_stays():
    run = run_of(
        stage(0, 2),
        stage(1, 2, user_code=True),
        stage(2, 2, keep=True),
        stage(3, 2, *(edge(k, Each(2)) for k in range(3)), result=0),
    )
    for number in range(3):
        held(run, number, 0, 1)
    run.stages[2].pinned = True
    run.stages[0].dropped[0] = policy.MOST_DROPS
    assert found(run) == [(0, 1)]
    run.stages[1].stuck[0] = None
    assert found(run, spill=True) == [(0, 0), (0, 1), (1, 1)]
    pins = policy.Pins()
    pins.add_inputs(1, run.stages[3], 1)
    assert found(run, spill=True, pins=pins) == [(0, 0)]


def test_a_block_that_everybody_reads_is_pinned_whole():
    run = run_of(
        stage(0, 3), stage(1, 2, edge(0, All(2, 3))), stage(2, 2, edge(0, At(2, 3, 1)), result=0)
    )
    everything, one = policy.Pins(), policy.Pins()
    everything.add_inputs(1, run.stages[1], 0)
    one.add_inputs(1, run.stages[2], 0)
    assert [everything.hold(1, 0, t) for t in range(3)] == [True] * 3
    assert [one.hold(1, 0, t) for t in range(3)] == [False, True, False]


def test_small_values_stay_if_they_make_no_difference():
    run = run_of(stage(0, 3, keep=True))
    held(run, 0, 0, nbytes=1000)
    held(run, 0, 1, 2, nbytes=1)
    runs = {1: run}
    victims = policy.victims(runs, policy.Pins(), spill=True)

    def worth(missing, *, alone=False, least=0.0):
        chosen = policy.worth_it(runs, victims, missing, least, alone=alone)
        return [task for _, _, _, task in chosen]

    assert worth(500) == [0]
    assert worth(1001) == [2, 1, 0]  # only together they are enough
    assert worth(2000) == []  # nothing leaves in vain while others run
    assert worth(2000, alone=True) == [0]
    assert worth(1, least=float("inf")) == []


def test_what_can_be_made_again():
    n = 200
    run = run_of(
        stage(0, n),
        stage(1, n, edge(0, Each(n))),
        stage(2, 1, edge(1, All(1, n))),
        stage(3, 2),
        stage(4, 2, edge(3, Each(2)), user_code=True, result=0),
    )
    ledger = Ledger(10**9)
    a, b, whole, plain, users = run.stages
    held(run, 1, *range(n))
    a.state[:] = bytes([GONE]) * n
    assert policy.can_be_made_again(b, 7, ledger)
    b.state[:] = bytes([LOST]) * n
    assert not policy.can_be_made_again(whole, 0, ledger)  # of 400 tasks
    a.known, a.out = 9, 2 * 10**9
    assert not policy.can_be_made_again(b, 7, ledger)  # that would not fit
    assert policy.may_be_dropped(plain, 0)
    assert not policy.may_be_dropped(users, 0)


def test_looking_at_others_leaves_the_queue_as_it_was():
    run = run_of(stage(0, 50, result=0))
    record = run.stages[0]
    become_ready(run, record)
    with contextlib.closing(policy.candidates(run, (0, 0))) as queue:
        tasks = [task for _, task in queue]
    assert tasks == list(range(1, 9))
    with contextlib.closing(policy.candidates(run, (0, 0))) as queue:
        _, task = next(queue)
        move(record, task, RUNNING)
    order = []
    while (head := run.take_first()) is not None:
        order.append(head[1])
        move(*head, RUNNING)
    assert order == [0, *range(2, 50)]
    assert record.state.count(READY) == 0


def test_what_frees_more_than_it_makes():
    n = 4
    run = run_of(
        stage(0, n),
        stage(1, 2, edge(0, Group(n, 2))),
        stage(2, 2, edge(1, Each(2)), result=0),
        stage(3, 1, edge(1, All(1, 2)), result=1),
        stage(4, 2),
        stage(5, 1, edge(4, All(1, 2))),
        stage(6, 1, edge(5, Each(1)), result=2),
    )
    held(run, 0, *range(n))
    held(run, 1, 0, 1)
    held(run, 4, 0, 1)
    frees = policy.frees_more_than_it_makes
    assert frees(run.stages[1], 0, 19)
    assert not frees(run.stages[1], 0, 20)
    run.stages[0].uses[0] = 2
    assert not frees(run.stages[1], 0, 10)
    assert not frees(run.stages[2], 0, 100)  # what it reads is read by others, too
    assert frees(run.stages[5], 0, 19)
    run.stages[5].common_ins[0][1].keep = True
    assert not frees(run.stages[5], 0, 19)
    held(run, 5, 0)
    assert frees(run.stages[6], 0, 100)  # a result leaves at once
