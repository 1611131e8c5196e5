"""Runs that never were: jobs simulated by the real scheduler, and what is recorded of them."""

from nbscale.graph.job import Grow
from nbscale.history.recording import Recording


def recorded(stages, rows, began=0.0, ended=10.0, workers=2, present=None, **more):
    """A recording of rows ``(stage, task, worker, start, stop)``, all of which went well."""
    made = Recording(**more)
    made.begin(began, workers, range(workers) if present is None else present, 10**9)
    made.grown(began, Grow(tuple(stages), sealed=True))
    for stage, task, worker, start, stop in rows:
        made.task(True, stage, task, worker, start, stop, 8)
    made.ended = ended
    made.outcome = "" if ended is None else "done"
    return made
