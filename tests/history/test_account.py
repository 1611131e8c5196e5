"""Where the time of a run went: every entry by a run made for it, and the sum over random runs."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nbscale as ns
import nbscale.array as na
import nbscale.dataframe as nd
from nbscale.engines.local import LocalEngine
from nbscale.events import Place
from nbscale.graph.axismap import All, Each
from nbscale.graph.stage import Edge, Program, Stage, Step
from nbscale.history.account import ENTRIES, account_of, portions
from nbscale.history.recording import FREE, MEMORY, SPILL, Recording
from tests.history.histories import recorded

SECOND = 10**9


class Reads:
    def part(self, index):
        return None


def stage(number, n, *edges, steps=1, reads=0):
    """A stage of a few steps, the first of which read something of the user's."""
    made = [
        Step(Reads() if i < reads else len, (), (0,), f"step {i}", Place("a.py", i + 1))
        for i in range(steps)
    ]
    return Stage(number, f"s{number}", (range(n),), (n,), Program.of(len(edges), made), edges)


def spent(account):
    """Seconds by entry, where there are any."""
    return {name: ns / SECOND for name, ns in account.nanoseconds.items() if ns}


def test_tasks_that_fill_all_workers():
    rows = [(0, 0, 0, 0, 10), (0, 1, 1, 0, 10)]
    account = account_of(recorded([stage(0, 2)], rows))
    assert spent(account) == {"compute": 20}
    assert account.percent["compute"] == 100
    assert account.workers, account.wall == (2, 10)


def test_a_worker_waits_for_what_its_next_task_reads():
    reader = stage(1, 1, Edge(0, (0,), (All(1, 1),), "list"))
    rows = [(0, 0, 0, 0, 4), (1, 0, 1, 5, 10)]
    account = account_of(recorded([stage(0, 1), reader], rows))
    # Worker 1 waits for 4 s, and for one until it gets the task; worker 0 has no next task.
    assert spent(account) == {"compute": 9, "dependency": 4 + 6, "hand-over": 1}


def test_a_task_is_ready_when_the_last_of_its_inputs_is_there():
    reader = stage(1, 2, Edge(0, (0,), (Each(2),)))
    rows = [(0, 0, 0, 0, 2), (0, 1, 1, 0, 6), (1, 0, 0, 6, 10), (1, 1, 1, 6, 10)]
    account = account_of(recorded([stage(0, 2), reader], rows))
    assert spent(account) == {"compute": 16, "hand-over": 4}


def test_time_after_the_last_task_is_the_way_of_the_results():
    account = account_of(recorded([stage(0, 2)], [(0, 0, 0, 0, 6), (0, 1, 1, 0, 8)]))
    assert spent(account) == {"compute": 14, "dependency": 2, "hand-over": 4}


@pytest.mark.parametrize(("state", "entry"), [(MEMORY, "memory"), (SPILL, "spill")])
def test_what_keeps_ready_tasks_back(state, entry):
    made = recorded([stage(0, 2)], [(0, 0, 0, 0, 10), (0, 1, 1, 8, 10)])
    made.mark(3.0, state)
    made.mark(7.0, FREE)
    assert spent(account_of(made)) == {"compute": 12, entry: 4, "hand-over": 4}


def test_workers_that_come_late_go_and_come_back():
    made = recorded([stage(0, 2)], [(0, 0, 0, 0, 10), (0, 1, 1, 4, 6)], present=[0])
    made.worker(4.0, 1, present=True)
    made.worker(6.0, 1, present=False)
    made.worker(9.0, 2, present=True)
    account = account_of(made)
    assert spent(account) == {"compute": 12, "start-up": 4 + 3, "dependency": 1}


def test_other_runs_at_the_same_time():
    other = recorded([stage(0, 1)], [(0, 0, 1, 3, 9)])
    mine = recorded([stage(0, 1)], [(0, 0, 0, 0, 10)])
    assert spent(account_of(mine, [other])) == {"compute": 10, "dependency": 4, "other runs": 6}


def test_time_at_tasks_is_split_by_what_their_steps_took():
    made = recorded([stage(0, 1, steps=3, reads=1)], [(0, 0, 0, 0, 10)], workers=1)
    made.steps(0, [0.2, 0.1, 0.1, 0.1, 0.0])
    account = account_of(made)
    assert spent(account) == {"parse": 4, "compute": 4, "move": 2}
    assert [(str(line.place), line.compute, line.parse) for line in account.lines] == [
        ("a.py, line 1", 0, 4 * SECOND),
        ("a.py, line 2", 2 * SECOND, 0),
        ("a.py, line 3", 2 * SECOND, 0),
    ]


def test_a_run_that_goes_on_or_is_not_recorded_has_none():
    made = recorded([stage(0, 1)], [], ended=None)
    with pytest.raises(ValueError, match="not over"):
        account_of(made)
    made.ended, made.complete = 1.0, False
    with pytest.raises(ValueError, match="more tasks than are recorded"):
        account_of(made)


def test_a_run_of_no_time():
    account = account_of(recorded([], [], ended=0.0))
    assert account.total == 0
    assert sum(account.percent.values()) == 0
    assert str(account).startswith("2 workers")


@given(st.integers(0, 10**12), st.lists(st.floats(0, 1e6), min_size=1, max_size=20))
def test_portions_add_up(total, weights):
    parts = portions(total, weights)
    assert sum(parts) == total
    assert len(parts) == len(weights)
    assert min(parts) >= 0
    if sum(weights) > 0:
        for part, weight in zip(parts, weights, strict=True):
            assert part == pytest.approx(total * weight / sum(weights), abs=1 + total * 1e-12)


moments = st.floats(-1, 12)


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 3), st.integers(0, 3), moments, moments),
        max_size=30,
    ),
    st.lists(st.tuples(moments, st.integers(0, 3), st.booleans()), max_size=12),
    st.lists(st.tuples(moments, st.sampled_from([FREE, MEMORY, SPILL])), max_size=8),
    st.lists(st.tuples(st.integers(0, 3), moments, moments), max_size=8),
)
def test_whatever_is_recorded_the_sum_is_the_time_of_the_workers(rows, comings, marks, beside):
    reader = stage(1, 4, Edge(0, (0,), (Each(4),)))
    rows = [(s, t, w, *sorted((a, b))) for s, t, w, a, b in rows]
    made = recorded([stage(0, 4, steps=2, reads=1), reader], rows, present=[0, 1])
    for time, worker, here in sorted(comings):
        made.worker(time, worker, present=here)
    for time, state in sorted(marks):
        made.mark(time, state)
    made.steps(0, [1.0, 2.0, 3.0, 2.5])
    others = [recorded([stage(0, 1)], [(0, 0, w, *sorted((a, b)))]) for w, a, b in beside]
    account = account_of(made, others)
    assert min(account.nanoseconds.values()) >= 0
    assert set(account.nanoseconds) == set(ENTRIES)
    assert account.total == _there(made)
    assert sum(account.percent.values()) == 100
    lines = sum(line.compute + line.parse for line in account.lines)
    assert lines == account.nanoseconds["compute"] + account.nanoseconds["parse"]


def _there(made):
    """The sum over time of the workers that were there, or should have been, counted anew."""
    begin, end = 0, 10 * SECOND
    changes = sorted(
        {begin, end, *(min(max(round(t * SECOND), begin), end) for t, *_ in made.present)}
    )
    total = 0
    for start, stop in itertools.pairwise(changes):
        here = set()
        for time, worker, came in made.present:
            if min(max(round(time * SECOND), begin), end) <= start:
                (here.add if came else here.discard)(worker)
        total += max(made.workers, len(here)) * (stop - start)
    return total


def loop(values):
    total = 0
    for value in values:
        total += value
    return total


@pytest.fixture(scope="module")
def table():
    rows = np.arange(20_000)
    return pd.DataFrame({"k": rows % 7, "x": rows * 0.5})


WORK = {
    "frames": lambda table: nd.from_pandas(table, npartitions=8).groupby("k").x.mean(),
    "a function": lambda table: nd.from_pandas(table, npartitions=6).map_partitions(
        lambda part: part[part.x.map(float) > 5]
    ),
    "an exchange": lambda table: nd.from_pandas(table, npartitions=4).sort_values("x"),
    "arrays": lambda table: na.arange(40_000, chunks=5_000).sum(),
    "calls": lambda table: ns.delayed(loop)([ns.delayed(loop)(range(n)) for n in range(20)]),
}


@pytest.mark.parametrize("engine", ["inline", "threads", "local"])
@pytest.mark.parametrize("work", WORK)
def test_the_sum_of_a_real_run(work, engine, table):
    if engine == "threads" and work in ("a function", "calls"):
        pytest.skip("it runs no functions of the user's")
    WORK[work](table).compute(engine=engine)
    run = ns.runs()[-1]
    account = run.account
    assert account.total == account.workers * round(account.wall * SECOND)
    assert sum(account.percent.values()) == 100
    assert account.nanoseconds["compute"] > 0
    assert account.wall <= run.seconds
    assert len(run.recording) >= run.tasks


def test_a_real_run_says_what_its_lines_took(table):
    df = nd.from_pandas(table, npartitions=4)
    slow = df.map_partitions(lambda part: part[part.x.map(str).str.len() > 3])
    slow.x.sum().compute(engine="local")
    first = ns.runs()[-1].account.lines[0]
    assert first.names[0].startswith("map_partitions")
    assert first.place.line == slow._origin.place.line


def test_only_the_last_runs_are_recorded(monkeypatch):
    session = ns.session.current()
    monkeypatch.setattr(ns.session.session, "MOST_TASKS", 10)
    monkeypatch.setattr(ns.session.session, "_FEW_RUNS", 5)
    for _ in range(20):
        na.arange(8, chunks=1).sum().compute()
    assert ns.runs()[-1].account.total > 0
    assert sum(run.recording is not None for run in ns.runs()[-20:]) <= 5 + 2
    with pytest.raises(ValueError, match="is not recorded"):
        _ = ns.runs()[-19].account
    assert session.records[-1].recording is not None
    monkeypatch.setattr(ns.session.session, "_MANY_TASKS", 4)
    for _ in range(4):
        na.arange(8, chunks=1).sum().compute()
    assert [run.recording is not None for run in ns.runs()[-4:]] == [False, False, True, True]


def test_workers_that_start_are_told_of():
    engine = LocalEngine()
    try:
        made = Recording()
        from nbscale.testing.jobs import Results, plain
        from nbscale.testing.jobs import stage as job_stage

        info = dataclasses.replace(_info(), recording=made)
        engine.run(
            plain(job_stage(0, 4, lambda index: index[0], result=0)), info=info, deliver=Results()
        ).wait()
        assert spent(account_of(made))["start-up"] > 0
    finally:
        engine.close()


def _info():
    from nbscale.engines.base import RunInfo

    return RunInfo(1)


def test_calls_are_each_of_their_line():
    places = [Place("a.py", n) for n in (1, 2, 2)]
    calls = dataclasses.replace(
        stage(0, 3), calls=tuple(("f", place) for place in places), axes=(range(3),)
    )
    made = recorded([calls], [(0, 0, 0, 0, 1), (0, 1, 0, 1, 4), (0, 2, 0, 4, 10)], workers=1)
    lines = account_of(made).lines
    assert [(line.place.line, line.compute / SECOND) for line in lines] == [(2, 9), (1, 1)]


def test_a_run_whose_values_go_to_disk_says_so():
    import numpy as np

    from nbscale import config
    from nbscale.testing.jobs import Results, each, everything, over, plain
    from nbscale.testing.jobs import stage as job_stage

    n, size = 24, 1 << 20
    a = job_stage(0, n, lambda index: np.full(size, index[0]), user_code=True)
    b = job_stage(1, n, lambda index, value: int(value[0]), each(a), user_code=True)
    c = job_stage(2, 1, lambda index, values: sum(values), everything(b), user_code=True)
    last = over(c, All(n, 1), delivery="one")
    d = job_stage(
        3, n, lambda index, value, total: total + int(value[-1]), each(a), last,
        result=0, user_code=True,
    )  # fmt: skip
    made, results = Recording(), Results()
    with config.set(memory_limit=96 << 20):  # half of what is made
        engine = LocalEngine()
        try:
            info = dataclasses.replace(_info(), recording=made)
            engine.run(plain(a, b, c, d), info=info, deliver=results).wait()
        finally:
            engine.close()
    assert results.of(0) == [sum(range(n)) + i for i in range(n)]
    account = account_of(made)
    assert account.total == account.workers * round(account.wall * SECOND)
    assert account.nanoseconds["spill"] + account.nanoseconds["memory"] > 0
    assert made.can_spill
