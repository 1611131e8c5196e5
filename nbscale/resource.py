"""Values that every process makes for itself, once: connections, models, whatever cannot travel.

::

    kernel                               worker
    per_worker(connect) ── pickled: ──>  call ── a place by that name? ── same code: its value
                      the factory alone                              └── else: made, and kept there

A place belongs to a factory by its name, so that a factory that was edited takes the place of what
it was, and what the old one made is let go.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import FunctionType
from typing import Any, Generic, TypeVar

from nbscale.collection import public
from nbscale.events import user_place
from nbscale.expr.function import Function, capture

__all__ = ["PerWorker", "per_worker"]

T = TypeVar("T")


class _Place:
    """Where a process keeps what a factory made."""

    __slots__ = ("key", "lock", "making", "value")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.key = ""  # of the factory that made the value; "" if there is none
        self.making = False
        self.value: Any = None


_places: dict[str, _Place] = {}
_inherited: list[dict[str, _Place]] = []


def _forget() -> None:
    """In a forked child: what its parent made stays the parent's."""
    global _places  # noqa: PLW0603 - of the process
    # Kept, never let go: at its end a connection would say goodbye in the name of its parent.
    _inherited.append(_places)
    _places = {}


os.register_at_fork(after_in_child=_forget)


class PerWorker(Generic[T]):
    """A value of each process's own: call it, and it is there. Made by ``per_worker``."""

    __slots__ = ("_factory", "_name", "_where")

    def __init__(self, factory: Function, name: str, where: str) -> None:
        self._factory, self._name, self._where = factory, name, where

    def __call__(self) -> T:
        """The value of this process; the first call makes it.

        Raises
        ------
        Exception
            What the factory raises, with a note that names it; the next call tries again.
        RuntimeError
            If the factory asks for the value that it should make.
        """
        place = self._place()
        with place.lock:
            if place.key != self._factory.key:
                place.key, place.value = "", None  # one of them at a time: it may be a large model
                place.value = self._made(place)
                place.key = self._factory.key
            value: T = place.value
            return value

    def renew(self) -> None:
        """Let go of this process's value: the next call makes a new one, as after a lost connection."""
        place = self._place()
        with place.lock:
            place.key, place.value = "", None

    def __repr__(self) -> str:
        return f"<per worker: {self._factory.name}>"

    def __reduce__(self) -> Any:
        return PerWorker, (self._factory, self._name, self._where)

    def _place(self) -> _Place:
        # No lock: of two threads that come first, one's place is taken by both.
        return _places.get(self._name) or _places.setdefault(self._name, _Place())

    def _made(self, place: _Place) -> Any:
        name = self._factory.name
        if place.making:
            raise RuntimeError(f"the factory {name} asks for the value that it should make")
        place.making = True
        try:
            return self._factory()
        except Exception as error:
            where = f" ({self._where})" if self._where else ""
            error.add_note(f"while {name} was making its value of this process{where}")
            raise
        finally:
            place.making = False


@public
def per_worker(factory: Callable[[], T]) -> PerWorker[T]:
    """Have every process make a value for itself, once: a connection, a model, an open file.

    Parameters
    ----------
    factory
        Called without arguments by each process that needs the value, the first time it does. It is
        captured as it is now.

    Returns
    -------
    PerWorker
        Call it to have the value. It can be used in functions given to ``submit``, ``delayed``,
        ``map_partitions`` and so on, and in the kernel, which then makes a value of its own; only the
        factory travels. Its ``renew()`` lets go of the value of the process it is called in.

    Raises
    ------
    TypeError
        If the factory cannot be called or cannot be pickled: what it is in it is named by its path.

    Notes
    -----
    Made once in each process, not in each task: tasks of one process come one after the other, and
    threads that ask at the same time wait for the one value. What is in it when a task ends, the next
    task finds there. A factory that is defined anew with other code, under the same name, takes the
    place of the old one: the old value is let go and a new one made. Lambdas and functions made
    inside others have no name to go by: theirs stay until the process ends. A worker that is
    replaced makes its value again.

    Examples
    --------
    >>> import nbscale as ns
    >>> def connect():
    ...     import sqlite3
    ...     return sqlite3.connect(":memory:")
    >>> db = ns.per_worker(connect)
    >>> def double(x):
    ...     return db().execute("select 2 * ?", (x,)).fetchone()[0]
    >>> ns.gather(ns.map(double, [1, 2, 3]))
    [2, 4, 6]
    """
    captured = capture(factory)
    place = user_place()
    return PerWorker(captured, _name(factory, captured), "" if place is None else str(place))


def _name(factory: Any, captured: Function) -> str:
    """What the place of a factory goes by: its name, if there is one of that name at a time."""
    plain = isinstance(factory, (FunctionType, type)) and "<" not in factory.__qualname__
    if plain and not getattr(factory, "__closure__", None):
        return f"{factory.__module__}.{factory.__qualname__}"
    return captured.key
