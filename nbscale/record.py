"""``record``: a frozen dataclass with slots that costs little to define.

The standard decorator writes and compiles six methods for every class, half a millisecond each, which a
package of some hundred small records pays at every import. Here one method is compiled, when it is
first needed, and the others are shared. What it makes is a dataclass still: ``dataclasses.replace``
and ``fields`` work.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform, overload

__all__ = ["record", "replace"]

T = TypeVar("T")
C = TypeVar("C", bound=type)


@overload
def record(cls: C, /) -> C: ...
@overload
def record(*, eq: bool = True) -> Callable[[C], C]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def record(cls: Any = None, /, *, eq: bool = True) -> Any:
    """Make a class a frozen dataclass with slots. Methods that it defines itself stay.

    Parameters
    ----------
    eq
        Compare and hash by content; otherwise by identity.

    Examples
    --------
    >>> @record
    ... class Point:
    ...     x: int
    ...     y: int = 0
    >>> Point(1), Point(1) == Point(1, 0), replace(Point(1), y=2)
    (Point(x=1, y=0), True, Point(x=1, y=2))
    """
    if cls is None:
        return lambda cls: _made(cls, eq=eq)
    return _made(cls, eq=eq)


def replace(instance: T, **changes: Any) -> T:
    """A copy of a record with some fields changed."""
    changed: T = dataclasses.replace(instance, **changes)  # type: ignore[type-var]
    return changed


def _made(cls: Any, *, eq: bool) -> Any:
    own = set(cls.__dict__)
    if cls.__doc__ is None:
        # The standard decorator would write one from the signature: as long as all the rest.
        cls.__doc__ = f"A record, {cls.__name__}."
    cls = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True)(cls)
    fields = dataclasses.fields(cls)
    cls.__record__ = tuple(f.name for f in fields)
    cls.__compared__ = tuple(f.name for f in fields if f.compare)
    cls.__shown__ = tuple(f.name for f in fields if f.repr)
    if "__init__" not in own:
        cls.__init__ = _Init(cls, fields)
    shared: dict[str, Any] = {
        "__setattr__": _refuse,
        "__delattr__": _refuse,
        "__repr__": _repr,
        "__reduce__": _reduce,
    }
    if eq:
        shared |= {"__eq__": _eq, "__hash__": _hash}
    for name, method in shared.items():
        if name not in own:
            setattr(cls, name, method)
    return cls


class _Init:
    """Stands in for ``__init__`` until the first look, since most records are never made.

    Two threads that look at once compile the same method twice, and either will do.
    """

    __slots__ = ("_cls", "_fields")

    def __init__(self, cls: Any, fields: tuple[dataclasses.Field[Any], ...]) -> None:
        self._cls = cls
        self._fields = fields

    def __get__(self, instance: Any, owner: Any) -> Any:
        self._cls.__init__ = made = _init_of(self._cls, self._fields)
        return made.__get__(instance, owner)


def _init_of(cls: Any, fields: tuple[dataclasses.Field[Any], ...]) -> Any:
    """Compile the one method that must be written for a class: its parameters are its fields."""
    known: dict[str, Any] = {"_set": object.__setattr__, "_missing": dataclasses.MISSING}
    parameters, body = [], []
    for field in fields:
        name = field.name
        if not field.init:
            continue
        if field.default is not dataclasses.MISSING:
            known[f"_d_{name}"] = field.default
            parameters.append(f"{name}=_d_{name}")
        elif field.default_factory is not dataclasses.MISSING:
            known[f"_f_{name}"] = field.default_factory
            parameters.append(f"{name}=_missing")
            body.append(f" {name} = _f_{name}() if {name} is _missing else {name}")
        else:
            parameters.append(name)
        body.append(f" _set(self, {name!r}, {name})")
    if hasattr(cls, "__post_init__"):
        body.append(" self.__post_init__()")
    text = f"def __init__(self, {', '.join(parameters)}):\n" + "\n".join(body or [" pass"])
    exec(text, known)  # noqa: S102 - the text is made of names of fields alone
    init = known["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    return init


def _refuse(self: Any, name: str, value: Any = None) -> None:
    del value
    msg = f"cannot change {name!r} of a {type(self).__name__}: it is frozen"
    raise dataclasses.FrozenInstanceError(msg)


def _eq(self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    return all(getattr(self, name) == getattr(other, name) for name in self.__compared__)


def _hash(self: Any) -> int:
    return hash((self.__class__, *[getattr(self, name) for name in self.__compared__]))


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__shown__)
    return f"{type(self).__qualname__}({shown})"


def _reduce(self: Any) -> tuple[Any, ...]:
    return _again, (type(self), tuple(getattr(self, name) for name in self.__record__))


def _again(cls: type[T], values: tuple[Any, ...]) -> T:
    """Make a record of values that have been one: nothing is checked or worked out again."""
    made = object.__new__(cls)
    for name, value in zip(cls.__record__, values, strict=True):  # type: ignore[attr-defined]
        object.__setattr__(made, name, value)
    return made
