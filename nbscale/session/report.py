"""What ``ns.runs()`` tells of a run."""

from __future__ import annotations

import dataclasses
import time

from nbscale.events import Place
from nbscale.history.account import Account, account_of
from nbscale.history.advice import advice
from nbscale.history.recording import Recording
from nbscale.history.replay import Prediction, what_if
from nbscale.units import counted, parse_bytes

__all__ = ["MOST_TASKS", "RunReport"]

MOST_TASKS = 100_000
"""Tasks of which is kept what they did, over all runs; those of the last run are kept in any case."""


@dataclasses.dataclass(slots=True)
class RunReport:
    """What ``ns.runs()`` tells of a run. ``seconds`` is wall time; None while it runs."""

    run: int
    what: str
    engine: str
    reason: str
    place: Place | None
    tasks: int = 0
    stages: int = 0
    seconds: float | None = None
    outcome: str = "running"
    recording: Recording | None = dataclasses.field(default=None, repr=False)
    keys: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    beside: list[Recording] = dataclasses.field(default_factory=list, repr=False)

    @property
    def account(self) -> Account:
        """Where the time of all workers went, to 100 %, and to which of your lines.

        Raises
        ------
        ValueError
            If the run is not over, or what it did is not recorded any more.
        """
        return account_of(self.recorded(), self.beside)

    @property
    def advice(self) -> str:
        """What would have made the run quicker, in one line; '' if there is nothing to say."""
        if self.recording is None:
            return ""
        return advice(self.recording, self.engine, time.monotonic())

    def what_if(self, workers: int | None = None, memory: float | str | None = None) -> Prediction:
        """Say how long the run would have taken with other workers or memory, and why.

        The real scheduler is given the run again, in a world where each task takes what it took.

        Parameters
        ----------
        workers
            How many; by default as many as there were.
        memory
            What the work may use, such as ``"8 GB"``; by default what it might.

        Raises
        ------
        ValueError
            If the run did not do all its tasks, or what it did is not recorded any more.

        Notes
        -----
        Costs some 50 us a task. That tasks disturb one another, in caches and on disks, it cannot know.

        Examples
        --------
        >>> import nbscale as ns, nbscale.array as na
        >>> na.arange(10, chunks=1).sum().compute()
        np.int64(45)
        >>> print(ns.runs()[-1].what_if(workers=4))
        4 workers, ...
        """
        limit = None if memory is None else parse_bytes(memory)
        return what_if(self.recorded(), workers, limit)

    def recorded(self) -> Recording:
        """What the run did, task by task.

        Raises
        ------
        ValueError
            If it is not recorded any more.
        """
        if self.recording is None:
            raise ValueError(
                f"what run {self.run} did is not recorded: only the last {MOST_TASKS:,} tasks are"
            )
        return self.recording

    def __str__(self) -> str:
        took = "" if self.seconds is None else f" in {self.seconds:.3g} s"
        where = f" ({self.place})" if self.place is not None else ""
        return (
            f"run {self.run}: {self.what}{where}: {self.outcome}{took}, {counted(self.tasks, 'task')} in "
            f"{counted(self.stages, 'stage')}, on {self.engine}: {self.reason}"
        )
