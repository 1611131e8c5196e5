from __future__ import annotations

import dataclasses

import pytest

from benchmarks import runner
from benchmarks.registry import Gate, Peer, Workload
from benchmarks.rows import Row, append, read
from benchmarks.runner import Plan, disagreements, measure_workload

GATE = Gate("wall_s", "ours", "theirs", limit=0.6)


@pytest.fixture
def plan(monkeypatch):
    """A plan whose runs take what `walls` says, without processes."""
    made = Workload("w", "", dict, None, {}, "theirs", 1e-9, "m", (GATE,))
    for name in ("ours", "theirs", "slow"):
        made.peers[name] = Peer(
            name, prepare=lambda inputs: print, most=2 if name == "slow" else None
        )
    plan = Plan(made, {}, tuple(made.peers.values()), pairs=3, cap=12, gated=False)
    monkeypatch.setattr(runner, "set_up", lambda workload, options: {})
    return plan


def runs(monkeypatch, wall):
    """Make every run take `wall(peer, round)` seconds, None for a failure; return who ran."""
    order = []

    def run(workload, peer, inputs, *, options, number, session, timeout):
        order.append(peer.name)
        assert inputs["round"] == number
        took = wall(peer.name, number)
        made = Row("w", peer.name, number, options, session, "ok" if took else "failed")
        measures = {"wall_s": took, "cpu_s": took} if took else {}
        return dataclasses.replace(made, measures=measures)

    monkeypatch.setattr(runner, "run", run)
    return order


def silent(line):
    pass


def test_peers_take_turns_and_slow_ones_stop_early(plan, monkeypatch, tmp_path):
    order = runs(monkeypatch, lambda peer, number: 1.0)
    rows, _ = measure_workload(plan, tmp_path / "rows", silent)
    assert order == ["ours", "theirs", "slow"] * 2 + ["ours", "theirs"]
    assert read(tmp_path / "rows")[0] == rows


def test_doubt_asks_for_more_pairs_of_those_it_concerns(plan, monkeypatch, tmp_path):
    scatter = [0.4, 0.5, 0.6, 0.3, 0.5, 0.7, 0.4, 0.5, 0.6, 0.5, 0.5, 0.5]
    order = runs(monkeypatch, lambda peer, n: scatter[n - 1] if peer == "ours" else 1.0)
    gated = dataclasses.replace(plan, pairs=9, gated=True)
    _, (judgement,) = measure_workload(gated, tmp_path / "rows", silent)
    assert order[-6:] == ["ours", "theirs"] * 3
    assert order.count("ours") == 12
    assert judgement.verdict == "no result"


def test_a_clear_result_stops_at_the_pairs_asked_for(plan, monkeypatch, tmp_path):
    order = runs(monkeypatch, lambda peer, n: 0.5 if peer == "ours" else 1.0)
    gated = dataclasses.replace(plan, pairs=9, gated=True)
    _, (judgement,) = measure_workload(gated, tmp_path / "rows", silent)
    assert order.count("ours") == 9
    assert judgement.verdict == "holds"


def test_a_peer_that_fails_is_not_run_again(plan, monkeypatch, tmp_path):
    order = runs(monkeypatch, lambda peer, n: None if peer == "ours" else 1.0)
    measure_workload(dataclasses.replace(plan, gated=True), tmp_path / "rows", silent)
    assert order.count("ours") == 1
    assert order.count("theirs") == 3


def test_a_part_goes_on_where_it_was_stopped(plan, monkeypatch, tmp_path):
    path = tmp_path / "rows"
    order = runs(monkeypatch, lambda peer, n: 1.0)
    measure_workload(plan, path, silent)
    lines = path.read_text().splitlines()
    # Stopped in the second round, after its first peer.
    path.write_text("\n".join(lines[:5]) + "\n")
    order.clear()
    rows, _ = measure_workload(plan, path, silent, resume=True)
    assert order == ["ours", "theirs", "slow", "ours", "theirs"]
    assert {row.round for row in rows} == {1, 2, 3, 4}
    order.clear()
    measure_workload(plan, path, silent, resume=True)
    assert order == []


def test_what_was_missing_holds_nobody_up_when_a_part_goes_on(plan, monkeypatch, tmp_path):
    order = runs(monkeypatch, lambda peer, n: 1.0)
    there = runner.run

    def run(workload, peer, inputs, **rest):
        row = there(workload, peer, inputs, **rest)
        return dataclasses.replace(row, status="missing") if peer.name == "ours" else row

    monkeypatch.setattr(runner, "run", run)
    measure_workload(plan, tmp_path / "rows", silent)
    order.clear()
    rows, _ = measure_workload(plan, tmp_path / "rows", silent, resume=True)
    assert order == []
    assert [row.status for row in rows if row.peer == "ours"] == ["missing"]


def test_what_was_missing_once_is_tried_again_when_a_part_goes_on(plan, monkeypatch, tmp_path):
    path = tmp_path / "rows"
    runs(monkeypatch, lambda peer, n: 1.0)
    measure_workload(plan, path, silent)
    *lines, last = path.read_text().splitlines()
    path.write_text("\n".join([*lines, last.replace('"ok"', '"missing"')]) + "\n")
    rows, _ = measure_workload(plan, path, silent, resume=True)
    assert [row.status for row in rows if row.peer == "theirs"] == ["ok"] * 3


def test_rows_of_other_code_are_not_gone_on_from(plan, monkeypatch, tmp_path):
    path = tmp_path / "rows"
    order = runs(monkeypatch, lambda peer, n: 1.0)
    measure_workload(plan, path, silent)
    text = path.read_text()
    code = read(path)[1][0]["code"]
    path.write_text(text.replace(code, "0" * len(code)))
    order.clear()
    measure_workload(plan, path, silent, resume=True)
    assert len(order) == 8


def test_peers_that_answer_otherwise_are_named():
    def answered(peer, **answer):
        return Row("w", peer, 1, {}, 0, "ok", answer=answer)

    rows = [answered("a", x=1.0), answered("b", x=1.0 + 1e-12), answered("none")]
    assert disagreements(rows, 1e-9) == []
    (line,) = disagreements([*rows, answered("c", x=2.0)], 1e-9)
    assert line == "c answers otherwise than a: x: 2.0 not 1.0"
    (line,) = disagreements([*rows, answered("d", x=1.0, y=1.0)], 1e-9)
    assert "other keys" in line


def test_a_broken_line_is_named(tmp_path):
    path = tmp_path / "rows"
    append(path, Row("w", "a", 1, {}, 0, "ok"))
    path.write_text(path.read_text() + '{"workl')
    with pytest.raises(ValueError, match="line 2 is no row"):
        read(path)
