"""Values in shared memory, for many calls to read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbscale.collection import public
from nbscale.engines import limits
from nbscale.expr.unpicklable import can_pickle, culprit
from nbscale.futures import Future
from nbscale.store.base import measure
from nbscale.store.shared import Kept, held, keep, keep_all, trim
from nbscale.units import format_bytes

__all__ = ["keep_value", "put", "scatter"]


@public
def put(value: Any) -> Future:
    """Copy a value into shared memory once, for any number of calls to read.

    Parameters
    ----------
    value
        Anything that can be pickled. Arrays, columns of frames and other large buffers are mapped by
        whoever reads them; the rest, such as a list of strings, each reader makes anew.

    Returns
    -------
    Future
        It is done. Given to ``submit``, ``map`` or ``gather``, also inside lists, tuples, sets and
        dicts, the value takes its place. Where a function reads it, ``result()`` is the value. The
        memory is given back when nobody refers to the future and no task uses the value.

    Raises
    ------
    TypeError
        If it cannot be pickled: what it is in it is named by its path.
    MemoryError
        If it does not fit into the memory that may be used.

    Notes
    -----
    One copy, at the speed of memory, and two descriptors for what is larger than 16 KB. Every reader
    has the value for itself: one that changes it gets the changed pages copied, and nobody else
    sees that; nor does anybody see a later change of the original. It stays when the processes are
    closed or replaced. Of the memory that is given back at most 256 MB are kept for the next value.

    Examples
    --------
    >>> import numpy as np
    >>> import nbscale as ns
    >>> x = ns.put(np.arange(100_000))
    >>> ns.gather([ns.submit(np.take, x, 5), ns.submit(np.sum, x)])
    [np.int64(5), np.int64(4999950000)]
    """
    return Future.of(keep_value(value), type(value).__name__)


def keep_value(value: Any) -> Kept:
    """What ``put`` makes a future of."""
    return _kept([value], lambda values: [keep(values[0], _dumps)], ["value"])[0]


@public
def scatter(data: Any, **hints: Any) -> Any:
    """Put each value of a list or dict into shared memory, as ``distributed.Client.scatter``.

    Parameters
    ----------
    data
        A list, tuple, set, frozenset or dict of values; anything else is one value.
    **hints
        ``broadcast``, ``direct``, ``hash``, ``workers``, ``timeout`` and ``asynchronous`` of Dask's
        change nothing: every process sees the memory as soon as this returns.

    Returns
    -------
    Future or collection of them
        A list for a list, a dict for a dict, and so on, as ``put`` makes them.

    Raises
    ------
    TypeError
        For other keywords, or if a value cannot be pickled: it is named by its path.
    MemoryError
        If they do not fit into the memory that may be used.

    Notes
    -----
    As ``put``, but values of less than 4 MB share memory, which is given back with the last of them.

    Examples
    --------
    >>> import nbscale as ns
    >>> parts = ns.scatter([[1, 2], [3, 4]])
    >>> ns.gather(ns.map(sum, parts))
    [3, 7]
    >>> ns.submit(max, ns.scatter({"a": 1, "b": 2})).result()
    'b'
    """
    for name in hints:
        if name not in _HINTS:
            raise TypeError(f"scatter() got an unexpected keyword argument {name!r}")
    if isinstance(data, dict):
        futures = _futures(list(data.values()), [f"data[{key!r}]" for key in data])
        return dict(zip(data, futures, strict=True))
    if isinstance(data, (list, tuple, set, frozenset)):
        values = list(data)
        return type(data)(_futures(values, [f"data[{i}]" for i in range(len(values))]))
    return put.__wrapped__(data)  # type: ignore[attr-defined]


_HINTS = frozenset({"asynchronous", "broadcast", "direct", "hash", "timeout", "workers"})


def _futures(values: list[Any], names: list[str]) -> list[Future]:
    kept = _kept(values, lambda values: keep_all(values, _dumps), names)
    return [Future.of(one, type(value).__name__) for one, value in zip(kept, values, strict=True)]


def _kept(
    values: list[Any], keep: Callable[[list[Any]], list[Kept]], names: list[str]
) -> list[Kept]:
    expected = sum(measure(value)[1] for value in values)
    if held() + expected > limits.budget():
        trim(0)
    there = held()
    if there + expected > limits.budget():
        besides = f", of which {format_bytes(there)} are taken by what was put before" * (there > 0)
        raise MemoryError(
            f"{format_bytes(expected)} do not fit into the memory that may be used, "
            f"{format_bytes(limits.budget())}{besides}; drop futures, put less, or raise memory_limit"
        )
    try:
        return keep(values)
    except OSError:
        raise
    except Exception as error:
        bad = next(
            (
                culprit(value, name)
                for value, name in zip(values, names, strict=True)
                if not can_pickle(value)
            ),
            error,
        )
        raise TypeError(f"a value cannot be pickled: {bad}") from error


def _dumps(value: Any, **options: Any) -> bytes:
    from nbscale.expr.pickler import dumps  # noqa: PLC0415 - 10 ms that most sessions never need

    return dumps(value, **options)
