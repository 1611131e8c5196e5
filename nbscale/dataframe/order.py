"""The order of rows and their index."""

from __future__ import annotations

from nbscale.collection import Collection


class OrderMethods(Collection):
    """Methods of frames."""

    __slots__ = ()


class FrameOrder(OrderMethods):
    """Methods of frames."""

    __slots__ = ()
