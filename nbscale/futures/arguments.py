"""Arguments of calls: as they are when they are given, with results in the places of futures."""

from __future__ import annotations

from typing import Any

from nbscale.expr.function import Function, capture
from nbscale.expr.unpicklable import can_pickle, culprit
from nbscale.futures.calls import PLAIN, Frozen
from nbscale.futures.future import Future
from nbscale.store.shared import naming

__all__ = ["captured", "filled", "frozen", "futures_in"]


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


def captured(function: Any) -> Function:
    """The function as it is now, with what it reads of what is kept."""
    made, memories = naming(capture, function)
    if made is not function:
        made.memories = memories
    return made


def frozen(arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> Any:
    """Arguments that no later change reaches."""
    args, kwargs = arguments
    if all(type(a) in PLAIN for a in args) and all(type(a) in PLAIN for a in kwargs.values()):
        return arguments
    from nbscale.expr.pickler import dumps  # noqa: PLC0415 - plain arguments need none of it

    try:
        return Frozen.of(arguments, dumps)
    except Exception as error:
        named = {f"argument {n}": a for n, a in enumerate(args)} | kwargs
        bad = next(
            (f"{name}: {culprit(a, name)}" for name, a in named.items() if not can_pickle(a)), error
        )
        raise TypeError(f"an argument cannot be pickled: {bad}") from error
