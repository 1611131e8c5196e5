"""Advice is given where something is plainly amiss, and nowhere else."""

import dataclasses

import numpy as np
import pytest

import nbscale as ns
import nbscale.array as na
from nbscale.engines.base import RunInfo, load_engine
from nbscale.events import Advised
from nbscale.graph.stage import Program, Stage
from nbscale.history.advice import advice
from nbscale.notebook.state import reduce_all
from nbscale.notebook.telling import as_dict, as_html, as_line, told
from nbscale.testing.jobs import Results, plain
from nbscale.testing.jobs import stage as job_stage
from tests.history.histories import recorded


def stage(n, **more):
    facts = {"gil_free": False, "user_code": True, **more}
    return Stage(0, "s", (range(n),), (n,), Program(0, (), ()), (), **facts)


def run(n, busy, step, *, spent=(1.0, 0.0, 0.0), ended=None, nbytes=8, **facts):
    """So many tasks, one after another on two workers, one each ``step`` seconds."""
    made = recorded([stage(n, **facts)], [], ended=ended or n * step / 2)
    for i in range(n):
        start = i // 2 * step
        made.task(True, 0, i, i % 2, start, start + busy, nbytes)
    made.spent[0] = list(spent)
    return made


def test_work_that_is_well_cut():
    assert advice(run(1000, 0.01, 0.0101), "local", 0.0) == ""


def test_small_tasks():
    text = advice(run(10_000, 0.0001, 0.001), "local", 0.0)
    assert text.startswith(
        "tasks are too small: 10,000 of 100 us each, so workers are without one 90%"
    )
    assert text.endswith("give each call more to do")
    chunks = advice(run(10_000, 0.0001, 0.001, value_of="key"), "threads", 0.0)
    assert chunks.endswith("use fewer and larger partitions or chunks")


@pytest.mark.parametrize(
    "made",
    [
        run(100, 0.0001, 0.1),  # few
        run(1000, 0.0001, 0.0001, ended=0.9),  # short
        run(10_000, 0.0009, 0.001),  # workers are busy
        run(10_000, 0.01, 0.1),  # large tasks: something else keeps them
    ],
)
def test_nothing_is_said_without_need(made):
    assert advice(made, "local", 0.0) == ""


def test_threads():
    facts = {"gil_free": True, "user_code": False}
    made = run(100, 0.1, 0.1, spent=(1.0, 3.0, 0.0), nbytes=10**6, **facts)
    text = advice(made, "local", 0.0)
    assert text.startswith(
        "threads would be faster: built-in operations on 100 MB in all, of which 75%"
    )
    assert text.endswith("compute(engine='threads')")
    assert advice(made, "threads", 0.0) == ""
    large = run(100, 0.1, 0.1, spent=(1.0, 3.0, 0.0), nbytes=10**7, **facts)
    assert not advice(large, "local", 0.0).startswith("threads")  # it needs too much of the memory


def test_data_that_is_moved():
    made = run(100, 0.1, 0.1, spent=(1.0, 3.0, 0.0), nbytes=10**6)
    text = advice(made, "local", 0.0)
    assert text.startswith("data costs more to move than to work on: 75% of the time")
    assert "100 MB made in all" in text
    assert advice(run(100, 0.1, 0.1, spent=(3.0, 1.0, 0.0)), "local", 0.0) == ""


def test_arguments_that_are_larger_than_the_work():
    made = run(4, 0.001, 0.5, brought=640_000_000)
    text = advice(made, "local", 0.0)
    assert text.startswith("arguments are larger than the work: 640 MB came with 4 calls of 1 ms")
    assert "put()" in text
    assert advice(run(4, 0.001, 0.5, brought=1_000_000), "local", 0.0) == ""
    assert advice(run(4, 2.0, 2.0, brought=640_000_000), "local", 0.0) == ""


def test_other_engines_and_runs_that_go_on():
    made = run(10_000, 0.0001, 0.001)
    assert advice(made, "inline", 0.0) == ""
    made = dataclasses.replace(made, ended=None)
    assert advice(made, "local", 5.0).startswith("tasks are too small")
    assert advice(made, "local", 0.5) == ""


def test_observers_are_told_once(monkeypatch):
    monkeypatch.setattr("nbscale.history.advice._SECONDS", 0.0)
    monkeypatch.setattr("nbscale.history.advice._IDLE", 0.0)
    monkeypatch.setattr("nbscale.history.advice._SMALL", 1.0)
    engine = load_engine("threads")
    events = []
    try:
        a = job_stage(0, 300, lambda index: index[0], result=0)
        engine.run(plain(a), info=RunInfo(1), deliver=Results(), observers=[events.append]).wait()
    finally:
        engine.close()
    from nbscale.events import RunEnded
    from nbscale.testing.board import wait_until

    wait_until(lambda: events and isinstance(events[-1], RunEnded))
    [advised] = [event for event in events if isinstance(event, Advised)]
    assert advised.text.startswith("tasks are too small: 300 of")
    telling = told(reduce_all(None, events), 0.0)
    assert advised.text in as_line(telling)
    assert advised.text in as_html(telling)
    assert advised.text in as_dict(telling)["note"]


def test_text_of_advice_is_escaped():
    state = reduce_all(None, [_begin(), Advised(1, 0.0, "<img src=x>")])
    assert "<img" not in as_html(told(state, 0.0))


def _begin():
    from nbscale.events import RunStarted

    return RunStarted(1, 0.0, "sum", "local", "", None)


def test_a_run_of_a_session():
    na.from_array(np.arange(10.0), chunks=2).sum().compute(engine="inline")
    assert ns.runs()[-1].advice == ""


def test_arguments_of_calls_are_counted():
    value = np.zeros(15 << 20, dtype=np.uint8)
    ns.gather([ns.submit(len, value) for _ in range(8)])
    made = ns.runs()[-1].recording
    assert sum(stage.brought for stage in made.stages.values()) >= 8 * value.nbytes
