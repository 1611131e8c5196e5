"""Names on their way back from the process that ran a cell.

Functions and classes of the cell are to read the notebook's own globals, as if the cell had run
there: so they travel without what they read, and are given the notebook's namespace when they are
made.
"""

from __future__ import annotations

import contextvars
import io
from collections.abc import Mapping
from types import CellType, CodeType, FunctionType
from typing import Any

import cloudpickle

from nbscale.comm.line import Bulk
from nbscale.expr.function import in_file
from nbscale.expr.unpicklable import can_pickle, culprit
from nbscale.store.codec import decode, encode

__all__ = ["load_names", "pack_names_back"]

_home: contextvars.ContextVar[dict[str, Any]] = contextvars.ContextVar("nbscale_home")
"""The globals of functions that are being unpickled."""


def pack_names_back(values: Mapping[str, Any], space: dict[str, Any]) -> tuple[Bulk, list[str]]:
    """Pack names for the notebook.

    Parameters
    ----------
    values
        What the cell has assigned.
    space
        Its namespace.

    Returns
    -------
    Bulk, list of str
        What can be sent, and of the rest what it is and what to do.
    """

    def dumps(value: Any, **options: Any) -> bytes:
        file = io.BytesIO()
        _Homeward(space, file, **options).dump(value)
        return file.getvalue()

    values = dict(values)
    left: list[str] = []
    try:
        encoded = encode(values, dumps)
    except Exception:  # noqa: BLE001 - whatever it is, the other names come back
        bad = [name for name, value in values.items() if not can_pickle(value)]
        left = [culprit(values.pop(name), name) for name in bad]
        encoded = encode(values, dumps)
    return Bulk(encoded), left


def load_names(data: memoryview, space: dict[str, Any]) -> dict[str, Any]:
    """The names that were packed, for a namespace; it is not changed."""

    def load() -> dict[str, Any]:
        _home.set(space)
        names: dict[str, Any] = decode(data)
        return names

    return contextvars.copy_context().run(load)


class _Homeward(cloudpickle.Pickler):
    def __init__(self, space: dict[str, Any], file: io.BytesIO, **options: Any) -> None:
        super().__init__(file, **options)
        self._space = space

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is FunctionType and obj.__globals__ is self._space:
            code = obj.__code__
            state = {
                name: getattr(obj, name)
                for name in (
                    "__annotations__", "__defaults__", "__dict__", "__doc__", "__kwdefaults__",
                    "__module__", "__qualname__",
                )
            }  # fmt: skip
            cells = [_content(cell) for cell in obj.__closure__ or ()]
            made = (code, code.co_filename, obj.__name__)
            return _function, made, (state, cells), None, None, _fill
        return super().reducer_override(obj)


def _content(cell: CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # not filled yet
        return ()


def _function(code: CodeType, file: str, name: str) -> FunctionType:
    cells = tuple(CellType() for _ in code.co_freevars)
    return FunctionType(in_file(code, file), _home.get(), name, None, cells)


def _fill(function: FunctionType, parts: tuple[dict[str, Any], list[tuple[Any, ...]]]) -> None:
    """What can refer to the function itself is filled in when it is there."""
    state, cells = parts
    for name, value in state.items():
        if name == "__dict__":
            function.__dict__.update(value)
        else:
            setattr(function, name, value)
    for cell, content in zip(function.__closure__ or (), cells, strict=True):
        if content:
            (cell.cell_contents,) = content
