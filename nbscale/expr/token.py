"""Content hashes: equal values get equal tokens, in every process and every run.

Only what the hash of an expression needs is covered by hand; anything else is hashed through
cloudpickle. Data is never hashed by the gigabyte: a source carries a token of its own.
"""

from __future__ import annotations

import enum
import hashlib
import itertools
import os
import struct
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

__all__ = ["HasToken", "nonce", "token"]

_counter = itertools.count()


@runtime_checkable
class HasToken(Protocol):
    """A value that knows its own content hash."""

    @property
    def key(self) -> str: ...


def nonce() -> str:
    """A token equal to no other, for what must never be shared: effects, user randomness."""
    return f"{os.getpid():x}-{next(_counter):x}-{os.urandom(6).hex()}"


def token(*values: Any) -> str:
    """Hash of the values' content, as 32 hexadecimal digits.

    Values of different types differ (``1``, ``1.0`` and ``True`` are three things).

    Examples
    --------
    >>> token(1, "a") == token(1, "a"), token(1) == token(1.0)
    (True, False)
    """
    state = hashlib.blake2b(digest_size=16)
    write = state.update
    for value in values:
        _write(value, write)
    return state.hexdigest()


def _write(value: Any, write: Callable[[bytes], None]) -> None:
    writer = _WRITERS.get(type(value))
    if writer is not None:
        writer(value, write)
    elif isinstance(key := getattr(value, "key", None), str):
        # What HasToken says; asking the protocol itself costs twenty times as much.
        write(b"K" + key.encode())
    elif isinstance(value, enum.Enum):
        _write_str(f"{type(value).__qualname__}.{value.name}", write)
    elif isinstance(value, tuple):  # named tuples
        _write_str(type(value).__qualname__, write)
        _write_sequence(tuple(value), write)
    else:
        _write_pickled(value, write)


def _write_str(value: str, write: Callable[[bytes], None]) -> None:
    data = value.encode("utf-8", "surrogatepass")
    write(b"s%d:" % len(data))
    write(data)


def _write_bytes(value: bytes, write: Callable[[bytes], None]) -> None:
    write(b"b%d:" % len(value))
    write(value)


def _write_sequence(value: tuple[Any, ...] | list[Any], write: Callable[[bytes], None]) -> None:
    write((b"t%d:" if isinstance(value, tuple) else b"l%d:") % len(value))
    for item in value:
        _write(item, write)


def _write_set(value: frozenset[Any] | set[Any], write: Callable[[bytes], None]) -> None:
    write(b"S%d:" % len(value))
    for item in sorted(token(item) for item in value):
        write(item.encode())


def _write_dict(value: dict[Any, Any], write: Callable[[bytes], None]) -> None:
    write(b"d%d:" % len(value))
    for key, item in value.items():
        _write(key, write)
        _write(item, write)


def _write_pickled(value: Any, write: Callable[[bytes], None]) -> None:
    # Imported here: most expressions never hash anything that needs it.
    from nbscale.expr.pickler import dumps  # noqa: PLC0415

    write(b"p")
    _write_str(type(value).__qualname__, write)
    _write_bytes(dumps(value), write)


_WRITERS: dict[type, Callable[[Any, Callable[[bytes], None]], None]] = {
    type(None): lambda _, write: write(b"N"),
    type(...): lambda _, write: write(b"E"),
    bool: lambda value, write: write(b"B1" if value else b"B0"),
    int: lambda value, write: write(b"i%d;" % value),
    float: lambda value, write: write(b"f" + struct.pack("<d", value)),
    complex: lambda value, write: write(b"c" + struct.pack("<dd", value.real, value.imag)),
    str: _write_str,
    bytes: _write_bytes,
    tuple: _write_sequence,
    list: _write_sequence,
    set: _write_set,
    frozenset: _write_set,
    dict: _write_dict,
    slice: lambda value, write: _write_sequence((value.start, value.stop, value.step), write),
    range: lambda value, write: _write_sequence((value.start, value.stop, value.step), write),
}
