"""Where values are kept between tasks, and how large they are.

The store of the engines that run inside the kernel: plain references, nothing is copied. Only the
thread that owns the scheduler removes values; tasks add their own and read those that the scheduler
promised to be there.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import sys
import weakref
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

__all__ = ["KernelStore", "Ref", "Size", "Table", "measure"]

Size: TypeAlias = tuple[int, int]
"""Rows and bytes."""

Table: TypeAlias = dict[int, Any]
"""The values of one stage, by task."""


@dataclasses.dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Ref:
    """Stands for a value in a store, which keeps it for as long as the ``Ref`` lives."""

    number: int
    rows: int
    nbytes: int


class KernelStore:
    """Values by reference: those of tasks in a table for each stage, and those the user put.

    Examples
    --------
    >>> store = KernelStore()
    >>> ref = store.put([1, 2, 3])
    >>> store.get(ref), ref.rows
    ([1, 2, 3], 3)
    """

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._held: dict[int, Any] = {}
        # Finalizers run anywhere, even inside a method of this class: they only append.
        self._gone: collections.deque[int] = collections.deque()
        self._tables: dict[int, dict[int, Table]] = {}

    def put(self, value: Any) -> Ref:
        """Keep a value until its ``Ref`` is gone."""
        self._forget_gone()
        ref = Ref(next(self._numbers), *measure(value))
        self._held[ref.number] = value
        weakref.finalize(ref, self._gone.append, ref.number).atexit = False
        return ref

    def get(self, ref: Ref) -> Any:
        """Return the value.

        Raises
        ------
        KeyError
            If the ``Ref`` is of another store, or this one was cleared.
        """
        self._forget_gone()
        return self._held[ref.number]

    def table(self, run: int, stage: int) -> Table:
        """Make the table of a new stage."""
        table: Table = {}
        self._tables.setdefault(run, {})[stage] = table
        return table

    def close_run(self, run: int) -> None:
        """Drop every table of a run."""
        for table in self._tables.pop(run, {}).values():
            table.clear()

    def clear(self) -> None:
        """Drop everything."""
        self._held.clear()
        for run in list(self._tables):
            self.close_run(run)

    def _forget_gone(self) -> None:
        while self._gone:
            self._held.pop(self._gone.popleft(), None)


def measure(value: Any) -> Size:
    """Rows and bytes of a value, to plan with: exact for arrays and columns, else an estimate.

    Never looks at more than a hundred elements of anything, so the cost does not grow with the
    data: below a microsecond for arrays and plain objects, some ten for a frame of a few columns.

    Parameters
    ----------
    value
        Anything.

    Returns
    -------
    rows
        Length along the first axis; 1 for what has none.
    nbytes
        Bytes in memory.

    Examples
    --------
    >>> measure(np.zeros((1000, 2)))
    (1000, 16000)
    """
    kind = type(value)
    found = _measurers.get(kind)
    if found is None:
        found = _measurers[kind] = _measurer(kind)
    return found(value)


def _measurer(kind: type) -> Callable[[Any], Size]:
    """The way to measure values of a type, found by its ancestors' names: imports nothing."""
    if issubclass(kind, np.ndarray):
        return _array
    if issubclass(kind, np.generic):
        return _plain
    if issubclass(kind, (list, tuple, set, frozenset)):
        return _sequence
    if issubclass(kind, Mapping):
        return _mapping
    for parent in kind.__mro__:
        if parent.__module__.partition(".")[0] == "pandas":
            if parent.__name__ == "DataFrame":
                return _frame
            if parent.__name__ == "Series":
                return _series
            if parent.__name__ == "Index":
                return _index
    if isinstance(getattr(kind, "nbytes", None), (property, _GETSET)):
        return _sized  # Arrow tables and arrays, extension arrays, memory views
    return _plain


_GETSET = type(np.ndarray.nbytes)
_SAMPLE = 100


def _plain(value: Any) -> Size:
    return 1, sys.getsizeof(value, 64)


def _sized(value: Any) -> Size:
    length = getattr(value, "__len__", None)
    return 1 if length is None else length(), int(value.nbytes)


def _array(value: Any) -> Size:
    rows = value.shape[0] if value.ndim else 1
    if value.dtype.hasobject:
        flat = value.reshape(-1)[:_SAMPLE] if value.flags.c_contiguous else value.flat[:_SAMPLE]
        return rows, int(value.nbytes + _objects(list(flat), value.size))
    return rows, value.nbytes


def _objects(sample: list[Any], count: int) -> float:
    """Bytes of ``count`` objects like those of the sample."""
    if not sample:
        return 0.0
    # At their own size: what they refer to may lead back to where we came from.
    return sum(sys.getsizeof(item, 64) for item in sample) * (count / len(sample))


def _sequence(value: Any) -> Size:
    count = len(value)
    sample = list(itertools.islice(value, _SAMPLE))
    # An inner container is taken at its own size: lists may hold themselves.
    inner = sum(
        sys.getsizeof(item, 64)
        if isinstance(item, (list, tuple, set, frozenset, Mapping))
        else measure(item)[1]
        for item in sample
    )
    return count, int(sys.getsizeof(value) + (inner * count / len(sample) if sample else 0))


def _mapping(value: Any) -> Size:
    rows, nbytes = _sequence(list(itertools.islice(value.values(), _SAMPLE)))
    count = len(value)
    return count, int(sys.getsizeof(value, 64) + (nbytes * count / rows if rows else 0))


def _index(value: Any) -> Size:
    count = len(value)
    if hasattr(value, "levels"):
        nbytes = sum(measure(codes)[1] for codes in value.codes)
        return count, nbytes + sum(measure(level)[1] for level in value.levels)
    return count, _column(value, count)


def _series(value: Any) -> Size:
    count = len(value)
    return count, _column(value, count) + measure(value.index)[1]


def _frame(value: Any) -> Size:
    count = len(value)
    nbytes = measure(value.index)[1]
    for at in range(value.shape[1]):
        nbytes += _column(value.iloc[:, at], count)
    return count, nbytes


def _column(value: Any, count: int) -> int:
    """Bytes of the values of a Series or Index."""
    nbytes = int(value.nbytes)
    if value.dtype == object:
        nbytes += int(_objects(list(value[:_SAMPLE]), count))
    return nbytes


_measurers: dict[type, Callable[[Any], Size]] = {}
