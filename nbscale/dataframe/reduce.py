"""Reductions: few values from many rows."""

from __future__ import annotations

from nbscale.collection import Collection

__all__ = ["FrameReductions", "SeriesReductions"]


class SeriesReductions(Collection):
    """Reductions of a series."""

    __slots__ = ()


class FrameReductions(Collection):
    """Reductions of a frame."""

    __slots__ = ()
