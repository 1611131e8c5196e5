"""What users say of calls: submit, map, gather, wait, as_completed, cancel."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from nbscale.collection import public
from nbscale.engines.base import inside
from nbscale.events import Place, user_place
from nbscale.expr.function import Function
from nbscale.futures.arguments import captured, filled, frozen, futures_in
from nbscale.futures.batch import desk
from nbscale.futures.calls import Calls, Frozen
from nbscale.futures.future import Future
from nbscale.futures.waiting import Waiting, with_results

__all__ = ["as_completed", "begin", "cancel", "gather", "map", "submit", "wait"]


@public
def submit(
    function: Callable[..., Any], /, *args: Any, once: bool = False, **kwargs: Any
) -> Future:
    """Call a function in a process of the pool, at once.

    Parameters
    ----------
    function
        Any function, also one defined in the notebook: it is captured as it is now.
    *args, **kwargs
        Its arguments, as they are now. A future among them, also inside lists, tuples, sets and
        dicts, is waited for and its result put in its place; if it failed, so does this one.

    once
        Never make the call twice: if its worker dies or freezes when it may have begun, the future
        fails with ``WorkerLost``. Otherwise such a call is made again.

    Returns
    -------
    Future
        Its ``result()`` waits.

    Raises
    ------
    TypeError
        If the function or an argument cannot be pickled: it is named by its path.

    Notes
    -----
    Calls travel in batches, so many at once cost less each than one alone. A call that fails, or that
    costs two workers their lives, fails alone. Inside a task the call is made right there, and again
    if that task is; give that one ``once=True``, too.

    Examples
    --------
    >>> import nbscale as ns
    >>> ns.submit(pow, 2, 10).result()
    1024
    """
    future = Future()
    future.once = once
    if inside():
        _call_here(future, function, args, kwargs)
        return future
    found: list[Future] = []
    futures_in(args, found)
    if kwargs:
        futures_in(kwargs, found)
    open_ones = [one for one in found if not one.done()]
    if not found:
        desk.add(future, function, frozen((args, kwargs)))
    elif not open_ones:
        with_results(future, function, (args, kwargs), found)
    else:
        Waiting(future, captured(function), (args, kwargs), found, open_ones)
    return future


def begin(future: Future, function: Function, arguments: Frozen, place: Place | None) -> None:
    """Make a future the result of a call whose arguments were pickled by somebody else.

    Parameters
    ----------
    future
        A new one, which may have callbacks and may have been cancelled.
    function, arguments
        The call.
    place
        Where the user asked for it. Others of the same name and place are told of with it, and more
        of them are expected.
    """
    if not future.cancelled():
        desk.add(future, function, arguments, place, open=True)


def _call_here(
    future: Future, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    function = captured(function)
    try:
        given = filled(args), filled(kwargs)
    except Exception as error:  # noqa: BLE001 - that of an argument is the call's
        future.set_exception(error)
    else:
        future.settle(Calls(((function, given),), user_place())((0,)))


@public
def map(function: Callable[..., Any], *iterables: Iterable[Any]) -> list[Future]:
    """Call a function for each item, or each tuple of items, in processes of the pool.

    Parameters
    ----------
    function
        As for ``submit``.
    *iterables
        As many as the function has arguments; the shortest ends it, as Python's ``map``.

    Returns
    -------
    list of Future
        In the order of the items.

    Examples
    --------
    >>> import nbscale as ns
    >>> ns.gather(ns.map(pow, [1, 2, 3], [2, 2, 2]))
    [1, 4, 9]
    """
    return [submit(function, *items) for items in zip(*iterables, strict=False)]


@public
def gather(futures: Any) -> Any:
    """Wait for futures and return their results in their places.

    Parameters
    ----------
    futures
        A future, or lists, tuples, sets and dicts that hold some.

    Raises
    ------
    Exception
        What the first of them that failed, in their order, has raised.

    Examples
    --------
    >>> import nbscale as ns
    >>> ns.gather({"a": ns.submit(abs, -1), "b": [ns.submit(abs, -2)]})
    {'a': 1, 'b': [2]}
    """
    if isinstance(futures, Iterator):
        futures = list(futures)
    desk.flush()
    return filled(futures)


@public
def wait(
    futures: Iterable[Future], timeout: float | None = None, return_when: str = "ALL_COMPLETED"
) -> Any:
    """Wait for futures, as ``concurrent.futures.wait``.

    Parameters
    ----------
    futures
        What to wait for.
    timeout
        Seconds, or None for as long as it takes.
    return_when
        ``"ALL_COMPLETED"``, ``"FIRST_COMPLETED"`` or ``"FIRST_EXCEPTION"``.

    Returns
    -------
    done, not_done
        Sets of futures.

    Examples
    --------
    >>> import nbscale as ns
    >>> done, not_done = ns.wait([ns.submit(abs, -1)])
    >>> len(done), len(not_done)
    (1, 0)
    """
    desk.flush()
    return concurrent.futures.wait(futures, timeout, return_when)


@public
def as_completed(futures: Iterable[Future], timeout: float | None = None) -> Iterator[Future]:
    """Futures in the order in which they are done, as ``concurrent.futures.as_completed``.

    Parameters
    ----------
    futures
        What to wait for.
    timeout
        Seconds for all of them, or None for as long as it takes.

    Raises
    ------
    TimeoutError
        If one is not done in time; they go on.

    Examples
    --------
    >>> import nbscale as ns
    >>> sorted(one.result() for one in ns.as_completed(ns.map(abs, [-1, -2])))
    [1, 2]
    """
    desk.flush()
    return concurrent.futures.as_completed(futures, timeout)  # type: ignore[return-value]


@public
def cancel(futures: Future | Iterable[Future]) -> None:
    """Give calls up: those not begun are never made, those under way are stopped.

    A call under way shares a batch with others; it is stopped when nobody waits for any of them.

    Parameters
    ----------
    futures
        One or more. Those done stay done.

    Examples
    --------
    >>> import nbscale as ns
    >>> ns.cancel(ns.map(abs, [-1, -2]))
    """
    for one in [futures] if isinstance(futures, Future) else futures:
        one.cancel()
