"""Arrays and frames that many calls read, copied into shared memory once."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbscale.sharing import keep_value
from nbscale.store.base import measure
from nbscale.store.shared import Kept

__all__ = ["Once"]

_LARGE = 256 << 10
"""Bytes from which a value is shared: below, copying it with each batch costs less than a map."""


class Once:
    """What was met while calls were pickled, by identity.

    A value that is met a second time while the first use of it goes on stays shared, for as long as it
    lives or until ``clear``: most are met once, such as the pieces of an array, and kept they would
    be there twice.

    Parameters
    ----------
    always
        Values that stay shared, whatever their size.

    Examples
    --------
    >>> once, array = Once([]), np.zeros(100_000)
    >>> kept = once.kept(array)
    >>> once.kept(array) is once.kept(array), once.kept(np.zeros(3)) is None
    (True, True)
    """

    def __init__(self, always: Sequence[Any]) -> None:
        self._lock = threading.RLock()  # a value's end may be noticed in the middle of anything
        self._always = {id(value): (value, keep_value(value)) for value in always}
        self._met: dict[int, _Met] = {}

    def kept(self, value: Any) -> Kept | None:
        """The shared copy of a value, made now if it is large and was not met; None if it is small."""
        number = id(value)
        if number in self._always:
            return self._always[number][1]
        if not _is_large(value):
            return None
        with self._lock:
            met = self._met.get(number)
            if met is not None:
                kept = met.again(value)
                if kept is not None:
                    return kept
            kept = keep_value(value)
            self._met[number] = _Met(value, kept, self._forget)
            return kept

    def clear(self) -> None:
        """Forget what was met."""
        with self._lock:
            self._met.clear()

    def _forget(self, met: _Met) -> None:
        with self._lock:
            if self._met.get(met.number) is met:
                del self._met[met.number]


class _Met:
    """A value that was met."""

    __slots__ = ("__weakref__", "_copy", "_held", "_value", "number")

    def __init__(self, value: Any, kept: Kept, forget: Callable[[_Met], None]) -> None:
        this = weakref.ref(self)

        def gone(_: Any) -> None:
            met = this()
            if met is not None:
                forget(met)

        self.number = id(value)
        self._value = weakref.ref(value, gone)
        self._copy = kept.in_use()
        self._held: Kept | None = None

    def again(self, value: Any) -> Kept | None:
        """Its copy, if it is this value and the copy is still in use; from now on it is."""
        if self._value() is not value:
            return None
        self._held = self._held or self._copy()
        return self._held


def _is_large(value: Any) -> bool:
    kind = type(value)
    if kind is np.ndarray:
        return value.nbytes >= _LARGE and not value.dtype.hasobject
    pandas = sys.modules.get("pandas")
    if pandas is None or kind not in (pandas.DataFrame, pandas.Series):
        return False
    return measure(value)[1] >= _LARGE
