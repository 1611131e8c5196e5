"""How arrays are cut: one `Cut` for each axis, and what users may write for ``chunks=``.

A regular cut is two integers however many chunks there are, so that an array of a million chunks
costs nothing to describe; an irregular one keeps its bounds in one NumPy array.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nbscale import config
from nbscale.expr.token import token
from nbscale.units import parse_bytes

__all__ = [
    "Chunks",
    "Cut",
    "Pick",
    "count_chunks",
    "cuts_of",
    "largest",
    "picked",
    "rounded",
    "shape_of",
    "slices_of",
    "starts_of",
    "stepping",
    "tuples",
]

Chunks: TypeAlias = "int | str | tuple[Any, ...] | list[Any] | dict[int, Any] | None"
"""What ``chunks=`` takes, as in Dask: elements, ``"auto"``, bytes such as ``"16 MB"``, -1 or None
for a whole axis, explicit sizes, or any of these for each axis in a tuple or dict."""

IntArray: TypeAlias = npt.NDArray[np.int64]


class Cut:
    """One axis of ``length`` elements cut into ``n`` chunks, at least one. Immutable.

    Attributes
    ----------
    length, n
        Elements and chunks.
    size
        Elements of the largest chunk.
    key
        Equal cuts have equal keys: a cut that is regular is always stored as such.
    """

    __slots__ = ("_bounds", "_regular", "_sizes", "key", "length", "n", "size")

    length: int
    n: int
    size: int
    key: str

    def __init__(self, length: int, size: int) -> None:
        """Chunks of ``size`` elements, the last one of what is left."""
        self._regular = True
        self.length = length
        self.size = max(1, min(size, length)) if length else 0
        self.n = -(-length // self.size) if length else 1
        self.key = f"cut {length}/{self.size}"
        self._bounds: IntArray | None = None
        self._sizes: tuple[int, ...] | None = None

    @classmethod
    def whole(cls, length: int) -> Cut:
        """One chunk."""
        return cls(length, length)

    @classmethod
    def of(cls, sizes: npt.ArrayLike) -> Cut:
        """Chunks of these sizes, which may be zero."""
        widths = np.asarray(sizes, dtype=np.int64)
        if not widths.size:
            return cls(0, 0)
        if widths.min() < 0:
            raise ValueError(f"a chunk has no fewer than 0 elements, not {widths.min()}")
        bounds = np.zeros(widths.size + 1, dtype=np.int64)
        np.cumsum(widths, out=bounds[1:])
        made = cls(int(bounds[-1]), int(widths[0]))
        if made.n == widths.size and np.array_equal(made.bounds, bounds):
            return made
        bounds.flags.writeable = False
        made._regular = False
        made._bounds = bounds
        made.n = widths.size
        made.size = int(widths.max())
        made.key = token("cut", bounds.tobytes())
        return made

    @property
    def bounds(self) -> IntArray:
        """Where each chunk begins, and the length: ``n + 1`` numbers."""
        if self._bounds is None:
            bounds = np.minimum(np.arange(self.n + 1, dtype=np.int64) * self.size, self.length)
            bounds.flags.writeable = False
            self._bounds = bounds
        return self._bounds

    @property
    def sizes(self) -> tuple[int, ...]:
        """Elements of each chunk; for a regular cut the numbers are one shared object."""
        if self._sizes is None:
            if self._regular:
                rest = self.length - (self.n - 1) * self.size
                self._sizes = (self.size,) * (self.n - 1) + (rest,)
            else:
                self._sizes = tuple(np.diff(self.bounds).tolist())
        return self._sizes

    def start(self, i: int) -> int:
        """Where chunk ``i`` begins; ``i`` may be ``n``, whose start is the length."""
        if self._regular:
            return min(i * self.size, self.length)
        return self.bounds.item(i)

    def starts(self, lo: int, hi: int) -> IntArray:
        """Where chunks ``lo`` up to ``hi`` begin."""
        if self._regular:
            return np.minimum(np.arange(lo, hi, dtype=np.int64) * self.size, self.length)
        return self.bounds[lo:hi]

    def extent(self, i: int) -> int:
        """Elements of chunk ``i``."""
        return self.start(i + 1) - self.start(i)

    def slice(self, i: int) -> slice:
        """The elements of chunk ``i``."""
        return slice(self.start(i), self.start(i + 1))

    def find(self, position: int) -> int:
        """The chunk that holds an element."""
        if self._regular:
            return position // self.size
        return int(self.bounds.searchsorted(position, "right")) - 1

    def overlaps(self, other: Cut) -> tuple[IntArray, IntArray]:
        """For each chunk of another cut of this axis: the chunks of this one from, and up to."""
        lo = self.bounds[1:].searchsorted(other.bounds[:-1], "right").astype(np.int64)
        hi = self.bounds[:-1].searchsorted(other.bounds[1:], "left").astype(np.int64)
        empty = np.diff(other.bounds) == 0
        lo = np.minimum(lo, self.n - 1)
        hi = np.where(empty, lo, np.maximum(hi, lo))
        return lo, hi

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cut) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        if self.n == 1:
            return f"{self.length}"
        if self._regular:
            return f"{self.length}/{self.size}"
        return f"{self.length} in {self.n}"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._regular:
            return Cut, (self.length, self.size)
        return Cut.of, (np.diff(self.bounds),)


def cuts_of(
    chunks: Chunks,
    shape: Sequence[int],
    itemsize: int,
    old: Sequence[Cut] | None = None,
    tile: Sequence[int] | None = None,
) -> tuple[Cut, ...]:
    """Cuts from what a user wrote for ``chunks=``.

    Parameters
    ----------
    chunks
        See `Chunks`.
    shape, itemsize
        Of the array; what is chosen here is near-square and holds ``config.chunk_size`` bytes.
    old
        Cuts there are: axes that a dict does not name keep theirs.
    tile
        What is chosen here is rounded to multiples of these, where the axis is longer.

    Raises
    ------
    ValueError
        If the chunks do not fit the shape.
    """
    target = config.get().chunk_size
    wanted = _each_axis(chunks, shape, old)
    fixed: list[Cut | None] = []
    for length, want in zip(shape, wanted, strict=True):
        if isinstance(want, str):
            if want != "auto":
                target = parse_bytes(want)
            fixed.append(None)
        else:
            fixed.append(_one_axis(want, length, chunks, shape))
    free = [a for a, cut in enumerate(fixed) if cut is None]
    room = target / max(1, itemsize)
    room /= math.prod(max(1, cut.size) for cut in fixed if cut is not None)
    for a, size in _near_square([shape[a] for a in free], room):
        axis = free[a]
        fixed[axis] = rounded(shape[axis], size, tile[axis] if tile is not None else 1)
    return tuple(cut for cut in fixed if cut is not None)


def _each_axis(chunks: Chunks, shape: Sequence[int], old: Sequence[Cut] | None) -> list[Any]:
    """What is wanted of each axis."""
    ndim = len(shape)
    if chunks is None or isinstance(chunks, (int, np.integer, str)):
        return ["auto" if chunks is None else chunks] * ndim
    if isinstance(chunks, dict):
        kept: list[Any] = list(old) if old is not None else ["auto"] * ndim
        for axis, want in chunks.items():
            if not -ndim <= axis < ndim:
                raise ValueError(f"chunks={chunks!r} names axis {axis} of {ndim}")
            kept[axis] = want
        return kept
    wanted = list(chunks)
    plain = all(isinstance(c, (int, np.integer)) for c in wanted)
    if ndim == 1 and len(wanted) > 1 and plain:
        wanted = [tuple(wanted)]
    if len(wanted) != ndim:
        raise ValueError(
            f"Chunks and shape must be of the same length/dimension. "
            f"Got chunks={chunks!r}, shape={tuple(shape)}"
        )
    return wanted


def _one_axis(want: Any, length: int, chunks: Chunks, shape: Sequence[int]) -> Cut:
    if isinstance(want, Cut):
        return want
    if want is None:
        return Cut.whole(length)
    if isinstance(want, (int, np.integer)) and not isinstance(want, bool):
        if want == -1:
            return Cut.whole(length)
        if want < 1 and length:
            raise ValueError(f"a chunk has at least one element, not {want}: chunks={chunks!r}")
        return Cut(length, int(want))
    if isinstance(want, (tuple, list, np.ndarray)):
        cut = Cut.of(want)
        if cut.length != length:
            raise ValueError(
                f"Chunks do not add up to shape. Got chunks={chunks!r}, shape={tuple(shape)}"
            )
        return cut
    raise ValueError(f"chunks={chunks!r}: {want!r} says nothing of an axis of {length}")


def _near_square(lengths: Sequence[int], room: float) -> list[tuple[int, int]]:
    """Sizes along the axes that are free: short axes whole, the others of one size."""
    sizes: dict[int, int] = {}
    rest = [a for a, length in enumerate(lengths) if length > 1]
    sizes.update({a: max(1, length) for a, length in enumerate(lengths) if length <= 1})
    while rest:
        side = max(1.0, room) ** (1 / len(rest))
        short = [a for a in rest if lengths[a] <= side]
        if not short:
            sizes.update(dict.fromkeys(rest, int(side + 1e-9)))
            break
        for a in short:
            sizes[a] = lengths[a]
            room /= lengths[a]
            rest.remove(a)
    return list(sizes.items())


def rounded(length: int, size: int, tile: int = 1) -> Cut:
    """Equal chunks of at most about ``size`` elements, in multiples of a tile."""
    if size >= length:
        return Cut.whole(length)
    size = max(tile, size // tile * tile)
    even = -(-length // -(-length // size))
    return Cut(length, -(-even // tile) * tile)


Pick: TypeAlias = tuple[int, int, int]
"""Some elements of an axis: start, step and how many, at least one."""


@functools.lru_cache(maxsize=256)
def picked(cut: Cut, pick: Pick) -> tuple[Cut, IntArray]:
    """The cut of what is picked where chunks stay, and the old chunk each new one lies in.

    Examples
    --------
    >>> picked(Cut(10, 4), (9, -3, 3))
    (3/1, array([2, 1, 0]))
    """
    start, step, count = pick
    if step == 1 and count == cut.length:
        return cut, np.arange(cut.n, dtype=np.int64)
    first, last = cut.find(start), cut.find(start + (count - 1) * step)
    if step > 0:
        chunks = np.arange(first, last + 1, dtype=np.int64)
        before = -((start - cut.starts(first + 1, last + 1)) // step)
    else:
        chunks = np.arange(first, last - 1, -1, dtype=np.int64)
        before = (start - cut.starts(last + 1, first + 1)[::-1]) // -step + 1
    sizes = np.diff(before, prepend=0, append=count)
    some = sizes > 0
    return Cut.of(sizes[some]), chunks[some]


def stepping(begin: int, step: int, count: int) -> slice:
    """The slice of ``count`` elements from ``begin``, whichever way the step goes."""
    end = begin + count * step
    return slice(begin, end if end >= 0 else None, step)


@functools.lru_cache(maxsize=256)
def tuples(cuts: tuple[Cut, ...]) -> tuple[tuple[int, ...], ...]:
    """Chunks as users see them. Kept, since a million numbers are 8 MB."""
    return tuple(cut.sizes for cut in cuts)


def slices_of(cuts: Sequence[Cut], index: Sequence[int]) -> tuple[slice, ...]:
    """The elements of the chunk at these coordinates."""
    return tuple(cut.slice(i) for cut, i in zip(cuts, index, strict=True))


def shape_of(cuts: Sequence[Cut], index: Sequence[int]) -> tuple[int, ...]:
    """The shape of the chunk at these coordinates."""
    return tuple(cut.extent(i) for cut, i in zip(cuts, index, strict=True))


def starts_of(cuts: Sequence[Cut], index: Sequence[int]) -> tuple[int, ...]:
    """The first element of the chunk at these coordinates."""
    return tuple(cut.start(i) for cut, i in zip(cuts, index, strict=True))


def largest(cuts: Sequence[Cut]) -> int:
    """Elements of the largest chunk."""
    return math.prod(cut.size for cut in cuts)


def count_chunks(cuts: Sequence[Cut]) -> int:
    """Number of chunks."""
    return math.prod(cut.n for cut in cuts)
