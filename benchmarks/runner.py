"""Rounds: the peers of a workload in turn, A B C A B C, until the gates have their answer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gates import Judgement, judge
from benchmarks.measure import environment, run, set_up
from benchmarks.registry import Gate, Peer, Workload
from benchmarks.rows import Row, append, comparable, machine, read

__all__ = ["Plan", "disagreements", "measure_workload"]

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """How a workload is to be run.

    Attributes
    ----------
    pairs
        Rounds at least.
    cap
        Rounds at most, when a gate has no result yet.
    gated
        Whether gates ask for more rounds.
    timeout
        Seconds after which a run is stopped.
    """

    workload: Workload
    options: dict[str, int]
    peers: tuple[Peer, ...]
    pairs: int
    cap: int
    gated: bool
    timeout: float = 600

    def gates_here(self) -> list[Gate]:
        """Gates both of whose sides are run."""
        names = {peer.name for peer in self.peers}
        return [g for g in self.workload.gates if {g.peer, g.baseline or g.peer} <= names]


def measure_workload(
    plan: Plan, path: Path, say: Say, *, resume: bool = False
) -> tuple[list[Row], list[Judgement]]:
    """Run the rounds, append a row to ``path`` after each run, and judge the gates.

    Parameters
    ----------
    resume
        Go on from rows with the same options that are in the file already.
    """
    old, records = read(path)
    here = machine(len(records), environment(path=True)[1])
    rows = _continued(plan, old, records, here) if resume else []
    number = max((row.round for row in old), default=0)
    done = _rounds(plan, rows)
    if not _wanted(plan, rows, done):
        return rows, _judged(plan, rows)
    inputs = set_up(plan.workload, plan.options)
    append(path, here)
    while peers := _wanted(plan, rows, done):
        number += 1
        for peer in peers:
            row = run(
                plan.workload,
                peer,
                {**inputs, "round": number},
                options=plan.options,
                number=number,
                session=len(records),
                timeout=plan.timeout,
            )
            append(path, row)
            rows.append(row)
            say(_line(row, done + 1))
        done += 1
    return rows, _judged(plan, rows)


def _continued(
    plan: Plan, old: Sequence[Row], records: Sequence[dict[str, Any]], here: dict[str, Any]
) -> list[Row]:
    """Rows to go on from: this workload with these options, done well on this very ground.

    A peer that was missing from the first is missing still, and not asked for again.
    """
    kept = [
        row
        for row in old
        if row.workload == plan.workload.name
        and row.options == plan.options
        and row.status in {"ok", "missing"}
        and comparable(records[row.session], here)
    ]
    able = {row.peer for row in kept if row.status == "ok"}
    return [row for row in kept if row.status == "ok" or row.peer not in able]


def _rounds(plan: Plan, rows: Sequence[Row]) -> int:
    """Whole rounds done: a round that was cut short is run anew."""
    broken = {row.peer for row in rows if row.status != "ok"}
    lasting = [p.name for p in plan.peers if p.most is None and p.name not in broken]
    runs = [sum(row.peer == name for row in rows) for name in lasting]
    return min(runs, default=0)


def _judged(plan: Plan, rows: Sequence[Row]) -> list[Judgement]:
    return [judge(gate, rows) for gate in plan.gates_here()]


def _wanted(plan: Plan, rows: Sequence[Row], done: int) -> list[Peer]:
    """Peers of the next round: all at first, then those whose gates have no result yet."""
    runs = {peer.name: 0 for peer in plan.peers}
    broken = {row.peer for row in rows if row.status != "ok"}
    for row in rows:
        runs[row.peer] = runs.get(row.peer, 0) + 1
    able = [
        peer
        for peer in plan.peers
        if peer.name not in broken and (peer.most is None or runs[peer.name] < peer.most)
    ]
    if done < plan.pairs:
        return able
    if not plan.gated or done >= plan.cap:
        return []
    names: set[str] = set()
    for judgement in _judged(plan, rows):
        sides = {judgement.gate.peer, judgement.gate.baseline or judgement.gate.peer}
        if judgement.verdict == "no result" and not sides & broken:
            names |= sides
    return [peer for peer in able if peer.name in names]


def _line(row: Row, count: int) -> str:
    if row.status != "ok":
        return f"  {count:>3}  {row.peer:<24} {row.status}: {row.error}"
    m = row.measures
    peak = f"   peak {m['peak_mb']:8.1f} MB" if "peak_mb" in m else ""
    return f"  {count:>3}  {row.peer:<24} wall {m['wall_s']:9.4f} s   CPU {m['cpu_s']:8.3f} s{peak}"


def disagreements(rows: Sequence[Row], tolerance: float) -> list[str]:
    """Name the peers whose answers differ from the first one's: they did another job."""
    found: dict[str, str] = {}
    first = next((row for row in rows if row.answer), None)
    for row in rows:
        if first is None or not row.answer or row.peer in found:
            continue
        keys = first.answer.keys() & row.answer.keys()
        wrong = [
            key
            for key in sorted(keys)
            if not math.isclose(first.answer[key], row.answer[key], rel_tol=tolerance)
        ]
        if wrong or first.answer.keys() != row.answer.keys():
            shown = ", ".join(f"{k}: {row.answer[k]!r} not {first.answer[k]!r}" for k in wrong[:3])
            found[row.peer] = f"{row.peer} answers otherwise than {first.peer}: " + (
                shown or "other keys"
            )
    return list(found.values())
