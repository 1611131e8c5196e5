"""Names of the notebook on their way to another process.

They travel together, so that functions defined in the notebook find each other, and what the code
assigns, as in the notebook: all have one dictionary of globals, which is the code's as well.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Collection, Mapping
from types import FunctionType
from typing import Any

from nbscale.config import Settings
from nbscale.expr.function import Files, at_home, files_of
from nbscale.expr.unpicklable import can_pickle, culprit
from nbscale.notebook.source import Source
from nbscale.record import record
from nbscale.store.codec import decode, encode

__all__ = ["Frozen", "Namespace", "Task", "freeze", "pack_names"]


class Frozen:
    """A value as it was: what is made of it each time is a value of its own."""

    __slots__ = ("_data",)

    def __init__(self, data: Any) -> None:
        self._data = data

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Frozen, (pickle.PickleBuffer(self._data),)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes on the way."""
        return len(self._data)

    def load(self) -> Any:
        """Make the value; costs a copy."""
        return decode(memoryview(bytearray(self._data)))

    def take(self) -> Any:
        """Make the value, once, of the bytes themselves if they may be written to."""
        data = memoryview(self._data)
        return self.load() if data.readonly else decode(data)


def freeze(value: Any) -> Frozen:
    """Pickle a value, what is defined in the notebook by what it is."""
    from nbscale.expr.pickler import dumps  # noqa: PLC0415 - 10 ms, for those who ship something

    return Frozen(encode(value, dumps).to_bytes())


class Namespace:
    """Names and their values, to be made anew as often as is wanted."""

    __slots__ = ("files", "values")

    def __init__(self, values: Any, files: Files) -> None:
        self.values, self.files = values, files

    def __reduce__(self) -> Any:
        return Namespace, (self.values, self.files)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes on the way."""
        nbytes: int = self.values.nbytes
        return nbytes

    def load(self, *, once: bool = False) -> dict[str, Any]:
        """The globals for a piece of code.

        Parameters
        ----------
        once
            They are not made again, so that a copy can be spared.
        """
        values, witness = self.values.take() if once else self.values.load()
        space: dict[str, Any] = witness.__globals__
        space.update(values)
        at_home(dict(self.files), *values.values())
        return space


def _witness() -> None:
    """Its globals are those of every function that travels with it."""


def pack_names(
    names: Collection[str],
    space: dict[str, Any],
    spared: Collection[str] = (),
    pack: Callable[[Any], Any] = freeze,
) -> Namespace:
    """Pack the names that are there.

    Parameters
    ----------
    names
        Which are wanted; those that are not there are left out: they may be builtins.
    space
        The user's namespace.
    spared
        Names that are left out if their value cannot be pickled, since the code assigns them.
    pack
        Pickles a value; what it gives is the ``values`` of the answer.

    Raises
    ------
    TypeError
        Names what cannot be pickled, and what to do.
    """
    values = {name: space[name] for name in names if name in space}
    witness = FunctionType(_witness.__code__, space)
    try:
        packed = pack((values, witness))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told which name is to blame
        bad = {name for name, value in values.items() if not can_pickle(value)}
        blamed = sorted(bad.difference(spared))
        if blamed or not bad:
            raise _unpicklable(values, blamed, error) from None
        values = {name: value for name, value in values.items() if name not in bad}
        packed = pack((values, witness))
    return Namespace(packed, files_of(*values.values()))


def _unpicklable(values: Mapping[str, Any], blamed: list[str], error: Exception) -> TypeError:
    if not blamed:
        return TypeError(f"what the cell reads cannot be sent to another process: {error}")
    told = "; and ".join(culprit(values[name], name) for name in blamed[:3])
    return TypeError(f"what the cell reads cannot be sent to another process: {told}")


@record(eq=False)
class Task:
    """A cell, and what is around it in the kernel.

    Attributes
    ----------
    source
        The cell.
    number
        Its number.
    files
        Where the functions among the names come from.
    settings
        Of nbscale's.
    folder, path, environment
        The working directory, ``sys.path`` and ``os.environ``.
    interactivity
        Which expressions of a cell are shown.
    """

    source: Source
    number: int
    files: Files
    settings: Settings
    folder: str
    path: tuple[str, ...]
    environment: dict[str, str]
    interactivity: str
