"""Values as bytes: pickled, with large buffers beside the pickle so that readers need not copy them.

::

    value   [n, length of pickle, length of each buffer: u64 each] pickle │ buffers, each at a 64th byte
    pieces  [n, start of each piece, end: u64 each] value │ value │ …      each at a 64th byte

What is read comes from processes of our own: whoever calls ``decode`` has checked the frame that
named the bytes.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from nbscale.record import record

__all__ = [
    "Encoded",
    "decode",
    "decode_piece",
    "decode_pieces",
    "dumps",
    "encode",
    "encode_pieces",
    "join",
    "piece_starts",
    "split",
]

Dumps: TypeAlias = Callable[..., bytes]
"""Like ``pickle.dumps``: takes ``protocol`` and ``buffer_callback``."""

_ALIGN = 64
_WORD = struct.Struct("<Q")

_SMALL_BUFFER = 1024
"""Bytes up to which a buffer stays in the pickle: one beside it costs more than its copy."""


@record(eq=False)
class Encoded:
    """Parts that make the bytes of a value, and how many bytes that is.

    ``parts`` are (offset, bytes); what lies between them is undefined.
    """

    parts: tuple[tuple[int, Any], ...]
    nbytes: int

    def write(self, target: memoryview) -> None:
        """Put the parts where they belong."""
        for start, part in self.parts:
            target[start : start + len(part)] = part

    def to_bytes(self) -> bytes:
        """All in one."""
        if len(self.parts) == 1:
            return bytes(self.parts[0][1])
        whole = bytearray(self.nbytes)
        self.write(memoryview(whole))
        return bytes(whole)


def dumps(value: Any) -> bytes:
    """Pickle a value in one piece; what is defined in a notebook by what it is, not by its name.

    Only where ``__main__`` is empty, as in a worker: elsewhere what is defined there is found by its
    name, and would be lost on the way.
    """
    try:
        return pickle.dumps(value, protocol=5)
    except Exception:  # noqa: BLE001 - whatever it is, the other way may do
        import cloudpickle  # noqa: PLC0415 - 10 ms that few values need

        data: bytes = cloudpickle.dumps(value, protocol=5)
        return data


def split(value: Any, pickler: Dumps = pickle.dumps) -> tuple[bytes, list[memoryview]]:
    """Pickle a value, its large buffers beside it, without copying them."""
    buffers: list[memoryview] = []

    def beside(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes <= _SMALL_BUFFER:
            return True
        buffers.append(raw)
        return False

    return pickler(value, protocol=5, buffer_callback=beside), buffers


def encode(value: Any, pickler: Dumps = pickle.dumps) -> Encoded:
    """What ``split`` makes of a value as one.

    Examples
    --------
    >>> decode(memoryview(encode([1, "a"]).to_bytes()))
    [1, 'a']
    """
    return join(*split(value, pickler))


def join(pickled: bytes, buffers: Sequence[memoryview]) -> Encoded:
    """What ``split`` made, as one, without copying the buffers."""
    n = len(buffers)
    head = struct.pack(f"<{n + 2}Q", n, len(pickled), *[buffer.nbytes for buffer in buffers])
    if not n:
        return Encoded(((0, head + pickled),), len(head) + len(pickled))
    parts: list[tuple[int, Any]] = [(0, head + pickled)]
    end = len(head) + len(pickled)
    for buffer in buffers:
        start = _aligned(end)
        parts.append((start, buffer))
        end = start + buffer.nbytes
    return Encoded(tuple(parts), end)


def decode(data: memoryview) -> Any:
    """The value of bytes made by ``encode``; its large buffers are views of them."""
    n, length = struct.unpack_from("<2Q", data)
    end = 16 + 8 * n + length
    pickled = data[end - length : end]
    if not n:
        return pickle.loads(pickled)
    buffers = []
    for size in struct.unpack_from(f"<{n}Q", data, 16):
        start = _aligned(end)
        end = start + size
        buffers.append(data[start:end])
    return pickle.loads(pickled, buffers=buffers)


def encode_pieces(values: Sequence[Any], pickler: Dumps = pickle.dumps) -> Encoded:
    """Encode values so that each can be read without looking at the others."""
    n = len(values)
    end = _aligned(8 * (n + 2))
    starts, parts = [], []
    for value in values:
        one = encode(value, pickler)
        starts.append(end)
        parts += [(end + start, part) for start, part in one.parts]
        end = _aligned(end + one.nbytes)
    head = struct.pack(f"<{n + 2}Q", n, *starts, end)
    return Encoded(((0, head), *parts), end)


def decode_piece(data: memoryview, piece: int) -> Any:
    """One of the values of bytes made by ``encode_pieces``."""
    start, end = piece_span(data, piece)
    return decode(data[start:end])


def piece_span(data: memoryview, piece: int) -> tuple[int, int]:
    """Where one of the values begins and ends in bytes made by ``encode_pieces``."""
    (n,) = _WORD.unpack_from(data)
    if not 0 <= piece < n:
        raise IndexError(f"piece {piece} of {n}")
    start, end = struct.unpack_from("<2Q", data, 8 * (piece + 1))
    return start, end


def decode_pieces(data: memoryview) -> list[Any]:
    """All values of bytes made by ``encode_pieces``."""
    (n,) = _WORD.unpack_from(data)
    return [decode_piece(data, piece) for piece in range(n)]


def piece_starts(data: memoryview) -> tuple[int, ...]:
    """Where each piece begins in bytes made by ``encode_pieces``, and where the last one ends."""
    (n,) = _WORD.unpack_from(data)
    return struct.unpack_from(f"<{n + 1}Q", data, _WORD.size)


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGN) * _ALIGN
