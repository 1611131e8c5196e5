"""Calls that wait for the results of others among their arguments."""

from __future__ import annotations

import threading
from typing import Any

from nbscale.expr.function import Function
from nbscale.futures.arguments import filled, frozen
from nbscale.futures.batch import desk
from nbscale.futures.future import Future

__all__ = ["Waiting", "with_results"]


def with_results(future: Future, function: Any, arguments: Any, found: list[Future]) -> None:
    """Make a call whose arguments are all done; if one of them failed, so does this call."""
    if any(_follows(future, one) for one in found):
        return
    args, kwargs = filled(arguments, named=True)
    try:
        desk.add(future, function, frozen((args, kwargs)))
    except Exception as error:  # noqa: BLE001 - on the thread of callbacks nobody would see it
        if future.set_running_or_notify_cancel():
            future.set_exception(error)


def _follows(future: Future, one: Future) -> bool:
    """Whether an argument that is done has none to give: then there is no call to be made."""
    if one.cancelled():
        future.cancel()
        return True
    error = one.exception()
    if error is not None and future.set_running_or_notify_cancel():
        future.set_exception(error)
    return error is not None


class Waiting:
    """A call that waits for the results of others."""

    def __init__(
        self,
        future: Future,
        function: Function,
        arguments: Any,
        found: list[Future],
        open_ones: list[Future],
    ) -> None:
        self._call = (future, function, arguments, found)
        self._left = len(open_ones)
        self._lock = threading.Lock()
        for one in open_ones:
            one.add_done_callback(self._one_done)

    def _one_done(self, one: Future) -> None:
        with self._lock:
            self._left -= 1
            left = self._left
        future = self._call[0]
        if not future.done() and not _follows(future, one) and not left:
            with_results(*self._call)
