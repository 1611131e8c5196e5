"""The session of a process that runs a cell: what it wants computed, the kernel's pool computes.

::

    driver: Session.run ── run, requests ──> kernel: Session.run ── the pool
                        <── answer, values ──
            submit ─────── begin, stages ──> Session.begin
                        <── took, one value; ended ──

So there is one pool, whoever asks. What is small is computed right here.
"""

from __future__ import annotations

import itertools
import pickle
import time
from collections.abc import Callable, Sequence
from typing import Any

import cloudpickle

from nbscale import config
from nbscale.comm.line import Bulk, Line
from nbscale.engines.base import Deliver, Engine, Take, Ticket, load_engine
from nbscale.engines.failure import unpack
from nbscale.errors import EngineError
from nbscale.events import Observer, Place, user_place
from nbscale.expr.node import walk
from nbscale.graph.job import Grow, Job
from nbscale.joint import outcome_of
from nbscale.plan.jobs import PlanJob
from nbscale.record import replace
from nbscale.session import Request, RunReport, Session, fitting
from nbscale.store.codec import decode, encode
from nbscale.store.shared import offer

__all__ = ["DriverSession"]


class _Asked:
    """Something that the kernel was asked for."""

    def __init__(self, ticket: Ticket, take: Take | None = None) -> None:
        self.ticket, self.take = ticket, take
        self.answer: Any = None
        self.held: Any = None  # memory that was offered lasts as long as this does


class DriverSession(Session):
    """Sends to the kernel what is not small.

    Parameters
    ----------
    line
        To the kernel.
    """

    def __init__(self, line: Line) -> None:
        super().__init__()
        self._line = line
        self._asked: dict[int, _Asked] = {}
        self._described: dict[str, Engine] = {}
        self._questions = itertools.count(1)

    def run(
        self,
        requests: Sequence[Request],
        engine: str | None = None,
        *,
        place: Place | None = None,
        begun: Callable[[Ticket], object] | None = None,
    ) -> list[Any]:
        """Compute requests together and return their results in order."""
        if not requests:
            return []
        place = user_place() if place is None else place
        job, _ = self.plan(requests)
        fixed = engine or self._set_for(job)
        name = fixed or fitting(job)[0]
        if name != "inline":
            try:
                bulk = Bulk(encode(list(requests), cloudpickle.dumps))
            except (pickle.PicklingError, RecursionError):
                name = "inline"  # an expression too deep for pickle
        if name == "inline":
            return super().run(requests, name, place=place, begun=begun)
        number = next(self._questions)
        ticket = self._ask(number, ("run", number, fixed, place), bulk, None)
        if begun is not None:
            begun(ticket)
        asked = self._asked[number]
        try:
            ticket.wait()
        finally:
            self._asked.pop(number, None)
        results: list[Any] = asked.answer
        return results

    def _set_for(self, job: PlanJob) -> str | None:
        """The engine that is set here, if it can run the job."""
        name = config.get().engine
        if name is None or self.engine(name).capabilities.user_code:
            return name
        return None if any(node.user_code for node in walk(job.roots)) else name

    def begin(
        self,
        job: Job,
        what: str,
        reason: str,
        deliver: Deliver,
        ended: Callable[[BaseException | None], None],
        place: Place | None,
        tasks: int,
        *,
        joins: bool = False,
        open: bool = False,
    ) -> Ticket:
        """Begin a job whose stages are all known from the start."""
        step = job.step(None)
        if not isinstance(step, Grow) or not step.sealed:
            raise EngineError("what a cell begins elsewhere must be known from the start")
        record = RunReport(
            next(self._numbers),
            f"{tasks} x {what}" if joins else what,
            "kernel",
            reason,
            place,
            tasks,
            stages=1,
        )
        self.remember(record)
        began = time.monotonic()
        offers = [tuple(map(offer, stage.shared)) for stage in step.stages]
        stages = tuple(replace(stage, shared=()) for stage in step.stages)
        bulk = Bulk(encode((stages, offers), cloudpickle.dumps))
        number = next(self._questions)

        def finished(error: BaseException | None) -> None:
            self._asked.pop(number, None)
            record.seconds = time.monotonic() - began
            record.outcome = outcome_of(error)
            ended(error)

        message = ("begin", number, what, reason, place, tasks, joins, open)
        ticket = self._ask(number, message, bulk, deliver(0))
        ticket.on_finish = finished
        self._asked[number].held = step.stages
        ticket.begin()
        return ticket

    def engine(self, name: str) -> Engine:
        """One that can be asked what it can do; only ``inline`` runs anything here."""
        if name == "inline":
            return super().engine(name)
        if name not in self._described:
            self._described[name] = load_engine(name)
        return self._described[name]

    def observers(self) -> list[Observer]:
        """None: what is seen of a run is seen in the kernel."""
        return []

    def _ask(self, number: int, message: tuple[Any, ...], bulk: Bulk, take: Take | None) -> Ticket:
        ticket = Ticket(
            lambda: self._line.post(message, bulk),
            lambda: self._line.post(("cancel", number)),
        )
        self._asked[number] = _Asked(ticket, take)
        return ticket

    def hear(self, message: tuple[Any, ...], data: memoryview) -> None:
        """Take what the kernel says; on the thread that reads the line."""
        kind, number, *rest = message
        asked = self._asked.get(number)
        if asked is None:
            return  # whoever asked has left
        if kind == "took":
            assert asked.take is not None
            asked.take(rest[0], decode(data))
            return
        error = None if rest[0] is None else unpack(rest[0])
        if error is None and data:
            try:
                asked.answer = decode(data)
            except Exception as mistake:  # noqa: BLE001 - it belongs to whoever asked
                error = mistake
        asked.ticket.finish(error)
