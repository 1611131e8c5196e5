from __future__ import annotations

import pytest

from benchmarks.gates import judge, pairs_of
from benchmarks.registry import Gate
from benchmarks.rows import Row

GATE = Gate("wall_s", "ours", "theirs", limit=0.6)


def row(peer, number, wall, status="ok", error=""):
    measures = {"wall_s": wall} if status == "ok" else {}
    return Row("w", peer, number, {}, 0, status, measures, error=error)


def rows(ours, theirs=None):
    theirs = theirs if theirs is not None else [1.0] * len(ours)
    return [row("ours", i, wall) for i, wall in enumerate(ours)] + [
        row("theirs", i, wall) for i, wall in enumerate(theirs)
    ]


@pytest.mark.parametrize(
    ("walls", "verdict"),
    [
        ([0.50, 0.51, 0.52, 0.50, 0.51, 0.52, 0.50, 0.51, 0.52], "holds"),
        ([0.70, 0.71, 0.72, 0.70, 0.71, 0.72, 0.70, 0.71, 0.72], "fails"),
        ([0.58, 0.59, 0.60, 0.61, 0.62, 0.58, 0.59, 0.61, 0.62], "undecided"),
        ([0.50, 0.60, 0.70, 0.80, 0.90, 0.50, 0.70, 0.80, 0.90], "no result"),
        ([0.50] * 8, "no result"),
    ],
)
def test_verdicts(walls, verdict):
    assert judge(GATE, rows(walls)).verdict == verdict


def test_one_wild_pair_at_either_end_changes_nothing():
    walls = [0.50, 0.51, 0.52, 0.50, 0.51, 0.52, 0.50, 0.01, 9.0]
    assert judge(GATE, rows(walls)).verdict == "holds"


def test_the_interval_touching_the_limit_does_not_fail():
    assert judge(GATE, rows([0.6] * 9)).verdict == "holds"


def test_only_runs_of_one_round_are_a_pair():
    found = [row("ours", 1, 1.0), row("ours", 2, 3.0), row("theirs", 2, 4.0), row("theirs", 3, 1.0)]
    assert pairs_of(GATE, found) == [0.75]


def test_drift_of_the_machine_cancels():
    drift = [1.0, 1.5, 2.0, 2.5, 3.0, 2.5, 2.0, 1.5, 1.0]
    assert judge(GATE, rows([0.5 * d for d in drift], drift)).verdict == "holds"


def test_without_a_baseline_the_allowance_is_the_limit():
    gate = Gate("wall_s", "ours", None, limit=1.0, allowance=2.0)
    assert judge(gate, rows([1.9] * 9)).verdict == "holds"
    assert judge(gate, rows([2.1] * 9)).verdict == "fails"
    # Far below a fixed budget, scatter among small numbers is still a result.
    scatter = [0.01, 0.02, 0.03, 0.01, 0.02, 0.03, 0.01, 0.02, 0.03]
    assert judge(gate, rows(scatter)).verdict == "holds"
    with pytest.raises(ValueError, match="allowance above zero"):
        Gate("wall_s", "ours", None, limit=1.0)


def test_a_peer_that_failed_leaves_no_result_and_says_why():
    found = judge(GATE, [*rows([0.5] * 9), row("theirs", 9, 0, "failed", "exit code 1: boom")])
    assert found.verdict == "no result"
    assert "theirs failed: exit code 1: boom" in str(found)


def test_a_gate_shows_what_it_demands():
    assert str(GATE) == "wall_s: ours / (theirs) <= 0.6"
    assert str(Gate("cpu_s", "a", "b", 1.0, 0.06)) == "cpu_s: a / (b + 0.06) <= 1"


@pytest.mark.parametrize(
    ("walls", "verdict"),
    [([1.0], "holds"), ([0.5, 1.0, 0.9], "holds"), ([0.5] * 20 + [1.1], "fails")],
)
def test_a_limit_for_every_run(walls, verdict):
    gate = Gate("wall_s", "ours", None, limit=1.0, allowance=1.0, every=True)
    assert judge(gate, rows(walls)).verdict == verdict
