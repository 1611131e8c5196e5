"""A user's function, captured when the expression is made.

It always passes through cloudpickle, on every engine alike, so that it means the same wherever a
task lands and a later change of a global does not change an expression made before.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

from nbscale.expr.token import token

__all__ = ["Function", "capture"]


class Function:
    """A captured callable: its bytes, its name, and the copy made from them on first call."""

    __slots__ = ("_loaded", "key", "name", "payload")

    def __init__(self, payload: bytes, name: str) -> None:
        self.payload = payload
        self.name = name
        self.key = token("function", payload)
        self._loaded: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._loaded is None:
            # The bytes were made by capture() in this session, never received from outside.
            self._loaded = pickle.loads(self.payload)  # noqa: S301
        return self._loaded(*args, **kwargs)

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return Function, (self.payload, self.name)


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
    return Function(payload, name)
