"""Tasks that failed: what is needed to run one once more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nbscale.errors import TaskMemoryError, WorkerLost, users_frames
from nbscale.graph.stage import Stage
from nbscale.record import record

__all__ = ["Failed"]


@record
class Failed:
    """What is needed to run a task that failed once more.

    Attributes
    ----------
    stages
        Those of its run, by number.
    stage, task
        The task.
    notes
        Those of its error.
    line
        File and line of the user's at which it was raised; None if in no function of hers.
    fatal
        The name of the error if it has cost the worker, else ''.
    """

    stages: Mapping[int, Stage]
    stage: int
    task: int
    notes: tuple[str, ...]
    line: tuple[str, int] | None
    fatal: str

    @classmethod
    def of(cls, stages: Iterable[Stage], stage: int, task: int, error: BaseException) -> Failed:
        """Keep of an error what does not hold on to the values that were there."""
        trace = users_frames(error, below=True)
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        line = None if trace is None else (trace.tb_frame.f_code.co_filename, trace.tb_lineno)
        fatal = type(error).__name__ if isinstance(error, (WorkerLost, TaskMemoryError)) else ""
        notes = tuple(getattr(error, "__notes__", ()))
        return cls({one.number: one for one in stages}, stage, task, notes, line, fatal)
