"""Functions of elements by name: what nodes store, so that they are cheap to compare and to send."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from nbscale.array.node import Constant
from nbscale.expr.function import Function

__all__ = ["UFUNCS", "Options", "named", "plain"]

UFUNCS = frozenset(
    name
    for name in dir(np)
    if isinstance(getattr(np, name), np.ufunc)
    and getattr(np, name).nin <= 2
    and getattr(np, name).signature is None
    and not name.startswith("_")
)
"""Names of NumPy's ufuncs that lazy arrays have."""


def _as_dtype_of(value: Any, like: Any) -> Any:
    return value.astype(like.dtype, copy=False)


_MORE: dict[str, Callable[..., Any]] = {
    "**": operator.pow,  # which squares and takes roots where numpy.power calls pow
    "where": np.where,
    "clip": np.clip,
    "round": np.round,
    "real": np.real,
    "imag": np.imag,
    "isclose": np.isclose,
    "nan_to_num": np.nan_to_num,
    "angle": np.angle,
    "astype": _as_dtype_of,
}
"""Other functions that look at one element of each operand at a time."""

Options = tuple[tuple[str, Any], ...]


def _nth(function: Callable[..., Any], n: int, *args: Any, **options: Any) -> Any:
    return function(*args, **options)[n]


@functools.lru_cache(maxsize=1024)
def named(name: str | Function) -> Callable[..., Any]:
    """The function a node names; ``#1`` behind a name means the second of its results."""
    if isinstance(name, Function):
        return name
    name, _, part = name.partition("#")
    found = _MORE.get(name) or getattr(np, name)
    return functools.partial(_nth, found, int(part)) if part else found


def plain(value: Any) -> Any:
    """A parameter of a node as NumPy takes it."""
    return value.value if isinstance(value, Constant) else value
