"""A user's function, captured when the expression is made.

It always passes through cloudpickle, on every engine alike, so that it means the same wherever a
task lands and a later change of a global does not change an expression made before.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from types import CodeType
from typing import Any

from nbscale.expr.token import token

__all__ = ["Function", "capture"]


class Function:
    """A captured callable: its bytes, its name, and the copy made from them on first call."""

    __slots__ = ("_loaded", "file", "key", "name", "payload")

    def __init__(self, payload: bytes, name: str, file: str = "") -> None:
        self.payload = payload
        self.name = name
        self.file = file
        self.key = token("function", payload)
        self._loaded: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._loaded is None:
            # The bytes were made by capture() in this session, never received from outside.
            self._loaded = _at_home(pickle.loads(self.payload), self.file)
        return self._loaded(*args, **kwargs)

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return Function, (self.payload, self.name, self.file)


def _at_home(function: Any, file: str) -> Any:
    """Give a loaded function its file back, so that a traceback can show the user's line.

    cloudpickle leaves it out, which keeps the content hash free of the names of notebook cells.
    """
    code = getattr(function, "__code__", None)
    if file and isinstance(code, CodeType) and code.co_filename == "<dynamic-code>":
        function.__code__ = _in_file(code, file)
    return function


def _in_file(code: CodeType, file: str) -> CodeType:
    inner = tuple(_in_file(c, file) if isinstance(c, CodeType) else c for c in code.co_consts)
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
    import cloudpickle  # noqa: PLC0415 - 10 ms that most sessions never need

    name = getattr(function, "__name__", None) or type(function).__name__
    try:
        payload = cloudpickle.dumps(function, protocol=5)
    except Exception as error:
        msg = f"the function {name} cannot be pickled: {error}"
        raise TypeError(msg) from error
    code = getattr(function, "__code__", None)
    return Function(payload, name, code.co_filename if isinstance(code, CodeType) else "")
