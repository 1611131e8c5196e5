"""A user's function, captured when the expression is made.

It always passes through cloudpickle, on every engine alike, so that it means the same wherever a
task lands and a later change of a global does not change an expression made before.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType
from typing import Any, TypeAlias

from nbscale.expr.token import token
from nbscale.expr.unpicklable import culprit
from nbscale.expr.version import names_read

__all__ = ["Files", "Function", "at_home", "capture", "files_of", "in_file"]

Files: TypeAlias = tuple[tuple[tuple[str, int], str], ...]
"""Files by the qualified names and first lines of the functions in them."""

_NO_FILE = "<dynamic-code>"
"""What cloudpickle puts in the place of a file."""


class Function:
    """A captured callable: its bytes, its name, and the copy made from them on first call."""

    __slots__ = ("_loaded", "files", "key", "memories", "name", "payload")

    def __init__(self, payload: bytes, name: str, files: Files = ()) -> None:
        self.payload = payload
        self.name = name
        self.files = files
        self.key = token("function", payload)
        self._loaded: Callable[..., Any] | None = None
        self.memories: tuple[Any, ...] = ()  # that the payload names

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._loaded is None:
            # The bytes were made by capture() in this session, never received from outside.
            self._loaded = pickle.loads(self.payload)
            at_home(dict(self.files), self._loaded)
        return self._loaded(*args, **kwargs)

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return Function, (self.payload, self.name, self.files)


def at_home(files: Mapping[tuple[str, int], str], *functions: Any) -> None:
    """Give loaded functions and those they call their files back: tracebacks show the user's lines.

    cloudpickle leaves them out, which keeps the content hash free of the names of notebook cells.
    """
    for one in _with_callees(*functions):
        code = one.__code__
        file = files.get((code.co_qualname, code.co_firstlineno))
        if file is not None and code.co_filename == _NO_FILE:
            one.__code__ = in_file(code, file)


def files_of(*functions: Any) -> Files:
    """The files of functions and of those they call, by name and line."""
    codes = [one.__code__ for one in _with_callees(*functions)]
    return tuple({(c.co_qualname, c.co_firstlineno): c.co_filename for c in codes}.items())


def _with_callees(*functions: Any) -> list[FunctionType]:
    """Functions, and the functions that they read from their globals, closures and so on."""
    found: dict[int, FunctionType] = {}
    stack = list(functions)
    while stack:
        one = stack.pop()
        if not isinstance(one, FunctionType) or id(one) in found or _is_importable(one):
            continue
        found[id(one)] = one
        stack += [one.__globals__.get(name) for name in names_read(one.__code__)]
        for cell in one.__closure__ or ():
            with contextlib.suppress(ValueError):  # not filled yet
                stack.append(cell.cell_contents)
    return list(found.values())


def _is_importable(function: FunctionType) -> bool:
    """Whether the function is found by its name: then it is not captured by value."""
    module = sys.modules.get(function.__module__)
    known = function.__module__ != "__main__" and module is not None
    return known and getattr(module, function.__qualname__, None) is function


def in_file(code: CodeType, file: str) -> CodeType:
    """A code and those in it as if they came from a file of that name."""
    inner = tuple(in_file(c, file) if isinstance(c, CodeType) else c for c in code.co_consts)
    return code.replace(co_filename=file, co_consts=inner)


def capture(function: Any) -> Function:
    """Capture a callable as it is now.

    Raises
    ------
    TypeError
        If it cannot be pickled; the message names the function.
    """
    if isinstance(function, Function):
        return function
    if not callable(function):
        msg = f"a function is needed, not {type(function).__name__} {function!r}"
        raise TypeError(msg)
    from nbscale.expr.pickler import dumps  # noqa: PLC0415 - 10 ms that most sessions never need

    name = getattr(function, "__name__", None) or type(function).__name__
    try:
        payload = dumps(function)
    except Exception as error:
        msg = f"the function {name} cannot be pickled: {culprit(function, name)}"
        raise TypeError(msg) from error
    return Function(payload, name, files_of(function))
