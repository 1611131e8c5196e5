"""The story of a run and of a task, in words: where and when, what again and why, what it waits for."""

from __future__ import annotations

from nbscale.graph.stage import Stage
from nbscale.history.recording import FREE, MEMORY, Recording, Row
from nbscale.units import counted, format_bytes, format_count, format_seconds

__all__ = ["run_story", "task_story"]

_MOST_LINES = 12


def run_story(recording: Recording) -> list[str]:
    """What a run did stage by stage, what went wrong, and what it waits for if it goes on."""
    rows: dict[int, list[Row]] = {}
    for row in recording.rows():
        rows.setdefault(row.stage, []).append(row)
    lines = [
        _stage_line(recording, stage, rows.get(n, [])) for n, stage in recording.stages.items()
    ]
    lines = _shortened(lines, "more stages")
    if recording.withdrawn:
        gone = ", ".join(map(str, sorted(recording.withdrawn)))
        lines.append(
            f"planned again: stages {gone} were taken back, since what was read did not fit the plan"
        )
    lines += _shortened(
        [
            f"run again: task {loss.task} of stage {loss.stage}, at {_at(recording, loss.time)}: "
            f"worker {loss.worker} ended {loss.cause}"
            for loss in recording.losses
        ],
        "more tasks run again",
    )
    lines += _again(recording, rows)
    if recording.failed is not None:
        stage, task = recording.failed
        lines.append(f"ended by task {task} of stage {stage}, {_name(recording, stage)}")
    if recording.ended is None:
        lines += _waits(recording, rows)
    return lines


def _stage_line(recording: Recording, stage: Stage, rows: list[Row]) -> str:
    head = f"stage {stage.number}: {stage.name}"
    if not rows:
        return f"{head}: 0 of {counted(stage.n_tasks, 'task')} ended"
    done = len({row.task for row in rows if row.ok})
    workers = sorted({row.worker for row in rows})
    first, last = min(row.start for row in rows), max(row.stop for row in rows)
    slowest = max(rows, key=lambda row: row.stop - row.start)
    on = f"worker {workers[0]}" if len(workers) == 1 else counted(len(workers), "worker")
    return (
        f"{head}: {format_count(done)} of {counted(stage.n_tasks, 'task')} on {on}, from "
        f"{_at(recording, first)} to {_at(recording, last)}, "
        f"{format_seconds(sum(row.stop - row.start for row in rows))} in all, the longest "
        f"{format_seconds(slowest.stop - slowest.start)} (task {slowest.task})"
    )


def _again(recording: Recording, rows: dict[int, list[Row]]) -> list[str]:
    """Values that were made more than once, which no lost worker explains."""
    lost = {(loss.stage, loss.task) for loss in recording.losses}
    lines = []
    for number, some in rows.items():
        seen: set[int] = set()
        twice: set[int] = set()
        for row in some:
            if row.ok:
                (twice if row.task in seen else seen).add(row.task)
        twice -= {task for stage, task in lost if stage == number}
        if twice:
            lines.append(
                f"made again: {format_count(len(twice))} values of stage {number}, which had left "
                "memory or were given to two workers"
            )
    return lines


def _waits(recording: Recording, rows: dict[int, list[Row]]) -> list[str]:
    """What a run that goes on waits for."""
    done = {n: {row.task for row in some if row.ok} for n, some in rows.items()}
    open_ones = [
        (n, stage)
        for n, stage in recording.stages.items()
        if n not in recording.withdrawn and len(done.get(n, ())) < stage.n_tasks
    ]
    if not recording.stages or not open_ones:
        return ["now: every stage there is has ended; what follows is being decided or delivered"]
    lines = []
    state = recording.marks[-1][1] if recording.marks else FREE
    if state == MEMORY:
        lines.append("now: tasks are ready, but wait for memory")
    elif state != FREE:
        lines.append("now: tasks wait for values on their way to or from disk")
    here: set[int] = set()
    for _, worker, came in recording.present:
        (here.add if came else here.discard)(worker)
    if not here:
        lines.append("now: it waits for the first worker to be there")
    for number, stage in open_ones[:3]:
        waits = [
            f"stage {edge.producer} ({len(done.get(edge.producer, ())):,} of "
            f"{recording.stages[edge.producer].n_tasks:,} values made)"
            for edge in stage.edges
            if edge.producer in recording.stages
            and edge.producer != number
            and len(done.get(edge.producer, ())) < recording.stages[edge.producer].n_tasks
        ]
        left = stage.n_tasks - len(done.get(number, ()))
        behind = " and ".join(dict.fromkeys(waits))
        lines.append(
            f"now: {counted(left, 'task')} of stage {number}, {stage.name}, "
            + (f"wait for {behind}" if behind else "run or wait for a worker")
        )
    return lines


def task_story(recording: Recording, stage: int, task: int, *, raised: bool = False) -> list[str]:
    """When and where a task ran, how often, and what it waits for if it has not.

    ``raised``: what it gave is an error.
    """
    lines = [
        f"worker {loss.worker} ended {loss.cause} while it ran it, at {_at(recording, loss.time)}"
        for loss in recording.losses
        if (loss.stage, loss.task) == (stage, task)
    ]
    rows = [row for row in recording.rows() if (row.stage, row.task) == (stage, task)]
    for row in rows:
        took = format_seconds(row.stop - row.start)
        ending = f"gave {format_bytes(row.nbytes)}" if row.ok and not raised else "raised an error"
        lines.append(
            f"ran on worker {row.worker}, from {_at(recording, row.start)} on, for {took}, and "
            f"{ending}"
        )
    if not rows and recording.ended is None:
        ended = len({row.task for row in recording.rows() if row.stage == stage and row.ok})
        n = recording.stages[stage].n_tasks if stage in recording.stages else 0
        lines.append(f"has not ended; {ended:,} of the {n:,} that were given out with it have")
    elif not rows:
        lines.append("did not run to its end")
    return lines


def _name(recording: Recording, stage: int) -> str:
    return recording.stages[stage].name if stage in recording.stages else f"stage {stage}"


def _at(recording: Recording, time: float) -> str:
    """A time as what had passed of the run."""
    return f"+{format_seconds(max(0.0, time - recording.began))}"


def _shortened(lines: list[str], what: str) -> list[str]:
    if len(lines) <= _MOST_LINES:
        return lines
    half = _MOST_LINES // 2
    return [*lines[:half], f"... {len(lines) - 2 * half} {what} ...", *lines[-half:]]
