"""What it is in a value that cannot be pickled: the path to it, in words the user can look up."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import FunctionType, MethodType
from typing import Any

from nbscale.expr.version import names_read

__all__ = ["can_pickle", "culprit"]

_DEEPEST = 12

_REMEDIES = {
    "_thread.lock": "make it inside the function, or pass what it protects instead",
    "_thread.RLock": "make it inside the function, or pass what it protects instead",
    "_io.TextIOWrapper": "pass the path and open the file inside the function",
    "_io.BufferedReader": "pass the path and open the file inside the function",
    "_io.BufferedWriter": "pass the path and open the file inside the function",
    "socket.socket": "connect inside the function, or have each process connect: ns.per_worker(factory)",
    "sqlite3.Connection": "connect inside the function, or have each process connect: ns.per_worker(factory)",
    "builtins.generator": "pass a list, or make the generator inside the function",
    "builtins.module": "import it inside the function",
    "nbscale.futures.future.Future": "give it as an argument, also in a list or dict, or take its result()",
}


def culprit(value: Any, name: str) -> str:
    """Name the innermost thing that cannot be pickled, and what to do.

    Costs as many attempts to pickle as there are parts on the way to it.

    Examples
    --------
    >>> import threading
    >>> lock = threading.Lock()
    >>> culprit(lambda: lock, "fn")
    "fn.__globals__['lock']: _thread.lock; make it inside the function, or pass what it protects instead"
    """
    path, found = name, value
    for _ in range(_DEEPEST):
        if _kind(found) in _REMEDIES:
            break
        inner = next((one for one in _parts(found, path) if not can_pickle(one[1])), None)
        if inner is None:
            break
        path, found = inner
    kind = _kind(found)
    where = _where(found)
    remedy = _REMEDIES.get(kind, "make it inside the function, or pass what it is made from")
    return f"{path}: {kind}{where}; {remedy}"


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def can_pickle(value: Any) -> bool:
    """Whether cloudpickle takes a value; costs the attempt."""
    from nbscale.expr.pickler import dumps  # noqa: PLC0415 - only what goes wrong needs it here

    try:
        dumps(value)
    except Exception:  # noqa: BLE001 - whatever it is, it says that it cannot
        return False
    return True


def _where(value: Any) -> str:
    code = getattr(value, "__code__", None)
    return f" ({code.co_filename}, line {code.co_firstlineno})" if code is not None else ""


def _parts(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """What a value is made of, with the path to each part."""
    if isinstance(value, FunctionType):
        yield from _of_function(value, path)
    elif isinstance(value, MethodType):
        yield f"{path}.__self__", value.__self__
    elif isinstance(value, functools.partial):
        yield f"{path}.func", value.func
        yield from _parts(value.args, f"{path}.args")
        yield from _parts(value.keywords, f"{path}.keywords")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield f"{path}[{key!r}]", item
    elif isinstance(value, (list, tuple, set, frozenset)):
        for number, item in enumerate(value):
            yield f"{path}[{number}]", item
    else:
        state = getattr(value, "__dict__", None)
        if isinstance(state, dict):
            for key, item in state.items():
                yield f"{path}.{key}", item


def _of_function(function: FunctionType, path: str) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f"{path}.__closure__[{name!r}]", cell.cell_contents
        except ValueError:  # not filled yet
            continue
    for name in sorted(names_read(function.__code__)):
        if name in function.__globals__:
            yield f"{path}.__globals__[{name!r}]", function.__globals__[name]
    for number, item in enumerate(function.__defaults__ or ()):
        yield f"{path}.__defaults__[{number}]", item
    for name, item in (function.__kwdefaults__ or {}).items():
        yield f"{path}.__kwdefaults__[{name!r}]", item
