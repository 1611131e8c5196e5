"""A drawing of a plan: its stages as boxes, its edges as lines, as SVG text. No graphviz."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from nbscale.graph.stage import Stage
from nbscale.plan.jobs import PlanJob
from nbscale.record import record

__all__ = ["Drawing", "draw"]

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 200, 44, 28, 46


@record
class Drawing:
    """SVG text that shows itself in a notebook."""

    svg: str

    def _repr_svg_(self) -> str:
        return self.svg

    def __str__(self) -> str:
        return self.svg

    def save(self, filename: str | Path) -> None:
        """Write the SVG text to a file."""
        Path(filename).write_text(self.svg, encoding="utf-8")


def draw(job: PlanJob) -> Drawing:
    """Draw the first stages of a job: all of them, unless something must be computed to know."""
    job.step(None)
    return Drawing(svg_of(job.stages, partial=not job.sealed))


def svg_of(stages: Sequence[Stage], *, partial: bool = False) -> str:
    """Lay the stages out in layers, sources on top, and write them as SVG.

    Everything that comes from the user (names) is escaped.
    """
    level: dict[int, int] = {}
    for stage in stages:
        producers = [e.producer for e in stage.edges if e.producer != stage.number]
        level[stage.number] = max((level[p] + 1 for p in producers), default=0)
    rows: dict[int, list[Stage]] = {}
    for stage in stages:
        rows.setdefault(level[stage.number], []).append(stage)
    at: dict[int, tuple[int, int]] = {}
    widest = max((len(row) for row in rows.values()), default=1)
    for depth, row in rows.items():
        indent = (widest - len(row)) * (_WIDTH + _GAP_X) // 2
        for i, stage in enumerate(row):
            at[stage.number] = (
                10 + indent + i * (_WIDTH + _GAP_X),
                10 + depth * (_HEIGHT + _GAP_Y),
            )
    width = 20 + widest * (_WIDTH + _GAP_X) - _GAP_X
    height = 20 + len(rows) * (_HEIGHT + _GAP_Y) - _GAP_Y + (20 if partial else 0)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">'
        )
    ]
    parts += [_line(at, stage, e.producer) for stage in stages for e in stage.edges]
    parts += [_box(at[stage.number], stage) for stage in stages]
    if partial:
        parts.append(
            f'<text x="10" y="{height - 6}" fill="#666">more stages follow: these decide</text>'
        )
    parts.append("</svg>")
    return "".join(parts)


def _line(at: dict[int, tuple[int, int]], stage: Stage, producer: int) -> str:
    if producer == stage.number:
        return ""
    (x1, y1), (x2, y2) = at[producer], at[stage.number]
    return (
        f'<line x1="{x1 + _WIDTH // 2}" y1="{y1 + _HEIGHT}" x2="{x2 + _WIDTH // 2}" y2="{y2}" '
        'stroke="#888" stroke-width="1.5"/>'
    )


def _box(where: tuple[int, int], stage: Stage) -> str:
    x, y = where
    name = stage.name if len(stage.name) <= 28 else stage.name[:26] + "…"
    fill = "#dcefdc" if stage.result is not None else "#e8eef7"
    n = stage.n_tasks
    tasks = f"{n:,} task{'s' if n != 1 else ''}"
    places = "; ".join(map(str, stage.places[:3]))
    title = f"{stage.name}\n{tasks}\n{places}"
    return (
        f"<g><title>{html.escape(title)}</title>"
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="{fill}" '
        'stroke="#567"/>'
        f'<text x="{x + _WIDTH // 2}" y="{y + 19}" text-anchor="middle" fill="#222">'
        f"{html.escape(name)}</text>"
        f'<text x="{x + _WIDTH // 2}" y="{y + 35}" text-anchor="middle" fill="#666" '
        f'font-size="10">{tasks}</text></g>'
    )
