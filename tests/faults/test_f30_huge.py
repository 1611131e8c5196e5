"""F30: a million tasks, long chains, wide fans, many small results, large ones, much text."""

from __future__ import annotations

import time

import numpy as np
import pytest

import nbscale as ns
from nbscale.engines.base import RunInfo
from nbscale.graph.stage import Program, Stage, Step
from nbscale.session import current
from nbscale.testing.jobs import Results, each, everything, plain, run, stage
from tests.engines.local.pooled import SLACK

pytestmark = pytest.mark.timeout(110)


STEPS = 10_000
"""Of a chain: the history of runs keeps what was run, so more would count as lost."""


def warm_up():
    a = stage(0, 100_000, number)
    b = stage(1, 1, lambda index, values: sum(values), everything(a, "turn"), result=0)
    run(current().engine("local"), plain(a, b))
    ns.gather(ns.map(abs, range(-10_000, 0)))
    run(current().engine("local"), plain(chain()))


def chain():
    steps = [Step(number, (), (0,), "first")]
    steps += [Step(add_one, (k,), (0,), "add") for k in range(STEPS)]
    return Stage(0, "chain", (range(2),), (2,), Program.of(0, steps), (), result=0)


def number(index):
    return index[0] & 255


def test_f30_many_tiny_outputs(engine):
    n = 100_000
    a = stage(0, n, number)
    b = stage(1, n, lambda index, value: value + 1, each(a))
    c = stage(2, 1, lambda index, values: sum(values), everything(b, "turn"), result=0)
    assert run(engine, plain(a, b, c)) == [sum((i & 255) + 1 for i in range(n))]


def test_f30_ten_thousand_calls(engine):
    assert ns.gather(ns.map(abs, range(-10_000, 0))) == list(range(10_000, 0, -1))


def test_f30_a_long_chain(engine):
    """A fused chain is a loop, on either side."""
    assert run(engine, plain(chain())) == [STEPS, STEPS + 1]


def add_one(index, value):
    return value + 1


def test_f30_a_wide_fan_of_large_values(engine):
    n = 10_000
    a = stage(0, n, lambda index: index[0])
    b = stage(1, 1, lambda index, values: sum(values), everything(a), result=0)
    assert run(engine, plain(a, b)) == [n * (n - 1) // 2]


def test_f30_a_large_object(engine):
    """A quarter of a gigabyte goes there and comes back, and is given back."""
    value = np.arange(1 << 25)
    assert ns.submit(np.sum, value).result(60) == value.sum()
    found = ns.submit(np.arange, 1 << 25).result(60)
    assert np.array_equal(found, value)


def talkative(index):
    for _ in range(1000):
        print("x" * 999)
    return index[0]


def test_f30_a_megabyte_of_text_for_each_task(engine, capsys):
    assert run(engine, plain(stage(0, 6, talkative, result=0))) == list(range(6))
    assert capsys.readouterr().out.count("\n") == 6000


class Verbose:
    def __repr__(self):
        return "y" * (10 << 20)

    def __call__(self, value):
        raise ValueError(value)


def test_f30_what_shows_itself_with_ten_megabytes(engine):
    """A description is never made of the user's values."""
    with pytest.raises(ValueError, match="3"):
        ns.submit(Verbose(), 3).result(60)
    assert len(str(ns.runs()[-1])) < 1000
    future = ns.submit(Verbose)
    future.result(60)
    assert len(repr(future)) < 1000


def test_f30_a_million_tasks_are_held_as_one_stage(engine):
    """They are given up at once, as many as they are."""
    a = stage(0, 1_000_000, number)
    b = stage(1, 1, lambda index, values: sum(values), everything(a, "turn"), result=0)
    begun = time.monotonic()
    ticket = engine.run(plain(a, b), info=RunInfo(1), deliver=Results())
    ticket.begin()
    ticket.cancel()
    with pytest.raises(BaseException, match="stopped"):
        ticket.wait()
    assert time.monotonic() - begun < 5 * SLACK
