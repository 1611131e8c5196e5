"""Judging a gate from rows: it fails only when there is no doubt, and doubt asks for more pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal, TypeAlias

from benchmarks.registry import Gate
from benchmarks.rows import Row
from benchmarks.stats import Interval, median_interval, ratios

__all__ = ["FEWEST_PAIRS", "WIDEST", "Judgement", "Verdict", "judge", "pairs_of"]

FEWEST_PAIRS = 9
WIDEST = 0.20
"""The widest interval, as a share of its median, that is a result. A gate without a baseline is
against a fixed budget: there it is the share of the limit."""

Verdict: TypeAlias = Literal["holds", "undecided", "fails", "no result"]


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """What the pairs say of a gate.

    ``verdict`` is ``"fails"`` only if the whole interval is beyond the limit, ``"holds"`` if the
    whole interval is within it, ``"undecided"`` (which fails nothing) if the limit lies inside,
    and ``"no result"`` if there are too few pairs or they scatter too widely.
    """

    gate: Gate
    verdict: Verdict
    interval: Interval | None
    why: str

    def __str__(self) -> str:
        found = "" if self.interval is None else f" {self.interval} of {self.interval.n} pairs"
        why = f" ({self.why})" if self.why else ""
        return f"{self.verdict:<9}  {self.gate}:{found}{why}"


def pairs_of(gate: Gate, rows: Sequence[Row]) -> list[float]:
    """The gate's ratio of every round in which both sides have the measure."""
    above = _by_round(rows, gate.peer, gate.measure)
    if gate.baseline is None:
        return ratios(list(above.values()), None, gate.allowance)
    below = _by_round(rows, gate.baseline, gate.measure)
    both = [r for r in above if r in below]
    return ratios([above[r] for r in both], [below[r] for r in both], gate.allowance)


def _by_round(rows: Sequence[Row], peer: str, measure: str) -> dict[int, float]:
    return {
        row.round: row.measures[measure]
        for row in rows
        if row.peer == peer and row.status == "ok" and measure in row.measures
    }


def judge(gate: Gate, rows: Sequence[Row]) -> Judgement:
    """Judge a gate by the rows of one workload with one set of options."""
    for name in (gate.peer, gate.baseline):
        broken = next((r for r in rows if r.peer == name and r.status != "ok"), None)
        if broken is not None:
            return Judgement(gate, "no result", None, f"{name} {broken.status}: {broken.error}")
    found = pairs_of(gate, rows)
    if not found:
        return Judgement(gate, "no result", None, "no pairs")
    interval = median_interval(found)
    if gate.every:
        worst = max(found)
        verdict: Verdict = "holds" if worst <= gate.limit else "fails"
        return Judgement(gate, verdict, interval, f"the most is {worst:.3g}")
    if interval.n < FEWEST_PAIRS:
        return Judgement(gate, "no result", interval, f"fewer than {FEWEST_PAIRS} pairs")
    # A share of a fixed budget needs no precision far below that budget.
    whole = "median" if gate.baseline is not None else "limit"
    share = interval.share(interval.median if gate.baseline is not None else gate.limit)
    if share > WIDEST:
        why = f"the interval is {share:.0%} of the {whole} wide"
        return Judgement(gate, "no result", interval, why)
    if interval.low > gate.limit:
        return Judgement(gate, "fails", interval, "")
    if interval.high <= gate.limit:
        return Judgement(gate, "holds", interval, "")
    return Judgement(gate, "undecided", interval, "the limit lies inside the interval")
