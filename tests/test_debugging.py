"""``ns.debug``: a task that failed once more, here."""

import io
import os
import sys

import pandas as pd
import pytest

import nbscale as ns
import nbscale.array as na
import nbscale.dataframe as nd

FRAME = pd.DataFrame({"x": range(1000), "k": [i % 3 for i in range(1000)]})


def clean(part):
    for value in part.x:
        if value == 555:
            raise ValueError("bad value")
    return part


def fail(engine, then=lambda df: df):
    bad = then(nd.from_pandas(FRAME, npartitions=10).map_partitions(clean))
    with pytest.raises(ValueError, match="bad value") as caught:
        bad.compute(engine=engine)
    return caught.value


@pytest.mark.parametrize("engine", ["inline", "local"])
@pytest.mark.parametrize("then", [lambda df: df, lambda df: df.groupby("k").x.sum()])
def test_the_line_and_the_variables_are_told(engine, then, capsys):
    error = fail(engine, then)
    ns.debug(interactive=False)
    told = capsys.readouterr().out.splitlines()
    assert told[:2] == ["ValueError: bad value", *error.__notes__]
    line = clean.__code__.co_firstlineno + 3
    assert told[2] == f"at {__file__}, line {line}, in clean:"
    assert told[3] == '    raise ValueError("bad value")'
    assert told[-1] == "    value = 555"


def test_only_the_one_task_is_run(tmp_path):
    seen = tmp_path / "seen"

    def once(part):
        with seen.open("a") as file:
            file.write(".")
        if part.x.max() == 599:
            raise ValueError("bad value")
        return part

    df = nd.from_pandas(FRAME, npartitions=10).map_partitions(once).sort_values("x")
    with pytest.raises(ValueError, match="bad value"):
        df.compute(engine="inline")
    before = seen.stat().st_size
    ns.debug(interactive=False)
    assert seen.stat().st_size == before + 1


def talk(monkeypatch, *answers):
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{a}\n" for a in answers)))


def test_the_debugger_stops_at_the_line_and_then_at_the_error(monkeypatch, capsys):
    fail("local")
    talk(monkeypatch, "p 'before', value", "c", "p 'after', len(part)", "q")
    ns.debug(interactive=True)
    told = capsys.readouterr().out
    assert "('before', 555)" in told
    assert told.index("ValueError: bad value") < told.index("('after', 100)")
    assert told.count("-> raise ValueError") == 2
    assert sys.gettrace() is None


def test_who_leaves_at_the_first_stop_leaves_for_good(monkeypatch, capsys):
    fail("local")
    talk(monkeypatch, "q")
    ns.debug(interactive=True)
    assert "ValueError" not in capsys.readouterr().out.replace("raise ValueError", "")
    assert sys.gettrace() is None


def test_a_call_of_a_graph_reads_others(capsys):
    def add(a, b):
        return a + b

    bad = ns.delayed(add)(ns.delayed(add)(1, 2), ns.delayed(str)(3))
    with pytest.raises(TypeError) as caught:
        ns.delayed(add)(bad, bad).compute(engine="local")
    assert caught.value.__notes__[0].startswith("while running add (")
    assert f"line {bad._origin.place.line}" in caught.value.__notes__[0]
    ns.debug(interactive=False)
    told = capsys.readouterr().out
    assert "    a = 3\n    b = '3'" in told


def test_a_call_that_was_submitted(capsys):
    def divide(a, b):
        return a / b

    futures = ns.map(divide, [1, 2, 3], [1, 0, 1])
    assert futures[1].exception()
    ns.debug(futures[1].run, interactive=False)
    assert "    a = 2\n    b = 0" in capsys.readouterr().out


def test_values_that_cannot_be_shown(capsys):
    class Odd:
        def __repr__(self):
            raise RuntimeError

    def bad(x):
        odd = Odd()
        raise KeyError(odd is None)

    with pytest.raises(KeyError):
        ns.delayed(bad)(1).compute(engine="inline")
    ns.debug(interactive=False)
    assert "odd = <Odd instance at" in capsys.readouterr().out


def test_a_task_that_does_not_fail_again(tmp_path, capsys):
    flag = tmp_path / "flag"

    def once(x):
        if not flag.exists():
            flag.touch()
            raise ValueError("once")
        return x

    with pytest.raises(ValueError, match="once"):
        ns.delayed(once)(1).compute(engine="inline")
    ns.debug(interactive=False)
    assert capsys.readouterr().out == "the task did not fail this time\n"


def test_no_line_of_hers(capsys):
    with pytest.raises(ZeroDivisionError):
        ns.delayed(divmod)(1, 0).compute(engine="inline")
    ns.debug(interactive=False)
    assert "no line of yours was running" in capsys.readouterr().out


def test_a_task_that_cost_its_worker_is_not_run_here():
    def die(x):
        os._exit(3)

    with pytest.raises(ns.errors.WorkerLost):
        ns.delayed(die)(1).compute(engine="local")
    with pytest.raises(ValueError, match="WorkerLost: it has cost its worker"):
        ns.debug()


def test_the_last_five_runs_are_kept():
    first = None
    for _ in range(6):
        fail("inline")
        first = first or ns.runs()[-1].run
    ns.debug(first + 1, interactive=False)
    with pytest.raises(ValueError, match=f"in run {first}, or it is not kept any more; kept are"):
        ns.debug(first)
    ns.session.current()._failures.clear()
    with pytest.raises(ValueError, match="no task has failed in this session"):
        ns.debug()


def test_nobody_is_asked_where_nobody_is(monkeypatch, capsys):
    fail("inline")
    monkeypatch.setattr(sys, "stdin", None)
    ns.debug()
    assert "bad value" in capsys.readouterr().out


def test_an_error_of_arrays(capsys):
    def bad(block):
        if block[0] == 20:
            raise ValueError("twenty")
        return block

    x = na.arange(40, chunks=10).map_blocks(bad)
    with pytest.raises(ValueError, match="twenty"):
        x.compute(engine="inline")
    ns.debug(interactive=False)
    assert "in bad:" in capsys.readouterr().out
