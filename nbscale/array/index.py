"""Indexing: slices, integers, new axes; an array of integers or a mask on one axis."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from nbscale.array.axes import axes_of
from nbscale.array.chunks import Cut, Pick, picked, stepping
from nbscale.array.create import filled
from nbscale.array.io import asarray
from nbscale.array.node import ArrayBase, ArrayNode, Constant, Picks
from nbscale.array.reshape import reshaped
from nbscale.array.select import selected
from nbscale.collection import public
from nbscale.expr.node import Exchange, Index, Kernel, Map, Read
from nbscale.graph.axismap import AxisMap, Each, Listed, Ranges, Window
from nbscale.record import record

if TYPE_CHECKING:
    from nbscale.array.array import Array

__all__ = ["IndexMethods", "Slice", "Take", "flip", "take"]


class Slice(ArrayNode, Map):
    """Evenly spaced elements of each axis, at least one.

    Chunks stay as they are, less what is not taken: each reads one chunk of the operand.
    """

    operand: ArrayNode
    picks: tuple[Pick, ...]

    def validate(self) -> None:
        cuts = [
            picked(cut, pick)[0] for cut, pick in zip(self.operand.cuts, self.picks, strict=True)
        ]
        self._settle(tuple(cuts), self.operand.dtype)

    @property
    def label(self) -> str:
        return "getitem"

    @property
    def slices(self) -> Picks:
        """The fact that this node takes a slice, and which."""
        return self.picks

    def of(self, operand: ArrayNode, picks: Picks) -> ArrayNode:
        """A slice of an array: how one is made by who only knows the fact."""
        return Slice(operand, picks)

    def reads(self) -> tuple[Read, ...]:
        maps = tuple(map(_map_of, self.operand.cuts, self.picks))
        return (Read(self.operand, tuple(range(self.ndim)), maps),)

    def kernel(self) -> Kernel:
        return _Sliced(self.operand.cuts, self.picks)


def _map_of(cut: Cut, pick: Pick) -> AxisMap:
    made, chunks = picked(cut, pick)
    if made is cut and pick[1] == 1:  # backwards the cut may be the same, too
        return Each(cut.n)
    if chunks[-1] - chunks[0] == made.n - 1:
        return Window(made.n, cut.n, int(chunks[0]), int(chunks[0]) + 1)
    return Ranges(cut.n, chunks, chunks + 1)


@record
class _Sliced:
    cuts: tuple[Cut, ...]
    picks: tuple[Pick, ...]

    def __call__(self, index: Index, value: Any) -> Any:
        where = []
        for i, cut, pick in zip(index, self.cuts, self.picks, strict=True):
            made, chunks = picked(cut, pick)
            start, step, _ = pick
            begin = start + made.start(i) * step - cut.start(chunks.item(i))
            where.append(stepping(begin, step, made.extent(i)))
        return value[tuple(where) or ...]


class Take(ArrayNode, Exchange):
    """The elements at given places of one axis: every chunk sends what others take of it."""

    operand: ArrayNode
    axis: int
    places: Constant

    def validate(self) -> None:
        cuts = list(self.operand.cuts)
        cuts[self.axis] = Cut(self.places.value.size, max(1, cuts[self.axis].size))
        self._settle(tuple(cuts), self.operand.dtype)

    def targets(self) -> tuple[AxisMap, ...]:
        route = _Route(self.operand.cuts[self.axis], self.cuts[self.axis], self.places.value)
        return tuple(route.reads() if a == self.axis else Each(n) for a, n in enumerate(self.grid))

    def split(self) -> Kernel:
        route = _Route(self.operand.cuts[self.axis], self.cuts[self.axis], self.places.value)
        return _TakeSplit(route, self.axis, self.grid)

    def merge(self) -> Kernel:
        route = _Route(self.operand.cuts[self.axis], self.cuts[self.axis], self.places.value)
        return _TakeMerge(route, self.axis)


class _Route:
    """Which elements of each chunk go where."""

    def __init__(self, old: Cut, new: Cut, places: npt.NDArray[np.intp]) -> None:
        self.old, self.new, self.places = old, new, places
        owner = old.bounds.searchsorted(places, "right") - 1
        self._order = np.argsort(owner, kind="stable")
        self._groups = owner[self._order].searchsorted(np.arange(old.n + 1))
        into = np.arange(places.size) // max(1, new.size)
        pairs = np.unique(into * old.n + owner)
        counts = np.bincount(pairs // old.n, minlength=new.n)
        self._map = Listed(old.n, np.concatenate(([0], np.cumsum(counts))), pairs % old.n)

    def reads(self) -> AxisMap:
        """The old chunks each new one reads."""
        return self._map

    def positions(self, chunk: int, into: int) -> npt.NDArray[np.intp]:
        """Positions in the new axis, of what old chunk gives to a new one. In order."""
        own = self._order[self._groups[chunk] : self._groups[chunk + 1]]
        lo, hi = own.searchsorted((self.new.start(into), self.new.start(into + 1)))
        return own[lo:hi]


@record
class _TakeSplit:
    route: _Route
    axis: int
    grid: tuple[int, ...]

    def __call__(self, index: Index, value: Any) -> dict[int, Any]:
        chunk = index[self.axis]
        begin = self.route.old.start(chunk)
        pieces = {}
        for into in self.route.reads().consumers(chunk):
            own = self.route.places[self.route.positions(chunk, int(into))] - begin
            flat = 0
            for a, n in enumerate(self.grid):
                flat = flat * n + (int(into) if a == self.axis else index[a])
            pieces[flat] = value.take(own, axis=self.axis)
        return pieces


@record
class _TakeMerge:
    route: _Route
    axis: int

    def __call__(self, index: Index, pieces: list[Any]) -> Any:
        into = index[self.axis]
        if len(pieces) == 1:
            return pieces[0]
        shape = list(pieces[0].shape)
        shape[self.axis] = self.route.new.extent(into)
        whole = np.empty(shape, pieces[0].dtype)
        front: tuple[Any, ...] = (slice(None),) * self.axis
        begin = self.route.new.start(into)
        for chunk, piece in zip(self.route.reads().inputs(into), pieces, strict=True):
            whole[(*front, self.route.positions(int(chunk), into) - begin)] = piece
        return whole


# From what users write ----------------------------------------------------------------------

_VALID = (
    "only integers, slices (`:`), ellipsis (`...`), numpy.newaxis (`None`) and integer or boolean "
    "arrays are valid indices"
)


def _is_array(item: Any) -> bool:
    return isinstance(item, (list, np.ndarray)) and np.ndim(item) > 0


def _items(index: Any, shape: Sequence[int]) -> list[Any]:
    """The index with one item for each axis, and None for new ones; arrays are NumPy's."""
    items = list(index) if isinstance(index, tuple) else [index]
    if any(isinstance(item, ArrayBase) and item.ndim for item in items):
        raise NotImplementedError(
            "a lazy array can be an index alone, as a mask; otherwise compute it first"
        )
    items = [np.asarray(item) if _is_array(item) else item for item in items]
    used = sum(
        item.ndim if isinstance(item, np.ndarray) and item.dtype == bool else 1
        for item in items
        if item is not None and item is not Ellipsis
    )
    if sum(item is Ellipsis for item in items) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if used > len(shape):
        raise IndexError(
            f"too many indices for array: array is {len(shape)}-dimensional, but {used} were "
            "indexed"
        )
    at = next((i for i, item in enumerate(items) if item is Ellipsis), len(items))
    return [*items[:at], *[slice(None)] * (len(shape) - used), *items[at + 1 :]]


def _place(item: Any, axis: int, n: int) -> int:
    try:
        place = operator.index(item)
    except TypeError:
        raise IndexError(_VALID) from None
    if not -n <= place < n:
        raise IndexError(f"index {place} is out of bounds for axis {axis} with size {n}")
    return place % n


def _places(item: npt.NDArray[Any], axis: int, shape: Sequence[int]) -> npt.NDArray[np.intp]:
    """Integers that are not negative, from an array of integers or a mask of one axis."""
    n = shape[axis]
    if item.dtype == bool:
        for a, m in enumerate(item.shape):
            if m != shape[axis + a]:
                raise IndexError(
                    "boolean index did not match indexed array along axis "
                    f"{axis + a}; size of axis is {shape[axis + a]} but size of corresponding "
                    f"boolean axis is {m}"
                )
        return np.flatnonzero(item)
    if item.size == 0 and item.dtype.kind == "f":
        item = item.astype(np.intp)
    if item.dtype.kind not in "iu":
        raise IndexError("arrays used as indices must be of integer (or boolean) type")
    bad = item[(item < -n) | (item >= n)]
    if bad.size:
        raise IndexError(f"index {bad.flat[0]} is out of bounds for axis {axis} with size {n}")
    return np.where(item < 0, item + n, item).astype(np.intp)


def getitem(node: ArrayNode, index: Any) -> ArrayNode:
    """The node of ``array[index]``."""
    items = _items(index, node.shape)
    arrays = [item for item in items if isinstance(item, np.ndarray) and item.ndim]
    if len(arrays) > 1:
        raise NotImplementedError(
            "one array of integers or one mask can be in an index, not "
            f"{len(arrays)}: index one axis after the other, or compute first"
        )
    if arrays and arrays[0].dtype == bool and arrays[0].ndim > 1:
        node, items = _flat_mask(node, items)
    return _basic_and_take(node, items)


def _flat_mask(node: ArrayNode, items: list[Any]) -> tuple[ArrayNode, list[Any]]:
    """A mask of several axes as one of one axis: those axes are merged."""
    at = next(i for i, item in enumerate(items) if isinstance(item, np.ndarray) and item.ndim)
    mask = items[at]
    axis = sum(item is not None for item in items[:at])
    _places(mask, axis, node.shape)
    shape = (*node.shape[:axis], mask.size, *node.shape[axis + mask.ndim :])
    return reshaped(node, shape), [*items[:at], mask.ravel(), *items[at + 1 :]]


def _basic_and_take(node: ArrayNode, items: list[Any]) -> ArrayNode:
    picks: list[Pick] = []
    order: list[int] = []  # of the answer's axes: an axis of the operand, or -1
    taken: tuple[int, npt.NDArray[np.intp]] | None = None
    advanced: list[int] = []  # positions among the items of integers and of the array
    spot = 0  # of the array's axis in the answer
    for position, item in enumerate(items):
        axis = len(picks)
        if item is None:
            order.append(-1)
            continue
        n = node.shape[axis]
        if isinstance(item, slice):
            start, stop, step = item.indices(n)
            picks.append((start, step, len(range(start, stop, step))))
            order.append(axis)
            continue
        advanced.append(position)
        if isinstance(item, np.ndarray) and item.ndim:
            taken = (axis, _places(item, axis, node.shape))
            spot = len(order)
            picks.append((0, 1, n))
            order.append(axis)
        elif isinstance(item, (bool, np.bool_)):
            raise NotImplementedError("an index that is True or False is not supported")
        else:
            picks.append((_place(item, axis, n), 1, 1))
    if taken is not None and advanced[-1] - advanced[0] != len(advanced) - 1:
        # NumPy puts the axes of the array first when integers stand apart from it.
        order.insert(0, order.pop(spot))
        spot = 0
    made = axes_of(_taken(node, tuple(picks), taken), order)
    if taken is not None and taken[1].ndim != 1:
        shape = (*made.shape[:spot], *taken[1].shape, *made.shape[spot + 1 :])
        made = reshaped(made, shape)
    return made


def _taken(
    node: ArrayNode, picks: tuple[Pick, ...], taken: tuple[int, npt.NDArray[np.intp]] | None
) -> ArrayNode:
    """What is picked, and of that what is taken along one axis. All axes stay."""
    lengths = [count for _, _, count in picks]
    if taken is not None:
        lengths[taken[0]] = taken[1].size
    if 0 in lengths:
        return filled(tuple(lengths), np.zeros((), node.dtype)[()], node.dtype, -1)
    made = node
    if any(pick != (0, 1, n) for pick, n in zip(picks, node.shape, strict=True)):
        made = Slice(node, picks)
    return made if taken is None else Take(made, taken[0], Constant(taken[1].ravel()))


class IndexMethods(ArrayBase):
    """Indexing."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Self:
        if isinstance(index, ArrayBase) and (index.ndim or index.dtype == bool):
            mask = index._node  # noqa: SLF001 - arrays are this package's
            return self._new(selected(self._node, mask), index)
        return self._new(getitem(self._node, index))

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            "a lazy array cannot be written into; make a new one: na.where(condition, value, x)"
        )

    def take(self, indices: npt.ArrayLike, axis: int | None = None) -> Self:
        """The elements at given places of one axis, or of the flat array.

        Each chunk sends only what is taken of it.

        Parameters
        ----------
        indices
            Integers, in memory.
        axis
            The axis, or None for the flat array.

        Raises
        ------
        IndexError
            If a place is outside.

        Examples
        --------
        >>> import nbscale.array as na
        >>> na.arange(10, chunks=3).take([9, 0, 4]).compute()
        array([9, 0, 4])
        """
        if axis is None:
            flat: Self = self.reshape(-1)  # type: ignore[attr-defined]  # of ShapeMethods
            return flat.take(indices, 0)
        where = np.asarray(indices)
        item: Any = where if where.ndim else int(where)
        return self[(slice(None),) * (axis % self.ndim) + (item,)]


@public
def take(a: Any, indices: npt.ArrayLike, axis: int | None = None) -> Array:
    """The elements at given places of one axis, or of the flat array. See ``Array.take``."""
    return asarray(a).take(indices, axis)


@public
def flip(m: Any, axis: int | tuple[int, ...] | None = None) -> Array:
    """Axes in reverse: all, or those named. Views only."""
    x = asarray(m)
    axes = range(x.ndim) if axis is None else np.lib.array_utils.normalize_axis_tuple(axis, x.ndim)
    back, same = slice(None, None, -1), slice(None)
    return x[tuple(back if a in axes else same for a in range(x.ndim))]
