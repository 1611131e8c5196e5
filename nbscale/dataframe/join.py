"""Joining frames: ``merge``, ``join``, ``concat``."""

from __future__ import annotations

from nbscale.collection import Collection


class JoinMethods(Collection):
    """Methods of frames."""

    __slots__ = ()


def merge(left, right, **kwargs): raise NotImplementedError


def concat(frames, **kwargs): raise NotImplementedError
