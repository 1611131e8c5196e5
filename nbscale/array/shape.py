"""Shapes: axes moved, dropped and added; ``reshape``; arrays put together."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from nbscale.array.chunks import Cut, shape_of
from nbscale.array.create import as_shape, filled
from nbscale.array.elementwise import picks_broadcast, read_broadcast
from nbscale.array.io import asarray
from nbscale.array.node import ArrayBase, ArrayNode, Needs, Picks, dtype_of, name_of, picked_cuts
from nbscale.array.rechunk import recut
from nbscale.collection import public, wrap
from nbscale.expr.node import Index, Kernel, Map, Read
from nbscale.graph.axismap import At, AxisMap, Each, Ranges, Window

if TYPE_CHECKING:
    from nbscale.array.array import Array

__all__ = [
    "Axes",
    "BroadcastTo",
    "Concatenate",
    "Merge",
    "ShapeMethods",
    "Split",
    "axes_of",
    "broadcast_to",
    "concatenate",
    "drop_axes",
    "expand_dims",
    "hstack",
    "moveaxis",
    "ravel",
    "reshape",
    "reshaped",
    "squeeze",
    "stack",
    "swapaxes",
    "transpose",
    "vstack",
]


class Axes(ArrayNode, Map):
    """Axes in another order: axis i is axis ``order[i]`` of the operand, or new if -1.

    What is not named has length 1 and is dropped.
    """

    operand: ArrayNode
    order: tuple[int, ...]

    def validate(self) -> None:
        old, one = self.operand.cuts, Cut.whole(1)
        self._settle(tuple([old[a] if a >= 0 else one for a in self.order]), self.operand.dtype)

    @property
    def label(self) -> str:
        return "transpose" if len(self.order) == self.operand.ndim else "squeeze"

    def slice_needs(self, picks: Picks) -> Needs:
        at = {a: pick for a, pick in zip(self.order, picks, strict=True) if a >= 0}
        return (tuple(at.get(a, (0, 1, 1)) for a in range(self.operand.ndim)),)

    def reads(self) -> tuple[Read, ...]:
        at = {a: i for i, a in enumerate(self.order) if a >= 0}
        grid = self.operand.grid
        axes = tuple(at.get(a, -1) for a in range(len(grid)))
        maps: tuple[AxisMap, ...] = tuple(
            Each(n) if a in at else At(1, n, 0) for a, n in enumerate(grid)
        )
        return (Read(self.operand, axes, maps),)

    def kernel(self) -> Kernel:
        return functools.partial(_reordered, self.operand.ndim, self.order)


def _reordered(ndim: int, order: tuple[int, ...], index: Index, value: Any) -> Any:
    kept = [a for a in order if a >= 0]
    value = value[tuple(slice(None) if a in kept else 0 for a in range(ndim)) or ...]
    ranks = {a: i for i, a in enumerate(sorted(kept))}
    value = np.asarray(value).transpose([ranks[a] for a in kept])
    return value[tuple(slice(None) if a >= 0 else None for a in order) or ...]


def axes_of(node: ArrayNode, order: Sequence[int]) -> ArrayNode:
    """The node with its axes in another order: see `Axes`."""
    order = tuple(order)
    if isinstance(node, Axes):
        inner = node.order
        order = tuple(inner[a] if a >= 0 else -1 for a in order)
        node = node.operand
    return node if order == tuple(range(node.ndim)) else Axes(node, order)


def drop_axes(node: ArrayNode, axes: Sequence[int]) -> ArrayNode:
    """The node without some axes of length 1."""
    return axes_of(node, [a for a in range(node.ndim) if a not in axes])


class BroadcastTo(ArrayNode, Map):
    """The operand repeated along axes where it has length 1, or that it has not."""

    operand: ArrayNode
    into: tuple[Cut, ...]

    def validate(self) -> None:
        self._settle(self.into, self.operand.dtype)

    def slice_needs(self, picks: Picks) -> Needs:
        return (picks_broadcast(self.operand, self.shape, picks),)

    def sliced(self, picks: Picks, inputs: Sequence[Any]) -> ArrayNode:
        return BroadcastTo(inputs[0], picked_cuts(self.cuts, picks))

    def reads(self) -> tuple[Read, ...]:
        return (read_broadcast(self.operand, self.grid, self.shape),)

    def kernel(self) -> Kernel:
        return functools.partial(_broadcast, self.cuts)


def _broadcast(cuts: tuple[Cut, ...], index: Index, value: Any) -> Any:
    return np.broadcast_to(value, shape_of(cuts, index))


# reshape ------------------------------------------------------------------------------------


class Merge(ArrayNode, Map):
    """Groups of axes made one each, where every chunk is a run of the flattened group.

    In a group the axes in front are cut into ones, one is cut somehow, and those behind are whole.
    """

    operand: ArrayNode
    groups: tuple[int, ...]  # how many axes of the operand each axis is made of

    def validate(self) -> None:
        cuts, start = [], 0
        for n in self.groups:
            cuts.append(_flattened(self.operand.cuts[start : start + n]))
            start += n
        self._settle(tuple(cuts), self.operand.dtype)

    @property
    def label(self) -> str:
        return "reshape"

    def reads(self) -> tuple[Read, ...]:
        axes: list[int] = []
        maps: list[AxisMap] = []
        for axis, n in enumerate(self.groups):
            grid = self.operand.grid[len(axes) : len(axes) + n]
            total = math.prod(grid)
            inner = total
            for m in grid:
                inner //= m
                axes.append(axis)
                if m == total:
                    maps.append(Each(m))
                elif m == 1:
                    maps.append(At(total, 1, 0))
                else:
                    at = np.arange(total, dtype=np.int64) // inner % m
                    maps.append(Ranges(m, at, at + 1))
        return (Read(self.operand, tuple(axes), tuple(maps)),)

    def kernel(self) -> Kernel:
        return functools.partial(_reshaped, self.cuts)


class Split(ArrayNode, Map):
    """Each axis made several, the first of which is cut and the others whole."""

    operand: ArrayNode
    groups: tuple[tuple[int, ...], ...]  # the lengths each axis of the operand is made of

    def validate(self) -> None:
        cuts: list[Cut] = []
        for cut, lengths in zip(self.operand.cuts, self.groups, strict=True):
            if len(lengths) == 1:
                cuts.append(cut)
                continue
            rest = math.prod(lengths[1:])
            cuts.append(Cut.of(np.diff(cut.bounds) // rest))
            cuts.extend(Cut.whole(n) for n in lengths[1:])
        self._settle(tuple(cuts), self.operand.dtype)

    @property
    def label(self) -> str:
        return "reshape"

    def reads(self) -> tuple[Read, ...]:
        axes, at = [], 0
        for lengths in self.groups:
            axes.append(at)
            at += len(lengths)
        return (Read(self.operand, tuple(axes), tuple(map(Each, self.operand.grid))),)

    def kernel(self) -> Kernel:
        return functools.partial(_reshaped, self.cuts)


def _reshaped(cuts: tuple[Cut, ...], index: Index, value: Any) -> Any:
    return value.reshape(shape_of(cuts, index))[...]


def _flattened(cuts: Sequence[Cut]) -> Cut:
    """The cut of the flattened group."""
    at = next((a for a, cut in enumerate(cuts) if cut.size > 1), len(cuts) - 1)
    rest = math.prod(cut.length for cut in cuts[at + 1 :])
    before = math.prod(cut.length for cut in cuts[:at])
    if before == 1:
        one = cuts[at]
        return Cut.of(np.diff(one.bounds) * rest) if one.n > 1 else Cut.whole(one.length * rest)
    return Cut.of(np.tile(np.diff(cuts[at].bounds) * rest, before))


def _contiguous(cuts: Sequence[Cut]) -> list[Cut]:
    """Cuts of a group with chunks that are runs of it; the same cuts if they are already."""
    at = next((a for a, cut in enumerate(cuts) if cut.size > 1), len(cuts) - 1)
    if all(cut.n == 1 for cut in cuts[at + 1 :]):
        return list(cuts)
    room = math.prod(cut.size for cut in cuts)
    rest = 1
    at = len(cuts) - 1
    while at > 0 and rest * cuts[at].length <= room:
        rest *= cuts[at].length
        at -= 1
    return [
        Cut(cut.length, 1 if a < at else max(1, room // rest) if a == at else cut.length)
        for a, cut in enumerate(cuts)
    ]


def _grouped(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Runs of lengths with equal products, as short as can be. No length is 1 or 0."""
    groups, i, j = [], 0, 0
    while i < len(old):
        left, right = [old[i]], [new[j]]
        p, q = old[i], new[j]
        i, j = i + 1, j + 1
        while p != q:
            if p < q:
                left.append(old[i])
                p *= old[i]
                i += 1
            else:
                right.append(new[j])
                q *= new[j]
                j += 1
        groups.append((left, right))
    return groups


def _multiples(cut: Cut, rest: int) -> Cut:
    """The cut with bounds that are multiples of ``rest``; the same one if they are."""
    if not (cut.bounds % rest).any():
        return cut
    return Cut(cut.length, max(1, cut.size // rest) * rest)


def reshaped(node: ArrayNode, shape: Sequence[int]) -> ArrayNode:
    """The node in another shape of as many elements, in C order."""
    shape = tuple(shape)
    if shape == node.shape:
        return node
    if math.prod(shape) == 0:
        return filled(shape, np.zeros((), node.dtype)[()], node.dtype, -1)
    node = drop_axes(node, [a for a, n in enumerate(node.shape) if n == 1])
    groups = _grouped(node.shape, [n for n in shape if n != 1])
    if any(len(left) > 1 for left, _ in groups):
        cuts: list[Cut] = []
        for left, _ in groups:
            cuts += _contiguous(node.cuts[len(cuts) : len(cuts) + len(left)])
        node = Merge(recut(node, cuts), tuple(len(left) for left, _ in groups))
    if any(len(right) > 1 for _, right in groups):
        cuts = [
            _multiples(cut, math.prod(right[1:]))
            for cut, (_, right) in zip(node.cuts, groups, strict=True)
        ]
        node = Split(recut(node, cuts), tuple(tuple(right) for _, right in groups))
    at = iter(range(node.ndim))
    return axes_of(node, [-1 if n == 1 else next(at) for n in shape])


def _new_shape(shape: Any, old: tuple[int, ...]) -> tuple[int, ...]:
    """The shape asked for, with -1 filled in; NumPy's errors."""
    if isinstance(shape, (int, np.integer)):
        shape = (shape,)
    wanted = [int(n) for n in shape]
    size = math.prod(old)
    if sum(n < 0 for n in wanted) > 1:
        raise ValueError("can only specify one unknown dimension")
    given = tuple(wanted)
    if any(n < 0 for n in wanted):
        rest = math.prod(n for n in wanted if n >= 0)
        hole = next(i for i, n in enumerate(wanted) if n < 0)
        if rest:
            wanted[hole] = size // rest
    if math.prod(wanted) != size or any(n < 0 for n in wanted):
        shown = str(given).replace(" ", "")
        raise ValueError(f"cannot reshape array of size {size} into shape {shown}")
    return tuple(wanted)


# Put together -------------------------------------------------------------------------------


class Concatenate(ArrayNode, Map):
    """Arrays one after the other along an axis; they are cut alike along the others."""

    items: tuple[ArrayNode, ...]
    axis: int
    type_name: str | np.dtype[Any]

    def validate(self) -> None:
        first = self.items[0].cuts
        sizes = np.concatenate([np.diff(item.cuts[self.axis].bounds) for item in self.items])
        cuts = [Cut.of(sizes) if a == self.axis else cut for a, cut in enumerate(first)]
        self._settle(tuple(cuts), dtype_of(self.type_name))

    def reads(self) -> tuple[Read, ...]:
        total = self.grid[self.axis]
        reads, start = [], 0
        for item in self.items:
            n = item.grid[self.axis]
            maps: tuple[AxisMap, ...] = tuple(
                Window(total, n, -start, 1 - start) if a == self.axis else Each(m)
                for a, m in enumerate(item.grid)
            )
            reads.append(Read(item, tuple(range(self.ndim)), maps, "list"))
            start += n
        return tuple(reads)

    def kernel(self) -> Kernel:
        return functools.partial(_the_one, self.dtype)


def _the_one(dtype: np.dtype[Any], index: Index, *lists: list[Any]) -> Any:
    value = next(values[0] for values in lists if values)
    return value.astype(dtype, copy=False)[...]


def _joined(arrays: Sequence[Any], axis: int) -> Any:
    nodes = [array._node for array in arrays]  # noqa: SLF001 - arrays are this package's
    first = nodes[0]
    for i, node in enumerate(nodes):
        if node.ndim != first.ndim:
            raise ValueError(
                "all the input arrays must have same number of dimensions, but the array at "
                f"index 0 has {first.ndim} dimension(s) and the array at index {i} has "
                f"{node.ndim} dimension(s)"
            )
        for a, (n, m) in enumerate(zip(first.shape, node.shape, strict=True)):
            if a != axis and n != m:
                raise ValueError(
                    "all the input array dimensions except for the concatenation axis must match "
                    f"exactly, but along dimension {a}, the array at index 0 has size {n} and the "
                    f"array at index {i} has size {m}"
                )
    kind = np.result_type(*[node.dtype for node in nodes])
    some = [node for node in nodes if node.shape[axis]] or nodes[:1]
    likes = some[0].cuts
    items = tuple(
        recut(
            node,
            [
                own if a == axis else cut
                for a, (own, cut) in enumerate(zip(node.cuts, likes, strict=True))
            ],
        )
        for node in some
    )
    return wrap(Concatenate(items, axis, name_of(kind)), *arrays)


@public
def concatenate(arrays: Sequence[Any], axis: int | None = 0) -> Array:
    """Arrays one after the other along an axis, as ``numpy.concatenate``.

    No data moves unless the arrays are cut differently along the other axes.

    Parameters
    ----------
    arrays
        Lazy or NumPy arrays.
    axis
        The axis, or None for all of them flattened.

    Raises
    ------
    ValueError
        NumPy's, if the shapes do not match.

    Examples
    --------
    >>> import nbscale.array as na
    >>> na.concatenate([na.zeros(2), na.ones(1)]).compute()
    array([0., 0., 1.])
    """
    made = [asarray(a) for a in arrays]
    if not made:
        raise ValueError("need at least one array to concatenate")
    if axis is None:
        made, axis = [ravel(a) for a in made], 0
    if made[0].ndim == 0:
        raise ValueError("zero-dimensional arrays cannot be concatenated")
    return _joined(made, normalize_axis_index(axis, made[0].ndim))


@public
def stack(arrays: Sequence[Any], axis: int = 0) -> Array:
    """Arrays of one shape side by side along a new axis, as ``numpy.stack``.

    Raises
    ------
    ValueError
        NumPy's, if the shapes differ.

    Examples
    --------
    >>> import nbscale.array as na
    >>> na.stack([na.zeros(2), na.ones(2)], axis=1).compute()
    array([[0., 1.],
           [0., 1.]])
    """
    made = [asarray(a) for a in arrays]
    if not made:
        raise ValueError("need at least one array to stack")
    if len({a.shape for a in made}) != 1:
        raise ValueError("all input arrays must have the same shape")
    axis = normalize_axis_index(axis, made[0].ndim + 1)
    return _joined([expand_dims(a, axis) for a in made], axis)


@public
def vstack(arrays: Sequence[Any]) -> Array:
    """Arrays as rows below one another, as ``numpy.vstack``."""
    made = [asarray(a) for a in arrays]
    return concatenate([reshape(a, (1, -1)) if a.ndim < 2 else a for a in made], 0)


@public
def hstack(arrays: Sequence[Any]) -> Array:
    """Arrays side by side, as ``numpy.hstack``."""
    made = [ravel(a) if a.ndim == 0 else a for a in map(asarray, arrays)]
    return concatenate(made, 0 if made and made[0].ndim == 1 else 1)


# What users call ----------------------------------------------------------------------------


@public
def reshape(a: Any, shape: Any, order: str = "C") -> Array:
    """The elements in another shape. See ``Array.reshape``."""
    return asarray(a).reshape(shape, order=order)


@public
def ravel(a: Any, order: str = "C") -> Array:
    """The elements along one axis. See ``Array.reshape``."""
    return asarray(a).reshape(-1, order=order)


@public
def transpose(a: Any, axes: Sequence[int] | None = None) -> Array:
    """Axes in another order, reversed by default. Views only."""
    x = asarray(a)
    return x.transpose() if axes is None else x.transpose(axes)


@public
def swapaxes(a: Any, axis1: int, axis2: int) -> Array:
    """Two axes exchanged. Views only."""
    return asarray(a).swapaxes(axis1, axis2)


@public
def moveaxis(a: Any, source: Any, destination: Any) -> Array:
    """Axes moved to other places, as ``numpy.moveaxis``. Views only."""
    x = asarray(a)
    here = normalize_axis_tuple(source, x.ndim, "source")
    there = normalize_axis_tuple(destination, x.ndim, "destination")
    if len(here) != len(there):
        raise ValueError(
            "`source` and `destination` arguments must have the same number of elements"
        )
    order = [axis for axis in range(x.ndim) if axis not in here]
    for to, axis in sorted(zip(there, here, strict=True)):
        order.insert(to, axis)
    return x.transpose(order)


@public
def squeeze(a: Any, axis: int | tuple[int, ...] | None = None) -> Array:
    """Axes of length 1 dropped: all, or those named. Views only."""
    return asarray(a).squeeze(axis)


@public
def expand_dims(a: Any, axis: int | tuple[int, ...]) -> Array:
    """New axes of length 1. Views only."""
    x = asarray(a)
    new = axis if isinstance(axis, tuple) else (axis,)
    ndim = x.ndim + len(new)
    places = normalize_axis_tuple(new, ndim)
    at = iter(range(x.ndim))
    order = [-1 if a in places else next(at) for a in range(ndim)]
    return wrap(axes_of(x._node, order), x)  # noqa: SLF001 - arrays are this package's


@public
def broadcast_to(array: Any, shape: Any) -> Array:
    """The array repeated to a shape, as ``numpy.broadcast_to``. Views only.

    Raises
    ------
    ValueError
        NumPy's, if the shapes do not go together.
    """
    x = asarray(array)
    node, wanted = x._node, as_shape(shape)  # noqa: SLF001 - arrays are this package's
    np.broadcast_to(np.broadcast_to(np.int8(0), node.shape), wanted)  # NumPy's error
    if wanted == node.shape:
        return x
    skip = len(wanted) - node.ndim
    cuts = filled(wanted, 0, node.dtype, "auto").cuts
    into = [
        node.cuts[a - skip] if a >= skip and node.shape[a - skip] == n else cut
        for a, (n, cut) in enumerate(zip(wanted, cuts, strict=True))
    ]
    return wrap(BroadcastTo(node, tuple(into)), x)


class ShapeMethods(ArrayBase):
    """Shapes and axes."""

    __slots__ = ()

    @property
    def T(self) -> Self:  # noqa: N802 - NumPy's name
        """Axes reversed. Views only."""
        return self.transpose()

    def transpose(self, *axes: Any) -> Self:
        """Axes in another order, reversed by default. Views only.

        Raises
        ------
        ValueError
            NumPy's, if the axes are not those there are.

        Examples
        --------
        >>> import nbscale.array as na
        >>> na.ones((2, 3)).T.shape
        (3, 2)
        """
        given = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        if given is None or len(given) == 0:
            given = tuple(range(self.ndim))[::-1]
        if len(given) != self.ndim:
            raise ValueError("axes don't match array")
        order = tuple(normalize_axis_index(int(a), self.ndim) for a in given)
        if len(set(order)) != len(order):
            raise ValueError("repeated axis in transpose")
        return self._new(axes_of(self._node, order))

    def swapaxes(self, axis1: int, axis2: int) -> Self:
        """Two axes exchanged. Views only."""
        one = normalize_axis_index(axis1, self.ndim, "axis1")
        two = normalize_axis_index(axis2, self.ndim, "axis2")
        order = list(range(self.ndim))
        order[one], order[two] = order[two], order[one]
        return self._new(axes_of(self._node, order))

    def reshape(self, *shape: Any, order: str = "C") -> Self:
        """The elements in another shape.

        Axes are merged and split in groups; only where chunks are no runs of their group, data
        moves. An axis that is split is cut along the first of the new ones.

        Parameters
        ----------
        shape
            Lengths; one may be -1.
        order
            ``"C"``, or ``"F"`` for the first axis moving first.

        Raises
        ------
        ValueError
            If the sizes differ.

        Examples
        --------
        >>> import nbscale.array as na
        >>> na.arange(6).reshape(2, -1).compute()
        array([[0, 1, 2],
               [3, 4, 5]])
        """
        given: Any = shape[0] if len(shape) == 1 else shape
        wanted = _new_shape(given, self.shape)
        if order not in ("C", "F", "A"):
            raise ValueError(f"order must be one of 'C', 'F', 'A', or 'K' (got {order!r})")
        if order == "F":
            return self.T.reshape(wanted[::-1]).T
        return self._new(reshaped(self._node, wanted))

    def ravel(self, order: str = "C") -> Self:
        """The elements along one axis. See ``reshape``."""
        return self.reshape(-1, order=order)

    def flatten(self, order: str = "C") -> Self:
        """The elements along one axis. See ``reshape``."""
        return self.reshape(-1, order=order)

    def squeeze(self, axis: int | tuple[int, ...] | None = None) -> Self:
        """Axes of length 1 dropped: all, or those named. Views only.

        Raises
        ------
        ValueError
            NumPy's, if an axis named is longer.
        """
        if axis is None:
            gone = tuple(a for a, n in enumerate(self.shape) if n == 1)
        else:
            gone = normalize_axis_tuple(axis, self.ndim)
            if any(self.shape[a] != 1 for a in gone):
                raise ValueError(
                    "cannot select an axis to squeeze out which has size not equal to one"
                )
        return self._new(drop_axes(self._node, gone))
