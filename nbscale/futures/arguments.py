"""Futures among the arguments of a call: found, waited for, and their results put in their places."""

from __future__ import annotations

import threading
from typing import Any

from nbscale.events import user_place
from nbscale.expr.function import Function
from nbscale.futures import batches
from nbscale.futures.calls import PLAIN, Calls, captured, frozen
from nbscale.futures.future import Future

__all__ = ["Waiting", "call_here", "filled", "futures_in", "with_results"]


def futures_in(value: Any, found: list[Future]) -> None:
    """Futures among arguments, also inside lists, tuples, sets and dicts."""
    kind = type(value)
    if kind in PLAIN:
        return
    if kind is Future:
        found.append(value)
    elif kind in (list, tuple, set, frozenset):
        for item in value:
            futures_in(item, found)
    elif kind is dict:
        for item in value.values():
            futures_in(item, found)


def filled(value: Any, *, named: bool = False) -> Any:
    """Arguments with results in the places of futures, all of which are done.

    ``named``: what is kept in shared memory is not brought here, it is named.
    """
    kind = type(value)
    if kind is Future:
        return value.argument if named and value.argument is not None else value.result()
    if kind in (list, tuple, set, frozenset):
        return kind(filled(item, named=named) for item in value)
    if kind is dict:
        return {key: filled(item, named=named) for key, item in value.items()}
    return value


def call_here(future: Future, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Make a call inside a task: right here, since a task holds a worker already."""
    taken = captured(function)
    try:
        given = filled(args), filled(kwargs)
    except Exception as error:  # noqa: BLE001 - that of an argument is the call's
        future.set_exception(error)
    else:
        future.settle(Calls(((taken, given),), user_place())((0,)))


def with_results(future: Future, function: Any, arguments: Any, found: list[Future]) -> None:
    """Begin a call whose arguments are done; if one of them failed, so does the call."""
    if any(_follows(future, one) for one in found):
        return
    args, kwargs = filled(arguments, named=True)
    try:
        batches.add(future, function, frozen((args, kwargs)))
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
