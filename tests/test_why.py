"""``ns.why``: the stories of collections, futures and runs."""

import os
import signal
from pathlib import Path

import pandas as pd
import pytest

import nbscale as ns
import nbscale.dataframe as nd
from nbscale.testing.board import Board, wait_until

FRAME = pd.DataFrame({"x": range(1000), "k": [i % 3 for i in range(1000)]})


def made():
    df = nd.from_pandas(FRAME, npartitions=4)
    kept = df[df.x > 10]
    return kept.groupby("k").x.sum()


def line_of(text):
    """The number of the first line of this file that begins with a text."""
    with Path(__file__).open() as file:
        return next(n for n, line in enumerate(file, 1) if line.strip().startswith(text))


def test_a_collection_before_it_is_computed():
    story = ns.why(made()).splitlines()
    assert story[0] == "sum"
    assert story[1].endswith(f"test_why.py, line {line_of('return kept.groupby')}")
    assert any(f"line {line_of('df = nd.from_pandas')}: from_pandas" in line for line in story)
    assert any(f"line {line_of('kept = df')}: ['x'], gt, filter" in line for line in story)
    assert any(line.startswith("would run on threads: built-in operations") for line in story) or (
        any(line.startswith("would run on inline: small data") for line in story)
    )
    assert any(line.startswith("computed once for several readers: from_pandas") for line in story)
    assert any(line.startswith("in one task (4 of them): from_pandas, ['x'], gt") for line in story)
    assert story[-1] == "not computed in this session"


def test_a_collection_that_was_computed():
    total = made()
    total.compute(engine="inline")
    run = ns.runs()[-1]
    story = str(ns.why(total))
    assert str(run) in story
    assert "stage 0: from_pandas" in story
    assert "4 of 4 tasks on worker 0" in story
    assert not any(line.startswith("would run") for line in story.splitlines())
    assert str(ns.why(run)) == str(ns.why(run.run))
    assert str(ns.why(run)) in story


def test_what_was_persisted_is_not_computed_again():
    kept = nd.from_pandas(FRAME, npartitions=2).persist()
    assert "not computed again, but kept from before" in str(ns.why(kept.x.sum()))


def test_a_future_from_its_submission_to_its_end(tmp_path):
    board = Board(tmp_path)

    def wait(board):
        board.mark("begun")
        board.wait("go")
        return 7

    future = ns.submit(wait, board)
    after = ns.submit(abs, future)
    assert "not handed over yet" in str(ns.why(after))
    wait_until(lambda: future.run, "the call to be handed over")
    board.wait("begun")
    story = ns.why(future).splitlines()
    assert story[0] == "wait: under way"
    assert story[1].startswith(f"call 0 of run {future.run}: 1 x wait")
    assert story[-1] == "has not ended; 0 of the 1 that were given out with it have"
    assert "now: 1 task of stage 0, wait, run or wait for a worker" in str(ns.why(future.run))
    board.mark("go")
    assert after.result() == 7
    story = ns.why(future).splitlines()
    assert story[0] == "wait: done"
    assert story[-1].startswith("ran on worker ")


def test_a_task_that_cost_a_worker(tmp_path):
    board = Board(tmp_path)

    def die_once(board):
        if not board.count("died"):
            board.mark("died")
            os.kill(os.getpid(), signal.SIGKILL)
        return 1

    future = ns.submit(die_once, board)
    assert future.result() == 1
    story = str(ns.why(future))
    assert "ended by signal SIGKILL while it ran it" in story
    assert "ran on worker" in story
    wait_until(lambda: ns.runs()[-1].outcome == "done")
    assert "run again: task 0 of stage 0" in str(ns.why(future.run))


def test_a_call_that_failed():
    future = ns.submit(divmod, 1, 0)
    assert future.exception()
    story = str(ns.why(future))
    assert story.startswith("divmod: failed with ZeroDivisionError")


def test_a_run_that_failed():
    def bad(part):
        if part.x.max() == 999:
            raise ValueError("no")
        return part

    with pytest.raises(ValueError, match="no"):
        nd.from_pandas(FRAME, npartitions=2).map_partitions(bad).compute(engine="inline")
    story = str(ns.why(ns.runs()[-1]))
    assert "ended by task 1 of stage 0, from_pandas + map_partitions(bad)" in story


def test_what_a_future_was_put():
    assert "put into shared memory" in str(ns.why(ns.put(list(range(100)))))


def test_text_is_no_html():
    def evil(part):
        return part

    evil.__name__ = "<img src=x onerror=alert(1)>"
    df = nd.from_pandas(FRAME, npartitions=2).map_partitions(evil)
    assert "<img" in str(ns.why(df))
    shown = ns.why(df)._repr_html_()
    assert "<img" not in shown
    assert "&lt;img" in shown


def test_other_things():
    with pytest.raises(TypeError, match="takes a lazy collection, a future, or a run"):
        ns.why("x")
    with pytest.raises(TypeError, match="not bool"):
        ns.why(True)
    with pytest.raises(ValueError, match="there is no run 123456789; the runs remembered are"):
        ns.why(123456789)


def test_a_call_that_failed_raised_an_error():
    future = ns.submit(lambda: 1 / 0)
    assert isinstance(future.exception(60), ZeroDivisionError)
    story = ns.why(future)
    assert "failed with ZeroDivisionError" in story
    assert story.endswith("raised an error")
