"""What travels of calls: arguments on their way out, results on their way back, and the kernels."""

from __future__ import annotations

import contextlib
import pickle
import threading
from typing import Any, ClassVar, TypeAlias

from nbscale.engines.base import inside
from nbscale.engines.failure import pack
from nbscale.errors import RunCancelled
from nbscale.events import Place
from nbscale.expr.function import Function
from nbscale.expr.unpicklable import culprit
from nbscale.record import record
from nbscale.store.codec import Dumps, decode, encode
from nbscale.store.shared import Memory, naming

__all__ = ["PLAIN", "Brought", "Calls", "Frozen", "OneCall", "Outcome", "failed"]

_TABLES = frozenset({"numpy", "pandas", "pyarrow"})
"""Whose values are large, and run no code of the user's when they are read."""

PLAIN = frozenset({int, float, complex, bool, str, bytes, type(None)})
"""Types whose values cannot change."""

Outcome: TypeAlias = tuple[bool, Any]
"""Whether a call returned, and what; what it raised is packed."""


class Frozen:
    """Arguments as they were when the call was submitted."""

    __slots__ = ("_data", "memories")

    def __init__(self, data: Any, memories: tuple[Memory, ...] = ()) -> None:
        self._data = data
        self.memories = memories  # that they name

    @classmethod
    def of(cls, arguments: tuple[tuple[Any, ...], dict[str, Any]], pickler: Dumps) -> Frozen:
        """Pickle arguments; what is kept in shared memory is named."""
        encoded, memories = naming(encode, arguments, pickler)
        return cls(encoded.to_bytes(), memories)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Frozen, (pickle.PickleBuffer(self._data),)

    def load(self) -> Any:
        return decode(memoryview(bytearray(self._data)))


class Brought:
    """A result on its way, still in bytes; both ends of the way are the same Python."""

    __slots__ = ("_data", "lock")

    def __init__(self, data: Any) -> None:
        self._data = data
        self.lock = threading.Lock()

    @classmethod
    def of(cls, value: Any, what: str) -> Brought:
        """Pickle a result.

        Raises
        ------
        TypeError
            If that is not possible: what cannot be pickled is named by its path.
        """
        with contextlib.suppress(Exception):  # what is defined in a notebook is pickled by value
            return cls(encode(value).to_bytes())
        import cloudpickle  # noqa: PLC0415 - few values need it

        try:
            return cls(encode(value, cloudpickle.dumps).to_bytes())
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            if "recursion" in str(error):
                raise
            told = culprit(value, "the result")
            raise TypeError(f"what {what} returns cannot be sent: {told}") from None

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Brought, (pickle.PickleBuffer(self._data),)

    def load(self) -> Any:
        return decode(memoryview(bytearray(self._data)))


def _on_its_way(value: Any, what: str) -> Any:
    """A result as it goes to the kernel, where no code of the user's may run unasked."""
    kind = type(value)
    if kind in PLAIN or not inside():
        return value
    if kind.__module__.partition(".")[0] in _TABLES and not getattr(
        getattr(value, "dtype", None), "hasobject", False
    ):
        return value
    return Brought.of(value, what)


def failed(error: BaseException) -> Outcome:
    """The outcome of a call that did not come to its end."""
    return False, pack(error)


@record
class Calls:
    """The kernel of a batch: task i makes call i."""

    calls: tuple[tuple[Function, Any], ...]
    place: Place | None = None
    plain: ClassVar[bool] = True  # functions and arguments are bytes already, or cannot change

    def __call__(self, index: tuple[int, ...]) -> Outcome:
        function, arguments = self.calls[index[0]]
        try:
            args, kwargs = arguments.load() if type(arguments) is Frozen else arguments
            return True, _on_its_way(function(*args, **kwargs), function.name)
        except (KeyboardInterrupt, RunCancelled):
            raise
        except BaseException as error:  # noqa: BLE001 - it belongs to this call, not to the batch
            where = "" if self.place is None else f" ({self.place})"
            note = f"while running {function.name}{where}"
            if note not in getattr(error, "__notes__", ()):
                error.add_note(note)
            return False, pack(error)


@record
class OneCall:
    """The kernel of a call that is made once more: what it raises it raises."""

    function: Function
    arguments: Any

    def __call__(self, index: tuple[int, ...]) -> Any:
        given = self.arguments
        args, kwargs = given.load() if type(given) is Frozen else given
        return self.function(*args, **kwargs)
