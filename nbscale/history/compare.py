"""What was estimated of each stage of a run, beside what it was."""

from __future__ import annotations

from collections.abc import Mapping

from nbscale.history.recording import Recording
from nbscale.plan.estimate import Estimate
from nbscale.units import format_bytes, format_count, format_seconds

__all__ = ["compared"]


def compared(recording: Recording, estimates: Mapping[str, Estimate]) -> str:
    """A line for each stage: tasks, bytes and seconds, as estimated and as they were.

    Parameters
    ----------
    recording
        What the run did.
    estimates
        By the keys of nodes, over all their partitions.
    """
    tasks: dict[int, set[int]] = {}
    seconds: dict[int, float] = {}
    nbytes: dict[int, int] = {}
    for row in recording.rows():
        seconds[row.stage] = seconds.get(row.stage, 0.0) + row.stop - row.start
        done = tasks.setdefault(row.stage, set())
        if row.ok and row.task not in done:
            done.add(row.task)
            nbytes[row.stage] = nbytes.get(row.stage, 0) + row.nbytes
    lines = [("stage", "tasks", "bytes: estimated", "were", "seconds: estimated", "were")]
    for number, stage in recording.stages.items():
        known = [estimates[key] for key in stage.keys if key in estimates]
        guess = estimates.get(stage.value_of)
        size = None if guess is None else guess.nbytes
        times = [e.seconds for e in known if e.seconds is not None]
        gone = "  (withdrawn)" if number in recording.withdrawn else ""
        lines.append(
            (
                f"{number}: {stage.name}{gone}",
                format_count(stage.n_tasks),
                "?" if size is None else "~" + format_bytes(size),
                format_bytes(nbytes.get(number, 0)),
                "?" if not times else "~" + format_seconds(sum(times)),
                format_seconds(seconds.get(number, 0.0)),
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            [
                line[0].ljust(widths[0]),
                *(t.rjust(w) for t, w in zip(line[1:], widths[1:], strict=True)),
            ]
        )
        for line in lines
    )
