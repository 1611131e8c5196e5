"""The kernel's side of what the process of a cell asks for: see ``client``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import cloudpickle

from nbscale.comm.line import Bulk, Line
from nbscale.engines.base import Ticket
from nbscale.engines.failure import pack
from nbscale.events import Place
from nbscale.graph.job import Sealed
from nbscale.record import replace
from nbscale.session import current
from nbscale.store.codec import decode, encode
from nbscale.store.shared import accept

__all__ = ["Serving"]


class Serving:
    """Runs that one process has asked for.

    Each is waited for by a thread of its own, so the cell's output goes on meanwhile.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._lock = threading.Lock()
        self._tickets: dict[int, Ticket | None] = {}
        self._cancelled: set[int] = set()
        self._over = False

    def hear(self, message: tuple[Any, ...], data: memoryview) -> bool:
        """Do what a message asks for; False if it asks for nothing of ours."""
        kind, number, *rest = message
        if kind == "cancel":
            self._cancel(number)
        elif kind in {"run", "begin"}:
            self._tickets[number] = None
            work = self._run if kind == "run" else self._begin
            threading.Thread(
                target=self._do, args=(work, number, rest, data), name="nbscale-cell", daemon=True
            ).start()
        else:
            return False
        return True

    def stop(self) -> None:
        """Stop all that goes on, and whatever is still asked for."""
        self._over = True
        for number in list(self._tickets):
            self._cancel(number)

    def _cancel(self, number: int) -> None:
        with self._lock:
            self._cancelled.add(number)
            ticket = self._tickets.get(number)
        if ticket is not None:
            ticket.cancel()

    def _begun(self, number: int, ticket: Ticket) -> None:
        with self._lock:
            self._tickets[number] = ticket
            cancelled = self._over or number in self._cancelled
        if cancelled:
            ticket.cancel()

    def _do(
        self, work: Callable[[int, list[Any], memoryview], None], number: int, rest: Any, data: Any
    ) -> None:
        try:
            work(number, rest, data)
        except BaseException as error:  # noqa: BLE001 - whatever it is, who asked is told
            self._ended(number, error)

    def _run(self, number: int, rest: list[Any], data: memoryview) -> None:
        engine, place = rest
        results = current().run(
            decode(data), engine, place=place, begun=lambda ticket: self._begun(number, ticket)
        )
        bulk = Bulk(encode(results, cloudpickle.dumps))
        self._tickets.pop(number, None)
        self._line.post(("answer", number, None), bulk)

    def _begin(self, number: int, rest: list[Any], data: memoryview) -> None:
        what, reason, place, tasks, joins, more = rest
        assert place is None or isinstance(place, Place)

        def take(index: tuple[int, ...], value: Any) -> None:
            self._line.post(("took", number, index), Bulk(encode(value, cloudpickle.dumps)))

        stages, offers = decode(data)
        job = Sealed(
            tuple(
                replace(stage, shared=tuple(map(accept, some)))
                for stage, some in zip(stages, offers, strict=True)
            )
        )
        ticket = current().begin(
            job, what, reason, lambda _: take,
            lambda error: self._ended(number, error), place, tasks, joins=joins, open=more,
        )  # fmt: skip
        self._begun(number, ticket)

    def _ended(self, number: int, error: BaseException | None) -> None:
        self._tickets.pop(number, None)
        self._line.post(("ended", number, None if error is None else pack(error)))
