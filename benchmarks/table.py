"""The table of a workload: medians and intervals, and ratios taken within rounds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.registry import Workload
from benchmarks.rows import Row
from benchmarks.stats import median_interval, ratios

__all__ = ["table"]

_USUAL = ("wall_s", "cpu_s", "peak_mb", "grown_mb", "peak_pss_mb")


def table(workload: Workload, rows: Sequence[Row]) -> str:
    """Return a Markdown table, a line a peer, the best first.

    The ratio is of the workload's measure, most often wall seconds, to the reference peer's in the
    same round, with the interval of its median where there are enough rounds for one.
    """
    good = [row for row in rows if row.status == "ok"]
    by_peer: dict[str, list[Row]] = {}
    for row in good:
        by_peer.setdefault(row.peer, []).append(row)
    chief = workload.measure
    extra = sorted({name for row in good for name in row.measures} - {chief, *_USUAL})
    title = "wall s" if chief == "wall_s" else chief
    head = ["peer", "runs", title, f"to {workload.reference}", "CPU s", "peak MB", *extra]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    base = {row.round: row.measures[chief] for row in by_peer.get(workload.reference, [])}
    order = sorted(by_peer, key=lambda name: _median(by_peer[name], chief) or 0.0)
    for name in order:
        found = by_peer[name]
        both = [row for row in found if row.round in base]
        cells = [
            name,
            str(len(found)),
            _number(_median(found, chief)),
            _ratio([r.measures[chief] for r in both], [base[r.round] for r in both]),
            *(_number(_median(found, m)) for m in ("cpu_s", "peak_mb", *extra)),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [f"\n{row.peer}: {row.status}: {row.error}" for row in rows if row.status != "ok"]
    return "\n".join(lines)


def _median(rows: Sequence[Row], measure: str) -> float | None:
    values = [row.measures[measure] for row in rows if measure in row.measures]
    return statistics.median(values) if values else None


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _ratio(above: Sequence[float], below: Sequence[float]) -> str:
    if not above:
        return ""
    return str(median_interval(ratios(above, below)))
