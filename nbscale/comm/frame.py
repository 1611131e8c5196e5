"""Signed frames: what a process sends another over a channel that others may write to.

::

    magic 4 │ length of payload u64 │ number u64 │ HMAC-SHA256 32 │ payload

The signature covers the name of the way (who sends, who receives), the number and the payload, so a
frame cannot be sent again, sent on to another, cut or put into another place. A frame that does not
fit is dropped, and its payload is never looked at.
"""

from __future__ import annotations

import hmac
import struct

from nbscale.errors import BadFrame, OldFrame

__all__ = ["Inbound", "Outbound"]

_MAGIC = b"nbf1"
_HEAD = struct.Struct("<4sQQ")
_MAC = 32
_START = _HEAD.size + _MAC


def _sign(key: bytes, way: bytes, head: bytes, payload: bytes | memoryview) -> bytes:
    if len(payload) < 1 << 16:
        return hmac.digest(key, b"".join((way, head, payload)), "sha256")
    mac = hmac.new(key, way, "sha256")  # no copy of what is large
    mac.update(head)
    mac.update(payload)
    return mac.digest()


class Outbound:
    """The sending end of a way.

    Parameters
    ----------
    key
        A secret that both ends know.
    way
        Its name; the two directions between two processes have two names.

    Examples
    --------
    >>> out, into = Outbound(b"secret", b"a>b"), Inbound(b"secret", b"a>b")
    >>> bytes(into.open(out.seal(b"hello")))
    b'hello'
    """

    __slots__ = ("_key", "_number", "_way")

    def __init__(self, key: bytes, way: bytes) -> None:
        self._key, self._way, self._number = key, way, 0

    @property
    def count(self) -> int:
        """How many frames were sealed."""
        return self._number

    def seal(self, payload: bytes) -> bytes:
        """Return the frame of a payload; a few microseconds, and a copy."""
        head = _HEAD.pack(_MAGIC, len(payload), self._number)
        self._number += 1
        return b"".join((head, _sign(self._key, self._way, head, payload), payload))


class Inbound:
    """The receiving end of a way."""

    __slots__ = ("_key", "_number", "_way")

    def __init__(self, key: bytes, way: bytes) -> None:
        self._key, self._way, self._number = key, way, 0

    @property
    def count(self) -> int:
        """How many frames were opened."""
        return self._number

    def open(self, frame: bytes) -> memoryview:
        """Return the payload of the next frame.

        Raises
        ------
        BadFrame
            If it is not the next frame of this way, as it was sent. The next one can still come.
        OldFrame
            If it is one that was opened before: then nothing is lost.
        """
        view = memoryview(frame)
        if len(view) < _START:
            raise BadFrame("shorter than a header")
        head, payload = view[: _HEAD.size], view[_START:]
        magic, length, number = _HEAD.unpack(head)
        if magic != _MAGIC:
            raise BadFrame("no frame of nbscale")
        if length != len(payload):
            raise BadFrame("cut, or longer than it says")
        mac = _sign(self._key, self._way, bytes(head), payload)
        if not hmac.compare_digest(mac, view[_HEAD.size : _START]):
            raise BadFrame("signature does not fit")
        if number < self._number:
            raise OldFrame(f"number {number} was here before")
        if number != self._number:
            raise BadFrame(f"number {number} where {self._number} was expected")
        self._number += 1
        return payload
