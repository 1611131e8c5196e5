"""Random numbers by tiles: each is filled from a Philox stream of its own."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nbscale.array.chunks import Cut, picked, shape_of, stepping
from nbscale.array.node import (
    ArrayNode,
    ArraySource,
    Constant,
    Needs,
    Picks,
    picked_cuts,
)
from nbscale.expr.node import Index, Kernel
from nbscale.record import record

if TYPE_CHECKING:
    pass

__all__ = ["Random", "fillers", "tile_of"]

_TILE = 1 << 16


def tile_of(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of the tiles that an array of this shape is made of.

    Near-square, of powers of two, short axes whole; the last tile of an axis may be shorter.

    Examples
    --------
    >>> tile_of((10_000, 10_000)), tile_of((1_000_000, 20)), tile_of((10,))
    ((256, 256), (2048, 20), (10,))
    """
    sides: dict[int, int] = {}
    room = _TILE
    rest = sorted(range(len(shape)), key=lambda axis: (shape[axis], -axis))
    while rest:
        axis = rest.pop(0)
        fair = 1 << round(math.log2(max(1, room)) // (len(rest) + 1))
        sides[axis] = max(1, min(shape[axis], fair))
        room //= sides[axis]
    return tuple(sides[axis] for axis in range(len(shape)))


class Random(ArraySource):
    """Independent numbers of one distribution, or some of them.

    ``words`` are the two 64-bit halves of the Philox key; ``whole`` is the shape of all numbers,
    of which ``picks`` are these.
    """

    distribution: str
    parameters: tuple[Any, ...]
    words: tuple[int, int]
    whole: tuple[int, ...]
    picks: Picks

    def slice_needs(self, picks: Picks) -> Needs:
        return ()

    def sliced(self, picks: Picks, inputs: Sequence[Any]) -> ArrayNode:
        outer = tuple(
            (begin + start * stride, stride * step, count)
            for (begin, stride, _), (start, step, count) in zip(self.picks, picks, strict=True)
        )
        return self.replace(cuts=picked_cuts(self.cuts, picks), picks=outer)

    @property
    def label(self) -> str:
        return f"random.{self.distribution}"

    def load(self) -> Kernel:
        parameters = tuple(p.value if isinstance(p, Constant) else p for p in self.parameters)
        tile = tile_of(self.whole)
        tiles = tuple(Cut(n, side) for n, side in zip(self.whole, tile, strict=True))
        return _Tiles(
            self.cuts,
            self.dtype,
            self.distribution,
            parameters,
            self.words,
            tiles,
            self.picks,
        )


class _Stream(threading.local):
    """One generator for each thread: making one costs more than setting its state."""

    def __init__(self) -> None:
        self.bits = np.random.Philox(0)
        self.generator = np.random.Generator(self.bits)
        self.state: Any = dict(self.bits.state)

    def at(self, words: tuple[int, int], tile: int) -> np.random.Generator:
        """The generator at the beginning of a tile's stream."""
        self.state["state"] = {
            "counter": np.array([0, 0, tile, 0], np.uint64),
            "key": np.array(words, np.uint64),
        }
        self.state["buffer_pos"] = 4  # nothing is left over from another stream
        self.state["has_uint32"] = 0
        self.bits.state = self.state
        return self.generator


_stream = _Stream()


@record
class _Tiles:
    """Fill a chunk tile by tile; of a tile that lies across chunks only a part is kept."""

    cuts: tuple[Cut, ...]
    dtype: np.dtype[Any]
    distribution: str
    parameters: tuple[Any, ...]
    words: tuple[int, int]
    tiles: tuple[Cut, ...]
    picks: Picks

    def __call__(self, index: Index) -> Any:
        made = np.empty(shape_of(self.cuts, index), self.dtype)
        fill = fillers(self.distribution, self.parameters, self.dtype)
        buffer = np.empty(math.prod(cut.size for cut in self.tiles), self.dtype)
        for parts in itertools.product(*map(self._parts, index, range(made.ndim))):
            flat, lengths = 0, []
            for (n, _, _), cut in zip(parts, self.tiles, strict=True):
                flat = flat * cut.n + n
                lengths.append(cut.extent(n))
            block = buffer[: math.prod(lengths)]
            fill(_stream.at(self.words, flat), block)
            where = tuple([there for _, there, _ in parts])
            made[where] = block.reshape(lengths)[tuple([own for _, _, own in parts])]
        return made

    def _parts(self, i: int, axis: int) -> list[tuple[int, slice, slice]]:
        """Along an axis of chunk ``i``: a tile, where its numbers go, and which of them do."""
        cut, tiles, (start, step, _) = self.cuts[axis], self.tiles[axis], self.picks[axis]
        first, count = start + cut.start(i) * step, cut.extent(i)
        if not count:
            return []
        runs, owners = picked.__wrapped__(tiles, (first, step, count))
        parts = []
        for j, n in enumerate(owners.tolist()):
            begin = first + runs.start(j) * step - tiles.start(n)
            parts.append((n, runs.slice(j), stepping(begin, step, runs.extent(j))))
        return parts


def fillers(distribution: str, parameters: tuple[Any, ...], dtype: np.dtype[Any]) -> Any:
    """A function ``(generator, block)`` that fills a block, in place where NumPy can."""
    match distribution:
        case "random":
            return lambda g, block: g.random(out=block, dtype=dtype)
        case "standard_normal":
            return lambda g, block: g.standard_normal(out=block, dtype=dtype)
        case "uniform":
            low, high = parameters
            return lambda g, block: _scaled(g.random(out=block), low, high - low)
        case "normal":
            loc, scale = parameters
            return lambda g, block: _scaled(g.standard_normal(out=block), loc, scale)
        case "exponential":
            (scale,) = parameters
            return lambda g, block: _scaled(g.standard_exponential(out=block), 0.0, scale)
        case "integers":
            low, high = parameters
            return lambda g, block: _put(block, g.integers(low, high, block.size, dtype))
        case "choice":
            pool, weights = parameters
            return lambda g, block: _put(block, g.choice(pool, block.size, p=weights))
        case _:
            return lambda g, block: _put(
                block, getattr(g, distribution)(*parameters, size=block.size)
            )


def _scaled(block: Any, loc: Any, scale: Any) -> None:
    block *= scale
    block += loc


def _put(block: Any, values: Any) -> None:
    block[...] = values
