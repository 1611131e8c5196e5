"""What a person is told of a run: the same words in the widget, in HTML and in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from nbscale.events import Place
from nbscale.notebook.state import RunState, StageState
from nbscale.record import record
from nbscale.units import counted, format_bytes, format_count, format_seconds

__all__ = ["Row", "Telling", "as_dict", "as_html", "as_line", "told"]

_FEWEST = 3
"""Tasks that must have ended before the time left is guessed."""

_NOTABLE = 1_000_000
"""Bytes below which the rate is told in tasks: small values say nothing of the work."""

_LONGEST = 160
"""Characters of a failure's message in one line."""

_MARKS = {"done": "✓", "failed": "✗", "cancelled": "■"}


@record
class Row:
    """One operation of the user's.

    Attributes
    ----------
    name, where
        What it is called, and the lines it was written on. What nbscale itself added, such as
        counting groups before they are merged, is one row without lines.
    fraction
        Of its tasks, how much is done.
    count, made
        Tasks and bytes, as text.
    """

    name: str
    where: str
    fraction: float
    count: str
    made: str


@record
class Telling:
    """A run at one moment, in words.

    Attributes
    ----------
    run
        Its number.
    outcome
        As in ``RunState``.
    title, where
        What is computed, and where the user asked for it.
    fraction
        How much is done, from 0 to 1.
    status
        The state in a word or two, such as ``"61%"`` or ``"done in 5.2 s"``.
    figures
        What else is known, most important first.
    memory, memory_fraction
        What is held of what may be held, as text and from 0 to 1; empty if nothing is known.
    rows
        The operations, in the order of the plan.
    note
        Which engine runs it, and why; and the advice.
    advice
        What would make it quicker, or ''.
    """

    run: int
    outcome: str
    title: str
    where: str
    fraction: float
    status: str
    figures: tuple[str, ...]
    memory: str
    memory_fraction: float
    rows: tuple[Row, ...]
    note: str
    advice: str = ""


def told(state: RunState, now: float) -> Telling:
    """Put the state of a run into words.

    Parameters
    ----------
    state
        The run.
    now
        Seconds of the clock that the events were stamped with.
    """
    running = state.over is None
    now = now if state.over is None else state.over
    seconds = max(0.0, now - state.began)
    rows = tuple(_rows(tuple(state.stages.values())))
    done = sum(stage.done for stage in state.stages.values())
    total = sum(stage.tasks for stage in state.stages.values())
    if state.outcome == "done":
        done = total  # news of single tasks may have been dropped
    nbytes = sum(stage.nbytes for stage in state.stages.values())
    held = state.held is not None and bool(state.budget) and running
    return Telling(
        run=state.run,
        outcome=state.outcome,
        title=state.what,
        where=_where([state.place] if state.place is not None else []),
        fraction=done / total if total else float(state.outcome == "done"),
        status=_status(state, seconds, done, total),
        figures=tuple(_figures(state, now, done, total, nbytes)),
        memory=f"{format_bytes(state.held or 0)} of {format_bytes(state.budget or 0)}"
        if held
        else "",
        memory_fraction=min(1.0, (state.held or 0) / (state.budget or 1)) if held else 0.0,
        rows=rows,
        note=f"on {state.engine}"
        + (f": {state.reason}" if state.reason else "")
        + (f" · {state.advice}" if state.advice else ""),
        advice=state.advice,
    )


def _status(state: RunState, seconds: float, done: int, total: int) -> str:
    took = format_seconds(seconds)
    match state.outcome:
        case "running":
            if state.open:
                return "running"
            return f"{int(100 * done / total)}%" if total else "planning"
        case "done":
            return f"done in {took}"
        case "cancelled":
            return f"stopped after {took}"
    said = " ".join(state.message.split())
    if len(said) > _LONGEST:
        said = said[: _LONGEST - 1] + "…"
    return f"failed after {took}" + (f": {said}" if said else "")


def _figures(state: RunState, now: float, done: int, total: int, nbytes: int) -> Iterator[str]:
    seconds = max(0.0, now - state.began)
    if state.outcome == "done":
        yield counted(total, "task")
    elif state.open:
        yield f"{counted(done, 'task')} done"
    else:
        yield f"{format_count(done)} of {counted(total, 'task')}"
    if nbytes:
        yield f"{format_bytes(nbytes)} made"
    if seconds > 0 and nbytes >= _NOTABLE:
        yield f"{format_bytes(nbytes / seconds)}/s"
    elif seconds > 0 and done:
        yield f"{done / seconds:,.3g} tasks/s"
    if state.over is None:
        if seconds >= 1:
            yield f"{format_seconds(int(seconds))} so far"
        left = None if state.open else _left(state, now)
        if left is not None:
            yield f"about {format_seconds(max(1, round(left)))} left"


def _left(state: RunState, now: float) -> float | None:
    """Seconds the rest takes if its tasks take as long as those of their stage did so far."""
    stages = state.stages.values()
    ended = sum(stage.ended for stage in stages)
    busy = sum(stage.seconds for stage in stages)
    past = state.latest - state.began
    if ended < _FEWEST or busy <= 0 or past <= 0:
        return None
    rest = sum(
        (stage.tasks - stage.done) * (stage.seconds / stage.ended if stage.ended else busy / ended)
        for stage in stages
    )
    return max(0.0, rest * past / busy - (now - state.latest))


def _rows(stages: Sequence[StageState]) -> Iterator[Row]:
    """Stages of one name, written on the same lines, are one operation: the levels of a tree."""
    groups: dict[tuple[str, tuple[Place, ...]], list[StageState]] = {}
    for stage in sorted(stages, key=lambda stage: not stage.places):
        name = stage.name if stage.places else "steps in between"
        groups.setdefault((name, stage.places), []).append(stage)
    for (name, places), members in groups.items():
        done = sum(stage.done for stage in members)
        total = sum(stage.tasks for stage in members)
        nbytes = sum(stage.nbytes for stage in members)
        count = f"{format_count(done)} of {format_count(total)}"
        made = format_bytes(nbytes) if nbytes else ""
        yield Row(name, _where(places), done / total if total else 1.0, count, made)


def _where(places: Sequence[Place]) -> str:
    """Places as text: ``cell 3, lines 1 and 2``, one part for each cell or file."""
    lines: dict[str, list[int]] = {}
    for place in places:
        file = place.file.rpartition("/")[2]
        cell = f"cell {place.cell}" if place.cell is not None else file
        lines.setdefault(cell, []).append(place.line)
    return "; ".join(f"{cell}, {_numbers(found)}" for cell, found in lines.items())


def _numbers(lines: Sequence[int]) -> str:
    found = [str(line) for line in sorted(set(lines))]
    if len(found) == 1:
        return f"line {found[0]}"
    return f"lines {', '.join(found[:-1])} and {found[-1]}"


def as_line(telling: Telling) -> str:
    """One line of text."""
    where = f" ({telling.where})" if telling.where else ""
    advice = f"; {telling.advice}" if telling.advice else ""
    return f"{telling.title}{where}: {telling.status}; {', '.join(telling.figures)}{advice}"


def as_dict(telling: Telling) -> dict[str, Any]:
    """What the widget is sent: nothing but text, numbers and lists of them."""
    names = "run outcome title where fraction status memory memory_fraction note".split()
    said: dict[str, Any] = {name: getattr(telling, name) for name in names}
    said["figures"] = list(telling.figures)
    said["rows"] = [
        {"name": r.name, "where": r.where, "fraction": r.fraction, "count": r.count, "made": r.made}
        for r in telling.rows
    ]
    return said


def as_html(telling: Telling) -> str:
    """One line that unfolds into a table, without a script: it stays in the saved notebook.

    Where style is not allowed it is still readable; whatever comes from the user is escaped.
    """
    mark = _MARKS.get(telling.outcome, "")
    colour = _COLOURS.get(telling.outcome, _DIM)
    figures = " · ".join(telling.figures)
    parts = [
        f'<span style="color:{colour}">{mark}</span>' if mark else "",
        f"<b>{escape(telling.title)}</b>",
        f'<span style="{_FAINT}">{escape(telling.where)}</span>' if telling.where else "",
        f"<span>· {escape(telling.status)}</span>",
        f'<span style="{_FAINT}">· {escape(figures)}</span>',
    ]
    if telling.advice:
        parts.append(f'<div style="margin-left:16px;{_FAINT}">{escape(telling.advice)}</div>')
    summary = " ".join(part for part in parts if part)
    rows = "".join(
        f'<tr><td style="{_LEFT}">{escape(row.name)}</td>'
        f'<td style="{_LEFT}{_FAINT}">{escape(row.where)}</td>'
        f"<td>{escape(row.count)}</td><td>{escape(row.made)}</td></tr>"
        for row in telling.rows
    )
    return (
        f'<details style="{_BOX}"><summary style="cursor:pointer">{summary}</summary>'
        f'<table style="margin:4px 0 4px 16px"><thead><tr><th style="{_LEFT}">operation</th>'
        f'<th style="{_LEFT}">where</th><th>tasks</th><th>made</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
        f'<div style="margin-left:16px;{_FAINT}">{escape(telling.note)}</div></details>'
    )


_DIM = "var(--jp-ui-font-color2, #666)"
_FAINT = f"color:{_DIM};"
_LEFT = "text-align:left;"
_BOX = (
    "font-family:var(--jp-ui-font-family, sans-serif);"
    "font-size:var(--jp-ui-font-size1, 13px);line-height:1.6;"
)
_COLOURS = {
    "done": "var(--jp-success-color1, #2e7d32)",
    "failed": "var(--jp-error-color1, #c62828)",
    "cancelled": "var(--jp-warn-color1, #b26a00)",
}
