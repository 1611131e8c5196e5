"""``groupby``: rows gathered by equal keys."""

from __future__ import annotations

from nbscale.collection import Collection

__all__ = ["GroupByMethods"]


class GroupByMethods(Collection):
    """``.groupby(...)`` of frames and series."""

    __slots__ = ()
