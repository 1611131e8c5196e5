"""The future of a call: Python's own, which can also be awaited."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, Protocol

from nbscale.collection import public
from nbscale.engines.base import LOOK_UP, Ticket, deadline
from nbscale.engines.failure import unpack
from nbscale.errors import render_for_notebook, trim_traceback
from nbscale.futures.calls import Brought, Outcome
from nbscale.futures.clerk import clerk
from nbscale.store.shared import Argument, Kept
from nbscale.units import format_bytes

__all__ = ["Future"]


class _Batch(Protocol):
    """What a future knows of the calls that its own travels with."""

    ticket: Ticket | None
    """Of the run, once they were handed over."""

    def go(self) -> None:
        """Hand them over; does nothing if they were."""

    def given_up(self) -> None:
        """Take note that one of them was cancelled."""


class _Gate:
    """What Python's futures need of a condition, in an eighth of its memory.

    Most futures are waited for by nobody.
    """

    __slots__ = ("_lock", "_sleepers")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._sleepers: list[Any] | None = None

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def acquire(self) -> None:
        self._lock.acquire()

    def release(self) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> None:
        """Let go of the lock, which is held once, until everybody is notified."""
        bed = threading.Lock()
        bed.acquire()
        if self._sleepers is None:
            self._sleepers = []
        self._sleepers.append(bed)
        self._lock.release()
        left = deadline(timeout)
        try:
            # In naps: a signal that comes just before a thread falls asleep does not wake it.
            while not bed.acquire(
                timeout=LOOK_UP if (rest := left()) is None else min(rest, LOOK_UP)
            ):
                if rest == 0:
                    return
        finally:
            self._lock.acquire()

    def notify_all(self) -> None:
        """Wake everybody."""
        sleepers, self._sleepers = self._sleepers, None
        for bed in sleepers or ():
            bed.release()


class Future(concurrent.futures.Future[Any]):
    """The result of a call that will be there: Python's own future, which can also be awaited.

    Works with ``concurrent.futures.wait`` and ``asyncio.wrap_future``. Callbacks run on a thread of
    their own.
    """

    __module__ = "nbscale.futures"  # where users find it, and what messages call it

    # There may be many that wait, and slots take least.
    __slots__ = ("_trace", "argument", "batch", "call", "kept", "once", "run", "what")

    def __init__(self) -> None:
        super().__init__()
        self._condition = _Gate()  # type: ignore[assignment]
        self.batch: _Batch | None = None
        self.kept: Kept | None = None
        self.argument: Argument | None = None
        self.what = ""
        self.run = self.call = 0  # which call of which run it is, once it was handed over
        self.once = False
        self._trace: TracebackType | None = None

    @classmethod
    def of(cls, kept: Kept, what: str) -> Future:
        """A future that is done, whose value is kept in shared memory."""
        future = cls()
        future.set_result(None)
        future.kept, future.argument, future.what = kept, Argument(kept), what
        return future

    def __repr__(self) -> str:
        if self.kept is None:
            return super().__repr__()
        return f"<Future: {self.what} of {format_bytes(self.kept.nbytes)} in shared memory>"

    def __reduce__(self) -> Any:
        if self.kept is None:
            raise TypeError(
                "a future cannot be pickled; give it as an argument, also in a list, tuple, set "
                "or dict, or take its result()"
            )
        return Future.of, (self.kept, self.what)

    def add_done_callback(self, fn: Callable[[Any], object]) -> None:
        """Have a function called with the future when it is done, on a thread for callbacks."""
        # Whoever ends the call would do it: the loop's thread, which must not be kept waiting.
        super().add_done_callback(lambda future: clerk.call(fn, future))

    @public
    def result(self, timeout: float | None = None) -> Any:
        """Wait for the result and return it.

        Raises
        ------
        TimeoutError
            If it is not there after so many seconds; the call goes on.
        concurrent.futures.CancelledError
            If it was cancelled.
        Exception
            What the call raised.
        """
        if self.kept is not None:
            return self.kept.value()
        error = self._failure(timeout)
        if error is not None:
            # As it came: whoever asked before has added frames of its own to it.
            raise error.with_traceback(self._trace)
        return super().result()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the end and return what the call raised, or None."""
        return self._failure(timeout)

    def _failure(self, timeout: float | None) -> BaseException | None:
        """Wait for the end; what it raised, or what reading its result has raised here."""
        self._hurry()
        error = super().exception(timeout)
        brought: Any = self._result
        if isinstance(brought, Brought):
            # Read by who asks for it: it may take long, and raise, as the user's own code does.
            load = brought.load
            with brought.lock:
                if self._result is brought:
                    try:
                        self._result = load()
                    except Exception as mistake:  # noqa: BLE001 - it is the call's from now on
                        self._result = None
                        self._exception, self._trace = mistake, mistake.__traceback__
            error = self._exception
        return error

    def set_exception(self, exception: BaseException | None) -> None:
        """Take what the call raised."""
        if exception is not None:
            self._trace = exception.__traceback__
        super().set_exception(exception)

    def cancel(self) -> bool:
        """Give the call up; what it is at is stopped if nobody waits for its neighbours either."""
        if not super().cancel():
            return False
        batch = self.batch
        if batch is not None:
            batch.given_up()
        return True

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait for the result, letting others go on meanwhile."""
        self._hurry()
        try:
            return (yield from asyncio.wrap_future(self).__await__())
        except Exception as error:
            render_for_notebook(error)
            trim_traceback(error)
            raise error  # noqa: TRY201 - as in `public`

    def _hurry(self) -> None:
        batch = self.batch
        if batch is not None and batch.ticket is None and not self.done():
            batch.go()

    def settle(self, outcome: Outcome) -> None:
        """Take what became of the call, unless it was cancelled."""
        if not self.set_running_or_notify_cancel():
            return
        done, value = outcome
        if done:
            self.set_result(value)
        else:
            self.set_exception(unpack(value))
