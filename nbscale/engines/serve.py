"""A run whose tasks are run by the thread that waits for it: ``inline``, and work inside work.

Every such run has a machine of its own, so a task that computes something waits for nobody.
"""

from __future__ import annotations

from collections.abc import Sequence

from nbscale.engines import limits, loop
from nbscale.engines.base import Deliver, RunInfo, Ticket, deadline
from nbscale.engines.desk import Station, depth, work_off
from nbscale.engines.hands import KernelDriver
from nbscale.engines.news import wire
from nbscale.engines.running import Running
from nbscale.events import Observer
from nbscale.graph.job import Job
from nbscale.store.base import KernelStore

__all__ = ["serve"]


class _Served(Ticket):
    """Runs the tasks itself while it is waited for."""

    by_waiter = True

    def __init__(
        self, engine: str, job: Job, info: RunInfo, deliver: Deliver, observers: Sequence[Observer]
    ) -> None:
        super().__init__(self._open, self._stop)
        self._reply = job.step(None)
        # Work inside work shares the budget: what is outside it still holds memory.
        self._driver = KernelDriver(
            loop.shared(),
            limits.budget() >> depth(),
            workers=1,
            store=KernelStore(),
            ended=self._end,
        )
        self._run = Running(job, info, deliver, wire(observers), engine, self)

    def _open(self) -> None:
        self._driver.open(self._run, self._reply)

    def _stop(self) -> None:
        self._driver.cancel(self._run)

    def _end(self) -> None:
        self._driver.desk.items.put(None)

    def _stay(self, timeout: float | None) -> bool:
        ended = work_off(self._driver.desk, Station(), deadline(timeout), interruptible=True)
        if ended:
            self._end()  # for another thread that waits for this run
        return ended

    def _leave(self) -> None:
        # This thread has left its task, and there is no other.
        self.begin()
        self._driver.desert(self._run)
        self.settle(self.patience)


def serve(
    engine: str, job: Job, info: RunInfo, deliver: Deliver, observers: Sequence[Observer]
) -> Ticket:
    """Return a ticket whose wait runs the tasks of a job in the waiting thread."""
    return _Served(engine, job, info, deliver, observers)
