"""Arrays put together: ``concatenate``, ``stack``."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from nbscale.array.chunks import Cut
from nbscale.array.io import asarray
from nbscale.array.node import ArrayNode, dtype_of, name_of
from nbscale.array.rechunk import recut
from nbscale.collection import public, wrap
from nbscale.expr.node import Index, Kernel, Map, Read
from nbscale.graph.axismap import AxisMap, Each, Window

if TYPE_CHECKING:
    from nbscale.array.array import Array
from nbscale.array.shape import expand_dims, ravel, reshape

__all__ = ["Concatenate", "concatenate", "hstack", "stack", "vstack"]


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
