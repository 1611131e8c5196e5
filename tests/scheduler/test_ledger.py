from __future__ import annotations

import pytest

from nbscale.graph.axismap import All, Each, Group
from nbscale.scheduler.ledger import UNKNOWN_OUTPUT, Ledger, inputs_of
from tests.scheduler.stages import edge, record_of, run_of, stage


def test_headroom():
    assert Ledger(10**10).budget == 9 * 10**9
    assert Ledger(300 * 10**6).budget == 236 * 10**6
    assert Ledger(10**6).budget == 500_000  # never more than a half
    assert Ledger(1000, 0).budget == 1000
    ledger = Ledger(1000, 100)
    ledger.set_limit(500)
    assert (ledger.limit, ledger.budget, ledger.room) == (500, 400, 400)


def test_a_prediction_is_inputs_and_twice_the_output_and_scratch():
    ledger, record = Ledger(10**9, 0), record_of(stage(0, 4))
    assert ledger.peak(record, 10) == 10 + 2 * UNKNOWN_OUTPUT
    assert ledger.peak(record, 2 * UNKNOWN_OUTPUT) == 6 * UNKNOWN_OUTPUT
    ledger.measure(record, 100, 0)
    assert ledger.peak(record, 10) == 10 + 200
    ledger.measure(record, 100, 350)
    assert ledger.peak(record, 10) == 10 + 200 + 150


def test_an_estimate_is_used_until_something_is_measured():
    ledger, record = Ledger(10**9, 0), record_of(stage(0, 4, nbytes=70.0))
    assert ledger.peak(record, 10) == 10 + 140
    ledger.measure(record, 10, 0)
    assert ledger.peak(record, 10) == 10 + 20


def test_the_most_seen_lately_fades():
    ledger, record = Ledger(10**9, 0), record_of(stage(0, 4))
    ledger.measure(record, 1600, 4000)
    ledger.measure(record, 0, 1)
    assert record.out == 1500
    assert record.scratch == 751
    ledger.measure(record, 700, 0)
    assert record.out == 1450  # by a sixteenth of how much less it was
    for _ in range(200):
        ledger.measure(record, 0, 1)
    assert record.out < 16
    assert record.scratch <= 16


@pytest.mark.parametrize(("known", "most"), [(0, 1), (1, 2), (2, 3), (4, 99)])
def test_what_is_unknown_starts_slowly_near_the_limit(known, most):
    ledger, record = Ledger(1000, 0), record_of(stage(0, 100))
    ledger.held = 600
    record.known = known
    record.busy = most - 1
    assert ledger.allows(record, 100)
    record.busy = most
    assert ledger.allows(record, 100) == (known >= 4)
    ledger.held = 0  # and at once where memory is far away
    assert ledger.allows(record, 100)


def test_an_estimate_needs_no_slow_start():
    ledger, record = Ledger(1000, 0), record_of(stage(0, 100, nbytes=1.0))
    ledger.held, record.busy = 600, 50
    assert ledger.allows(record, 100)
    assert not ledger.allows(record, 401)


def test_inputs_are_what_is_read_at_once():
    n = 4
    stages = [
        stage(0, n),
        stage(1, n, edge(0, Each(n))),
        stage(2, 2, edge(0, Group(n, 2))),
        stage(3, 2, edge(0, Group(n, 2), delivery="turn")),
        stage(4, 5, edge(0, All(5, n))),
        stage(5, 5, edge(0, All(5, n), pieces=True)),
        stage(6, 5, edge(0, All(5, n), delivery="turn")),
    ]
    records = run_of(*stages).stages
    for task, nbytes in enumerate((10, 20, 30, 40)):
        records[0].size[task] = nbytes
        records[0].nbytes += nbytes
    records[0].out = 40
    assert inputs_of(records[1], 1) == 20
    assert inputs_of(records[2], 1) == 70
    assert inputs_of(records[3], 1) == 40
    assert inputs_of(records[4], 0) == 100
    assert inputs_of(records[5], 0) == 20
    assert inputs_of(records[6], 0) == 40
