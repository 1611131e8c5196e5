"""What a module of the user's means now: its code and its constants, as a version to compare.

A module that is edited is another one than before, whichever of the two its file shows: what counts
is what a process has loaded. So a version is made of loaded functions, classes and constants, with
those of other such modules that it reads, and two processes that have loaded the same file have the
same version of it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.machinery
import operator
import pickle
import sys
import sysconfig
import types
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

__all__ = ["Start", "Version", "home", "is_local", "names_read", "reached", "version"]

_MOST = 256
"""Modules that read one another, up to which they are looked at: more are somebody's package."""

_MOST_ITEMS = 1000
"""Items of a constant that are looked at."""

_MOST_BYTES = 1 << 16
"""Bytes of each array that are looked at."""

_CACHED = type(functools.lru_cache(None)(lambda: None))
_PLAIN = (int, float, complex, bool, str, bytes, type(None), type(...))


class Version(NamedTuple):
    """Digests of the code that was loaded, and of the constants beside it."""

    code: str
    state: str


def home(value: Any) -> ModuleType | None:
    """The local module in which a function or class is found by its name; None for any other."""
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    if module is None or not is_local(module):
        return None
    found: Any = module
    for name in getattr(value, "__qualname__", "").split("."):
        found = getattr(found, name, None)
    return module if found is value else None


def is_local(module: ModuleType) -> bool:
    """Whether a module is a file that its user may be editing: no package that was installed."""
    spec = getattr(module, "__spec__", None)
    # Modules that something rewrites as they are loaded, as pytest does, are nobody else's again.
    if spec is None or type(spec.loader) is not importlib.machinery.SourceFileLoader:
        return False
    return module.__name__ != "__main__" and _is_local_file(spec.name, spec.origin or "")


@functools.lru_cache(maxsize=4096)
def _is_local_file(name: str, file: str) -> bool:
    path = Path(file)
    if name.partition(".")[0] == __name__.partition(".")[0] or not path.is_absolute():
        return False
    if {"site-packages", "dist-packages"} & set(path.parts):
        return False
    return not any(path.is_relative_to(folder) for folder in _installed())


@functools.cache
def _installed() -> frozenset[str]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return frozenset(sysconfig.get_path(name) for name in names)


def version(module: ModuleType) -> Version | None:
    """The version of a local module; None if too many others belong to it.

    Some 20 us for each function and class the first time, then half a microsecond for each name.
    """
    known = _known.get(module.__name__)
    if known is not None and known[0] is module:
        _, looked, found = known
        if all(sys.modules.get(one.__name__) is one and _mark(one) == mark for one, mark in looked):
            return found
    looked = []
    found = _looked_at(module, looked)
    if found is None:
        looked = []  # it stays so
    _known[module.__name__] = (module, looked, found)
    return found


_known: dict[str, tuple[ModuleType, list[tuple[ModuleType, _Mark]], Version | None]] = {}


class _Mark:
    """What a module holds, to see whether it was changed: what it holds is kept, not copied."""

    __slots__ = ("_held", "_plain")

    def __init__(self, held: list[Any], plain: list[bytes]) -> None:
        self._held, self._plain = held, plain

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Mark)
            and len(self._held) == len(other._held)
            and all(map(operator.is_, self._held, other._held))
            and self._plain == other._plain
        )

    __hash__ = None  # type: ignore[assignment]


def _mark(module: ModuleType) -> _Mark:
    held: list[Any] = []
    plain: list[bytes] = []
    for name, value in list(vars(module).items()):
        held += (name, value)
        if isinstance(value, FunctionType):
            held.append(value.__code__)  # autoreload changes it in its place
        elif isinstance(value, type):
            if value.__module__ == module.__name__:
                for part in list(vars(value).values()):
                    held += (part, getattr(part, "__code__", None))
        elif isinstance(value, (list, dict, set)) and not name.startswith("__"):
            plain.append(_plain(value))
    return _Mark(held, plain)


def _looked_at(module: ModuleType, looked: list[tuple[ModuleType, _Mark]]) -> Version | None:
    modules = {module.__name__: module}
    code, state = hashlib.blake2b(digest_size=16), hashlib.blake2b(digest_size=16)
    waiting = [module]
    while waiting:
        one = waiting.pop()
        looked.append((one, _mark(one)))
        for name, value in sorted(vars(one).items()):
            if name.startswith("__"):
                continue
            place = f"{one.__name__}.{name}=".encode()
            other: ModuleType | None = None
            if isinstance(value, ModuleType):
                other = value
                code.update(place + value.__name__.encode())
            elif isinstance(value, (FunctionType, type, _CACHED)):
                other = sys.modules.get(value.__module__)
                code.update(place)
                for part in _parts(value, {id(value)}):
                    code.update(part)
            else:
                state.update(place + (_plain(value) or _pickled(value)))
            if other is not None and other.__name__ not in modules and is_local(other):
                modules[other.__name__] = other
                waiting.append(other)
                if len(modules) > _MOST:
                    return None
    return Version(code.hexdigest(), state.hexdigest())


def reached(module: ModuleType, name: str) -> str:
    """Digest of the code that something in a module can come to, by the names that are read.

    A module that was reloaded has the names of before, too, and only some of what it has is read.
    """
    state = hashlib.blake2b(digest_size=16)
    seen = {(module.__name__, name)}
    waiting = [(module, name)]
    parts: list[bytes] = []
    while waiting:
        where, one = waiting.pop()
        value = vars(where).get(one)
        if not isinstance(value, (FunctionType, type, _CACHED)):
            continue
        parts.append(b"".join(_parts(value, {id(value)})))
        home_of = sys.modules.get(value.__module__)
        if home_of is None or not is_local(home_of):
            continue
        names = set().union(*map(names_read, _codes(value)))
        readable = [home_of, *(m for m in vars(home_of).values() if isinstance(m, ModuleType))]
        for other in readable:
            if is_local(other):
                found = {(other.__name__, n) for n in names if n in vars(other)} - seen
                seen |= found
                waiting += [(other, n) for _, n in found]
    for part in sorted(parts):
        state.update(part)
    return state.hexdigest()


def names_read(code: CodeType) -> set[str]:
    """Names that a code and those in it read."""
    inner = [c for c in code.co_consts if isinstance(c, CodeType)]
    return set(code.co_names).union(*map(names_read, inner))


def _codes(value: Any) -> Iterator[CodeType]:
    """The codes of a function, with what it wraps, or of a class."""
    stack, seen = [value], {id(value)}
    while stack:
        one = stack.pop()
        inner = list(_inner(one))
        if isinstance(one, FunctionType):
            yield one.__code__
        elif isinstance(one, type):
            inner = [*vars(one).values(), *one.__bases__]
        for part in inner:
            if id(part) not in seen and not isinstance(part, CodeType):
                seen.add(id(part))
                stack.append(part)


# Code ---------------------------------------------------------------------------------------


def _parts(value: Any, seen: set[int]) -> Iterator[bytes]:
    name = f"{value.__module__}.{value.__qualname__}:".encode()
    yield name
    module = sys.modules.get(value.__module__)
    if module is None or not is_local(module):
        return
    if isinstance(value, type):
        yield repr([f"{base.__module__}.{base.__qualname__}" for base in value.__bases__]).encode()
        for name_of, part in sorted(vars(value).items()):
            if name_of not in _OF_THE_PROCESS:
                yield name_of.encode() + b"="
                yield from _member(part, seen)
        return
    yield from _member(value, seen)


_OF_THE_PROCESS = frozenset(
    "__dict__ __weakref__ __module__ __annotations__ _abc_impl __abstractmethods__ "
    "__slotnames__ __static_attributes__ __firstlineno__".split()
)
"""Attributes of classes that say nothing, or change while a class is used."""


def _member(part: Any, seen: set[int]) -> Iterator[bytes]:
    """A function, or what holds some: a method of a class, a property, a decorated function."""
    inner = [part] if isinstance(part, type) else list(_inner(part))
    if isinstance(part, FunctionType):
        yield from _code(part.__code__)
        yield _plain((part.__defaults__, part.__kwdefaults__))
    elif not isinstance(part, type):
        yield _plain(getattr(part, "_value_", part))  # of an enumeration
    for one in inner:
        if isinstance(one, (FunctionType, type, _CACHED)) and id(one) not in seen:
            seen.add(id(one))
            yield from _parts(one, seen)


def _inner(part: Any) -> Iterator[Any]:
    """What a function or a descriptor holds in turn."""
    if isinstance(part, type):
        return
    for name in ("__func__", "fget", "fset", "fdel", "__wrapped__", "func"):
        yield getattr(part, name, None)
    for cell in getattr(part, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # not filled yet
            yield cell.cell_contents


def _code(code: CodeType) -> Iterator[bytes]:
    # No lines: autoreload leaves a function that is only moved, or gives it others.
    yield code.co_code
    yield code.co_exceptiontable
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    yield repr((code.co_flags, code.co_argcount, code.co_kwonlyargcount, *names)).encode()
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _code(const)
        else:
            yield _plain(const)


# Constants ----------------------------------------------------------------------------------


def _plain(value: Any, depth: int = 8) -> bytes:
    """The text of a value of plain ones, the same in every process; b'' of any other."""
    if isinstance(value, _PLAIN):
        return f"{type(value).__name__}:{value!r}".encode("utf-8", "surrogatepass")
    kind = type(value)
    if kind not in (tuple, list, dict, set, frozenset) or depth == 0 or len(value) > _MOST_ITEMS:
        return b""
    items = list(value.items()) if kind is dict else list(value)
    parts = [_plain(item, depth - 1) for item in items]
    if not all(parts):
        return b""
    return (
        kind.__name__.encode()
        + b"("
        + b",".join(sorted(parts) if kind in (set, frozenset) else parts)
        + b")"
    )


class Start:
    """Takes so many bytes of a pickle and ends it there: what is large is not copied to be looked at."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.data = bytearray()
        self.full = False

    def write(self, data: Any) -> int:
        """Take some more.

        Raises
        ------
        OverflowError
            If it is too much.
        """
        rest = self._most - len(self.data)
        with memoryview(data) as view:
            self.data += view.cast("B")[:rest]
            if view.nbytes > rest:
                self.full = True
                raise OverflowError(f"more than {self._most} bytes")
            return view.nbytes


def _pickled(value: Any) -> bytes:
    """Digest of a value that is not plain; of one that cannot be pickled, its type."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}".encode()
    if isinstance(value, (types.BuiltinFunctionType, types.MethodType)):
        return kind
    buffers: list[pickle.PickleBuffer] = []
    start = Start(_MOST_BYTES)
    try:
        pickle.Pickler(start, protocol=5, buffer_callback=buffers.append).dump(value)
    except Exception:  # noqa: BLE001 - a lock, a connection: each process has its own
        if not start.full:
            return kind
    state = hashlib.blake2b(start.data, digest_size=16)
    for buffer in buffers:
        state.update(buffer.raw()[:_MOST_BYTES])
    return state.digest()
