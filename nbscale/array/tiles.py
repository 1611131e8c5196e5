"""Several operations on elements in one: run through a chunk by tiles that stay in a core's cache."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nbscale.array.broadcast import read_broadcast
from nbscale.array.chunks import Cut, shape_of
from nbscale.array.functions import named, plain
from nbscale.array.node import (
    ArrayNode,
    as_chunk,
    dtype_of,
    name_of,
    quiet,
)
from nbscale.expr.node import Index, Kernel, Map, Node, Read
from nbscale.record import record

__all__ = ["Fused", "fused"]

_TILE = 1 << 14
"""Elements of a tile: of 8 bytes, a handful of them fit into a core's own cache."""


class _Register(int):
    """Number of the operand or step that is meant, where parameters are numbers, too."""

    __slots__ = ()

    @property
    def key(self) -> str:
        """For the hash of the node."""
        return f"register {int(self)}"


class Fused(ArrayNode, Map):
    """Several operations on elements, one after the other on every tile of a chunk.

    A step is a function, what it takes (registers and parameters), options and the dtype's name;
    registers count the operands first, then the steps.
    """

    operands: tuple[ArrayNode, ...]
    steps: tuple[Any, ...]
    into: tuple[Cut, ...]

    def validate(self) -> None:
        self._settle(self.into, dtype_of(self.steps[-1][3]))

    @property
    def gil_free(self) -> bool:  # type: ignore[override]
        """Objects are Python's."""
        return all(
            isinstance(function, str) and not dtype_of(name).hasobject
            for function, _, _, name in self.steps
        )

    @property
    def label(self) -> str:
        names = [f if isinstance(f, str) else f.name for f, _, _, _ in self.steps[-4:]]
        return " + ".join(dict.fromkeys(names))

    def reads(self) -> tuple[Read, ...]:
        return tuple(read_broadcast(node, self.grid, self.shape) for node in self.operands)

    def kernel(self) -> Kernel:
        steps = tuple(
            (
                named(function),
                tuple((a, None) if isinstance(a, _Register) else (-1, plain(a)) for a in args),
                dict(options),
            )
            for function, args, options, _ in self.steps
        )
        return _ByTiles(self.cuts, self.dtype, steps)


def fused(members: Sequence[Node], done: Mapping[str, Node]) -> Fused:
    """The one node for members in their order, whose other inputs are ``done``."""
    inside = {node.key: i for i, node in enumerate(members)}
    outside: dict[str, ArrayNode] = {}
    for node in members:
        for child in node.inputs:
            if child.key not in inside:
                outside.setdefault(child.key, done[child.key])  # type: ignore[arg-type]
    place = {key: _Register(i) for i, key in enumerate(outside)}
    place |= {key: _Register(len(outside) + i) for key, i in inside.items()}
    steps = []
    for node in members:
        function, operands, options = node.step()  # type: ignore[attr-defined]
        args = tuple(place[a.key] if isinstance(a, ArrayNode) else a for a in operands)
        steps.append((function, args, options, name_of(node.dtype)))  # type: ignore[attr-defined]
    last: ArrayNode = members[-1]  # type: ignore[assignment]
    return Fused(tuple(outside.values()), tuple(steps), last.cuts)


@record
class _ByTiles:
    """Run the steps on one tile after the other."""

    cuts: tuple[Cut, ...]
    dtype: np.dtype[Any]
    steps: tuple[tuple[Callable[..., Any], tuple[tuple[int, Any], ...], dict[str, Any]], ...]

    def __call__(self, index: Index, *values: Any) -> Any:
        shape = shape_of(self.cuts, index)
        if math.prod(shape) <= 2 * _TILE:
            with quiet():
                return as_chunk(self._run(list(values)), self.dtype)
        made = np.empty(shape, self.dtype)
        with quiet():
            for where in _tiles_of(shape):
                made[where] = self._run([_part(value, where) for value in values])
        return made

    def _run(self, registers: list[Any]) -> Any:
        for function, args, options in self.steps:
            given = [registers[place] if place >= 0 else value for place, value in args]
            registers.append(function(*given, **options))
        return registers[-1]


def _tiles_of(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Slices of the tiles: runs of the last axis, of several rows where they are short."""
    sides, room = [], _TILE
    for n in reversed(shape):
        sides.append(max(1, min(n, room)))
        room //= sides[-1]
    axes = [
        [slice(at, at + side) for at in range(0, n, side)]
        for n, side in zip(shape, reversed(sides), strict=True)
    ]
    return itertools.product(*axes)


def _part(value: Any, where: tuple[slice, ...]) -> Any:
    """The tile of a value that is broadcast."""
    own = where[len(where) - value.ndim :]
    return value[
        tuple([slice(None) if n == 1 else w for n, w in zip(value.shape, own, strict=True)])
    ]
