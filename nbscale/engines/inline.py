"""The engine ``inline``: one task at a time, in the thread that waits for the run.

The reference and the debugger: a breakpoint in a function stops where the user is, and a function
that itself computes something runs that inside its own task. The scheduler stays on the loop's
thread, so an interrupt can only hit the user's code or the wait for the next task.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbscale.engines.base import Capabilities, Deliver, Engine, RunInfo, Ticket, forbid_here
from nbscale.engines.serve import serve
from nbscale.errors import EngineError
from nbscale.events import Observer
from nbscale.graph.job import Job
from nbscale.store.base import KernelStore, Ref

__all__ = ["InlineEngine"]


class InlineEngine(Engine):
    """Runs tasks one after the other in the thread that waits.

    A run goes on only while it is waited for. Some 15 us a task; nothing is started but the loop's
    thread.
    """

    name = "inline"
    capabilities = Capabilities(user_code=True, parallel=False, processes=False)

    def __init__(self) -> None:
        self._store = KernelStore()

    def start(self) -> None:
        """Do nothing: there is nothing to start."""

    def close(self) -> None:
        """Drop what was put."""
        self._store.clear()

    def put(self, value: Any) -> Ref:
        return self._store.put(value)

    def get(self, ref: Ref) -> Any:
        return self._store.get(ref)

    def run(
        self, job: Job, *, info: RunInfo, deliver: Deliver, observers: Sequence[Observer] = ()
    ) -> Ticket:
        forbid_here()
        return serve(self.name, job, info, deliver, observers)

    def scale(self, n: int) -> None:
        if n != 1:
            raise EngineError(
                f"the engine 'inline' runs one task at a time, not {n}; use engine='threads'"
            )
