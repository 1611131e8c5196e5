from __future__ import annotations

from nbscale.graph.axismap import All, At, Each, Group, Listed
from nbscale.scheduler.growth import append_stages, become_ready, unread
from nbscale.scheduler.states import HELD, READY
from tests.scheduler.stages import edge, run_of, stage


def test_counts_of_a_new_stage():
    n = 5
    run = run_of(
        stage(0, n),
        stage(1, 3, edge(0, Group(n, 2)), edge(0, At(3, n, 4))),
        stage(2, 2, edge(0, All(2, n)), user_code=True),
        stage(3, 2, edge(2, Each(2))),
    )
    source, grouped, everything, after = run.stages
    assert source.uses.tolist() == [1] * n
    assert grouped.pending.tolist() == [2, 2, 1]
    assert grouped.gates == [1]
    assert everything.gates == [5]
    assert [r.closed for r in run.stages] == [0, 1, 1, 0]
    assert [r.repeatable for r in run.stages] == [True, True, False, False]
    assert unread(source) == []
    assert unread(after) == [0, 1]


def test_a_value_that_one_reads_leads_to_it_alone():
    n = 5
    readers = [stage(2 + j, 1, edge(0, Listed(n, [0, 1], [j]))) for j in range(n)]
    run = run_of(stage(0, n), stage(1, n, edge(0, Each(n))), *readers)
    source = run.stages[0]
    assert source.uses.tolist() == [2] * n
    for j in range(n):
        assert [w.consumer for w, _ in source.outs_of(j)] == [1, 2 + j]
        assert [w.readers(j) for w, _ in source.outs_of(j)] == [(j,), (0,)]
    assert len(source.outs) == 1 + n
    copy = run.clone().stages[0]
    assert all(r is not run.stages[w.consumer] for w, r in copy.outs_of(3))


def test_what_exists_already_is_not_waited_for():
    run = run_of(stage(0, 4), stage(1, 2))
    run.stages[0].state[1:3] = bytes([HELD, HELD])
    run.stages[0].undone = 2
    run.stages[1].state[:] = bytes([HELD, HELD])
    run.stages[1].undone = 0
    append_stages(
        run,
        [
            stage(2, 2, edge(0, Group(4, 2)), edge(1, Each(2))),
            stage(3, 1, edge(0, All(1, 4)), edge(0, At(1, 4, 1))),
        ],
    )
    assert run.stages[2].pending.tolist() == [1, 1]
    assert run.stages[3].gates == [2, 0]


def test_many_become_ready_in_one_sweep():
    n = 100
    run = run_of(stage(0, n), stage(1, n, edge(0, Each(n))))
    reader = run.stages[1]
    for task in (3, 50, 99):
        reader.pending[task] = 0
    become_ready(run, reader)
    assert [t for t in range(n) if reader.state[t] == READY] == [3, 50, 99]
    assert [run.take_first() for _ in range(1)] == [(reader, 3)]
    assert len(run.queue) == 1
