"""`Array`: the facade, a sum of mixins that live beside their nodes; and how chunks become one."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from nbscale.array import create, elementwise, join, linalg, reductions, scan, shape
from nbscale.array import index as indexing
from nbscale.array.blocks import BlockMethods
from nbscale.array.chunks import count_chunks, slices_of, tuples
from nbscale.array.elementwise import ElementwiseMethods
from nbscale.array.index import IndexMethods
from nbscale.array.linalg import LinalgMethods
from nbscale.array.node import ArrayNode, HeldArray, as_chunk, name_of
from nbscale.array.rechunk import RechunkMethods
from nbscale.array.reductions import ReduceMethods
from nbscale.array.scan import ScanMethods
from nbscale.array.shape import ShapeMethods
from nbscale.array.show import as_html, as_text
from nbscale.collection import Gather, register
from nbscale.engines.limits import budget
from nbscale.errors import ResultTooLarge
from nbscale.expr.node import Adaptive, Index, Node
from nbscale.units import format_bytes

__all__ = ["Array", "Whole"]

_LARGE = 100_000_000
"""Bytes of a result from which on it is worth a look at how much there is."""


class Whole:
    """Puts chunks in their places in one array, made when the first one comes.

    Parameters
    ----------
    node
        The array.
    """

    def __init__(self, node: ArrayNode) -> None:
        self._node = node
        self._one = count_chunks(node.cuts) == 1
        self._made: np.ndarray[Any, Any] | None = None
        if not self._one:
            self._made = np.empty(node.shape, node.dtype)

    def take(self, index: Index, value: Any) -> None:
        """Copy a chunk to its place. Called from any thread: places do not overlap."""
        if self._made is not None and not self._one:
            self._made[slices_of(self._node.cuts, index)] = value
            return
        owned = value.flags.owndata and value.flags.writeable
        self._made = value if owned else value.copy()

    def result(self) -> Any:
        """Return the array; a scalar for a 0-d one."""
        made = self._made
        return made[()] if made is not None and made.ndim == 0 else made


@register("array")
class Array(
    RechunkMethods,
    ElementwiseMethods,
    ReduceMethods,
    ScanMethods,
    IndexMethods,
    ShapeMethods,
    LinalgMethods,
    BlockMethods,
):
    """A lazy NumPy array, cut into chunks. Nothing is computed before ``compute``.

    Methods and operators are NumPy's and give lazy arrays; NumPy's functions work on them, too.
    Where NumPy needs a number (``if x.sum() > 3``, ``float(x.mean())``) it is computed. NumPy's
    floating-point warnings are not given.

    Examples
    --------
    >>> import nbscale.array as na
    >>> x = na.arange(12).reshape(3, 4)
    >>> (x - x.mean(axis=0)).sum(axis=1).compute()
    array([-16.,   0.,  16.])
    """

    __slots__ = ()
    __array_priority__ = 1000

    def _gather(self, node: Node) -> Gather:
        return Whole(node)  # type: ignore[arg-type]  # the node as planned is an array's, too

    def _hold(self, node: Node, values: list[Any]) -> Node:
        made: ArrayNode = node  # type: ignore[assignment]
        return HeldArray(values, f"held {node.key}", made.cuts, name_of(made.dtype))

    def compute(self, *, engine: str | None = None) -> Any:
        """Compute the value, in memory.

        Parameters
        ----------
        engine
            ``"inline"`` or ``"threads"``; by default chosen from what is to be done.

        Returns
        -------
        numpy.ndarray
            What NumPy would have given; a scalar for a 0-d array. It is the caller's own.

        Raises
        ------
        ResultTooLarge
            Before anything runs, if the result is larger than the work may use.
        """
        if not isinstance(self._node, Adaptive) and self.nbytes > _LARGE:
            limit = budget()
            if self.nbytes > limit:
                raise ResultTooLarge(
                    f"the result would take {format_bytes(self.nbytes)}, and the work may use "
                    f"{format_bytes(limit)}. Compute a slice or a reduction of it, a smaller "
                    "dtype, or allow more: nbscale.config.set(memory_limit=...)."
                )
        return super().compute(engine=engine)

    # What an array says of itself -----------------------------------------------------------

    @property
    def chunks(self) -> tuple[tuple[int, ...], ...]:
        """Elements of the chunks along each axis."""
        return tuples(self._node.cuts)

    @property
    def chunksize(self) -> tuple[int, ...]:
        """Elements of the largest chunk along each axis."""
        return tuple(cut.size for cut in self._node.cuts)

    @property
    def numblocks(self) -> tuple[int, ...]:
        """Chunks along each axis."""
        return self._node.grid

    @property
    def npartitions(self) -> int:
        """Chunks in all."""
        return count_chunks(self._node.cuts)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self._node.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.itemsize

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return as_text(self._node)

    def _repr_html_(self) -> str:
        return as_html(self._node)

    # Numbers, where Python or NumPy needs them ----------------------------------------------

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Any:
        if copy is False:
            raise ValueError("a lazy array must be computed, which makes a new array")
        made = as_chunk(self.compute(), self.dtype)
        return made if dtype is None else made.astype(dtype, copy=False)

    def _scalar(self) -> Any:
        if self.size != 1:
            raise TypeError("only length-1 arrays can be converted to Python scalars")
        return as_chunk(self.compute(), self.dtype).reshape(())[()]

    def __bool__(self) -> bool:
        if self.size != 1:
            what = "more than one element" if self.size else "no elements"
            raise ValueError(
                f"The truth value of an array with {what} is ambiguous. Use a.any() or a.all()"
            )
        return bool(self._scalar())

    def __int__(self) -> int:
        return int(self._scalar())

    def __float__(self) -> float:
        return float(self._scalar())

    def __complex__(self) -> complex:
        return complex(self._scalar())

    def __index__(self) -> int:
        if self.ndim or self.dtype.kind not in "iub":
            raise TypeError("only integer scalar arrays can be converted to a scalar index")
        return operator.index(self._scalar())

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    def item(self) -> Any:
        """The value of an array of one element, as a Python number. Computes."""
        return self._scalar().item()

    def tolist(self) -> Any:
        """The elements in lists. Computes."""
        return np.asarray(self).tolist()

    # NumPy's functions ----------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if method == "reduce":
            return _reduce(ufunc, inputs, options)
        if method == "__call__" and ufunc is np.matmul and not options:
            return linalg.matmul(*inputs)
        return (
            elementwise.of_ufunc(ufunc, inputs, options)
            if method == "__call__"
            else (NotImplemented)
        )

    def __array_function__(
        self, function: Any, types: Any, args: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        ours = _FUNCTIONS.get(function)
        if ours is None:
            raise TypeError(
                f"numpy.{function.__name__} does not work on lazy arrays: use .compute() first"
            )
        return ours(*args, **options)


_METHODS = {
    "add": "sum",
    "multiply": "prod",
    "minimum": "min",
    "maximum": "max",
    "logical_or": "any",
    "logical_and": "all",
}


def _reduce(ufunc: Any, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """What ``ufunc.reduce`` gives, whose axis is 0 unless given."""
    name = _METHODS.get(ufunc.__name__)
    given = {k: v for k, v in options.items() if v is not None or k == "axis"}
    if name is None or set(given) - {"axis", "keepdims", "dtype"} or len(inputs) != 1:
        return NotImplemented
    return getattr(inputs[0], name)(**{"axis": 0, **given})


def _functions() -> dict[Any, Callable[..., Any]]:
    """By NumPy's function, the lazy one."""
    found: dict[Any, Callable[..., Any]] = {}
    for name, function in reductions.FUNCTIONS.items():
        found[getattr(np, name)] = function
    for module in (elementwise, indexing, join, linalg, scan, shape):
        for name in module.__all__:
            theirs = getattr(np, name.rstrip("_"), None)
            if callable(theirs) and not isinstance(theirs, type):
                found[theirs] = getattr(module, name)
    return found


def _likes() -> dict[Any, Callable[..., Any]]:
    return {
        getattr(np, name): getattr(create, name)
        for name in ("empty_like", "full_like", "ones_like", "zeros_like")
    }


def _size(a: Array, axis: int | None = None) -> int:
    return a.size if axis is None else a.shape[axis]


def _result_type(*args: Any) -> np.dtype[Any]:
    return np.result_type(*[a.dtype if isinstance(a, Array) else a for a in args])


_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    **_functions(),
    **_likes(),
    np.ndim: lambda a: a.ndim,
    np.shape: lambda a: a.shape,
    np.size: _size,
    np.result_type: _result_type,
}
