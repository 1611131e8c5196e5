"""Batches: calls that wait to be sent, and travel together.

A batch is handed over when it holds 256 calls, after a millisecond, or when somebody waits: what a
call costs is decided by how many travel together.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from nbscale.engines.base import Ticket
from nbscale.engines.failure import unpack
from nbscale.errors import RunCancelled
from nbscale.events import Place, user_place
from nbscale.expr.function import Function
from nbscale.futures.arguments import captured
from nbscale.futures.calls import Calls, OneCall, Outcome, failed
from nbscale.futures.clerk import AFTER, clerk
from nbscale.futures.future import Future
from nbscale.graph.job import Sealed
from nbscale.graph.stage import Program, Stage, Step
from nbscale.session import Failed, current

__all__ = ["desk"]

_MOST = 256
"""Calls of a batch."""


class _Batch:
    """Calls that travel together."""

    def __init__(self) -> None:
        self.futures: list[Future] = []
        self.calls: list[tuple[Function, Any]] = []
        self.captured: dict[int, tuple[Any, Function]] = {}
        self.place: Place | None = None
        self.open = False  # more of the kind are to be expected
        self.due = time.monotonic() + AFTER
        self.ticket: Ticket | None = None
        self._lock = threading.Lock()

    def add(self, future: Future, function: Function, arguments: Any) -> None:
        """Put a call into it."""
        future.what = function.name
        self.calls.append((function, arguments))
        self.futures.append(future)
        future.batch = self

    def go(self) -> None:
        """Hand it over; does nothing if it was."""
        desk.close(self)
        with self._lock:
            if self.ticket is not None:
                return
            wanted = [i for i, future in enumerate(self.futures) if not future.done()]
            if len(wanted) < len(self.calls):
                self.futures = [self.futures[i] for i in wanted]
                self.calls = [self.calls[i] for i in wanted]
            if not wanted:
                return
            names = dict.fromkeys(function.name for function, _ in self.calls)
            shared = dict.fromkeys(
                memory
                for function, arguments in self.calls
                for holder in (function, arguments)
                if type(holder) is not tuple
                for memory in holder.memories
            )
            name = next(iter(names)) + (" and others" if len(names) > 1 else "")
            n = len(self.calls)
            step = Step(Calls(tuple(self.calls), self.place), (), (0,), name, self.place)
            stage = Stage(
                0, name, (range(n),), (n,), Program.of(0, [step]), (), result=0, gil_free=False,
                user_code=True, places=() if self.place is None else (self.place,), shared=tuple(shared),
                once=frozenset(i for i, future in enumerate(self.futures) if future.once),
                substitute=failed,
            )  # fmt: skip
            try:
                self.ticket = current().begin(
                    Sealed((stage,)), name, "submitted", self._deliver,
                    self._ended, self.place, n, joins=True, open=self.open,
                )  # fmt: skip
            except BaseException as error:  # noqa: BLE001 - who waits must be told
                self._ended(error)
                return
            for number, future in enumerate(self.futures):
                future.run, future.call = self.ticket.run, self.ticket.first + number
        self.given_up()  # if that was while it was handed over
        if self.ticket.by_waiter:
            with contextlib.suppress(Exception, RunCancelled):  # the futures have it
                self.ticket.wait()

    def _deliver(self, result: int) -> Callable[[tuple[int, ...], Outcome], None]:
        del result  # there is one
        return self._take

    def _take(self, index: tuple[int, ...], outcome: Outcome) -> None:
        if not outcome[0]:
            self._note_failure(index[0], outcome[1])
        self.futures[index[0]].settle(outcome)

    def _note_failure(self, number: int, packed: bytes) -> None:
        """Keep the call for whoever wants to look at it; its neighbours are not kept."""
        name = self.futures[number].what
        step = Step(OneCall(*self.calls[number]), (), (0,), name, self.place)
        stage = Stage(0, name, (range(1),), (1,), Program.of(0, [step]), ())
        task = Failed.of((stage,), 0, 0, unpack(packed))
        with self._lock:  # it may still be being handed over
            ticket = self.ticket
        if ticket is not None:
            current().note_failure(ticket.run, task)

    def _ended(self, error: BaseException | None) -> None:
        """Every call that has no outcome shares that of the run."""
        for future in self.futures:
            future.batch = None  # who keeps a result need not keep what all of these were made from
            if error is not None and not future.done():
                clerk.fail(future, error)

    def given_up(self) -> None:
        """A call was cancelled: stop the run if no other is left."""
        if self.ticket is not None and all(future.done() for future in self.futures):
            self.ticket.cancel()


class _Desk:
    """The batch being filled; one per process."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Be as new: in a child that was forked the batch is another's."""
        self._lock = threading.Lock()
        self._open: _Batch | None = None

    def add(
        self,
        future: Future,
        function: Any,
        arguments: Any,
        place: Place | None = None,
        *,
        open: bool = False,
    ) -> None:
        """Put a call into the batch that is open; a full one is handed over."""
        full = None
        if not isinstance(function, Function):
            function = self._captured(function)
        with self._lock:
            batch = self._open
            if batch is None:
                batch = self._open = _Batch()
                batch.place = place or user_place()
                batch.open = open
                clerk.remind(batch)
            batch.add(future, function, arguments)
            if len(batch.calls) >= _MOST:
                full, self._open = batch, None
        if full is not None:
            full.go()

    def _captured(self, function: Any) -> Function:
        """The function as it is now; within a batch it is captured once."""
        batch = self._open
        known = None if batch is None else batch.captured.get(id(function))
        if known is None:
            known = (function, captured(function))
            if batch is not None:
                batch.captured[id(function)] = known
        return known[1]

    def close(self, batch: _Batch) -> None:
        """Nothing is added to a batch any more."""
        with self._lock:
            if self._open is batch:
                self._open = None

    def flush(self) -> None:
        """Hand over what is there."""
        batch = self._open
        if batch is not None:
            batch.go()


desk = _Desk()
os.register_at_fork(after_in_child=desk.begin_anew)
