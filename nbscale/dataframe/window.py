"""Running operations: ``cumsum``, ``shift`` and their like."""

from __future__ import annotations

from nbscale.collection import Collection


class WindowMethods(Collection):
    """Methods of frames."""

    __slots__ = ()
