"""Shapes and axes as users change them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from nbscale.array.create import as_shape, filled
from nbscale.array.io import asarray
from nbscale.array.node import ArrayBase
from nbscale.collection import public, wrap

if TYPE_CHECKING:
    from nbscale.array.array import Array
from nbscale.array.axes import BroadcastTo, axes_of, drop_axes
from nbscale.array.reshape import new_shape, reshaped

__all__ = [
    "ShapeMethods",
    "broadcast_to",
    "expand_dims",
    "moveaxis",
    "ravel",
    "reshape",
    "squeeze",
    "swapaxes",
    "transpose",
]


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
        wanted = new_shape(given, self.shape)
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
