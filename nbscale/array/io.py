"""Arrays over data that exists: NumPy arrays in memory, and anything that can be sliced."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from nbscale.array.chunks import Chunks, Cut, cuts_of, stepping
from nbscale.array.node import ArrayBase, ArrayNode, ArraySource, Needs, Picks, name_of, picked_cuts
from nbscale.collection import public, wrap
from nbscale.errors import SourceChanged
from nbscale.expr.node import Index, Kernel
from nbscale.expr.token import nonce, token
from nbscale.record import record

if TYPE_CHECKING:
    from nbscale.array.array import Array

__all__ = ["FromArray", "array", "asanyarray", "asarray", "from_array", "node_of"]

_SNAPSHOT = 1_000_000
"""Bytes up to which copying an array is cheaper than watching it."""

_WATCHED = 64_000_000
"""Bytes of an array that are looked at to see whether it has changed: some milliseconds."""

_ROW = 4093 * 8
_BLOCK = 64
"""Bytes of a row of the fingerprint, and rows that are read one after the other."""


class _Sliceable(Protocol):
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> Any: ...
    def __getitem__(self, where: Any, /) -> Any: ...


class Data:
    """Values that a node refers to: hashed by a token of their own, never by content."""

    __slots__ = ("key", "print", "values", "watched")

    def __init__(self, values: _Sliceable, key: str, *, watched: bool) -> None:
        self.values = values
        self.key = key
        self.watched = watched
        self.print = fingerprint(values) if watched and isinstance(values, np.ndarray) else 0

    def check(self) -> None:
        """Raise if the array is not what it was."""
        if self.watched and fingerprint(self.values) != self.print:  # type: ignore[arg-type]
            raise SourceChanged(
                f"the NumPy array of shape {self.values.shape} and dtype {self.values.dtype} was "
                "written to after a lazy array was made of it. Make the lazy array again after "
                "writing, or of a copy: na.from_array(x.copy())."
            )

    def __repr__(self) -> str:
        return f"{type(self.values).__name__} in memory"


def fingerprint(values: np.ndarray[Any, Any]) -> int:
    """A number that is another one when an element is, as far as the array is watched.

    Sums of every 4,093rd word, a prime, so that values that changed places are seen, too. One pass
    at the speed of memory; of a large array only evenly spread blocks are read.
    """
    flat = values.ravel(order="K").view(np.uint8)
    whole = flat.size // _ROW * _ROW
    rows = flat[:whole].view(np.uint64).reshape(-1, _ROW // 8)
    found = zlib.crc32(flat[whole:].tobytes())
    skip = max(1, -(-flat.size // _WATCHED))
    for begin in range(0, len(rows), _BLOCK * skip):
        found = zlib.crc32(rows[begin : begin + _BLOCK].sum(axis=0), found)
    return found


class FromArray(ArraySource):
    """Chunks of an array that exists."""

    data: Data
    picks: Picks | None = None

    @property
    def gil_free(self) -> bool:  # type: ignore[override]
        """Slicing NumPy arrays makes views; what others do is not known."""
        return isinstance(self.data.values, np.ndarray)

    @property
    def label(self) -> str:
        return "from_array"

    def slice_needs(self, picks: Picks) -> Needs | None:
        # What is no NumPy array may read whole chunks for a step, or know no backward one.
        plain = isinstance(self.data.values, np.ndarray)
        return () if plain or all(step == 1 for _, step, _ in picks) else None

    def sliced(self, picks: Picks, inputs: Sequence[Any]) -> ArrayNode:
        inner = self.picks or tuple((0, 1, n) for n in self.shape)
        outer = tuple(
            (begin + start * stride, stride * step, count)
            for (begin, stride, _), (start, step, count) in zip(inner, picks, strict=True)
        )
        return self.replace(cuts=picked_cuts(self.cuts, picks), picks=outer)

    def load(self) -> Kernel:
        self.data.check()
        picks = self.picks or tuple((0, 1, n) for n in self.shape)
        return _Slice(self.data.values, self.cuts, self.dtype, picks)


@record
class _Slice:
    values: _Sliceable
    cuts: tuple[Cut, ...]
    dtype: np.dtype[Any]
    picks: Picks

    def __call__(self, index: Index) -> Any:
        where = tuple(
            stepping(start + cut.start(i) * step, step, cut.extent(i))
            for i, cut, (start, step, _) in zip(index, self.cuts, self.picks, strict=True)
        )
        piece = np.asarray(self.values[where])
        # A view, even of a 0-d array: who owns nothing is copied before a user writes into it.
        return piece.astype(self.dtype, copy=False)[...]


def node_of(values: np.ndarray[Any, Any], chunks: Chunks = "auto") -> FromArray:
    """The node of a NumPy array: small ones are copied, others watched."""
    contiguous = values.flags.c_contiguous or values.flags.f_contiguous
    plain = np.asarray(values)
    if plain.dtype.hasobject or plain.dtype.kind == "T":
        data = Data(plain.copy(), nonce(), watched=False)
    elif plain.nbytes <= _SNAPSHOT:
        kept = plain.copy()
        content = token("array", kept.shape, name_of(kept.dtype), kept.tobytes())
        data = Data(kept, content, watched=False)
    elif not contiguous:
        data = Data(plain.copy(), nonce(), watched=False)
    else:
        data = Data(plain, nonce(), watched=True)
    cuts = cuts_of(chunks, plain.shape, plain.dtype.itemsize)
    return FromArray(cuts, name_of(plain.dtype), data)


@public
def from_array(x: Any, chunks: Chunks = "auto") -> Array:
    """A lazy array over data that exists.

    Parameters
    ----------
    x
        A NumPy array, or anything with ``shape``, ``dtype`` and slicing, such as an array of h5py
        or zarr, of which only the chunks needed are read; else what ``numpy.asarray`` takes.
    chunks
        Elements along each axis, ``"auto"``, bytes, -1, or explicit sizes, as in Dask.

    Returns
    -------
    Array
        Of the same shape and dtype.

    Notes
    -----
    A NumPy array up to 1 MB is copied. A larger one is not: writing into it before the lazy array
    is computed raises ``nbscale.errors.SourceChanged`` at ``compute``. To see that costs a pass
    over 64 MB of it, evenly spread, here and at each ``compute``; of an array larger than that a
    write into some other part is not seen.

    Examples
    --------
    >>> import numpy as np, nbscale.array as na
    >>> na.from_array(np.arange(6), chunks=2).sum().compute()
    np.int64(15)
    """
    if isinstance(x, ArrayBase):
        return x  # type: ignore[return-value]
    if isinstance(x, np.ndarray):
        return wrap(node_of(x, chunks))
    sliceable = all(hasattr(x, name) for name in ("shape", "dtype", "__getitem__"))
    if sliceable and not hasattr(x, "to_numpy") and len(x.shape) > 0:
        kind = np.dtype(x.dtype)
        cuts = cuts_of(chunks, x.shape, kind.itemsize)
        return wrap(FromArray(cuts, name_of(kind), Data(x, nonce(), watched=False)))
    return wrap(node_of(np.asarray(x), chunks))


@public
def asarray(a: Any, dtype: npt.DTypeLike | None = None, *, chunks: Chunks = "auto") -> Array:
    """A lazy array of whatever ``numpy.asarray`` takes; a lazy array as it is.

    Examples
    --------
    >>> import nbscale.array as na
    >>> na.asarray([[1, 2], [3, 4]]).sum(axis=0).compute()
    array([4, 6])
    """
    made = from_array(a, chunks)
    return made if dtype is None or made.dtype == np.dtype(dtype) else made.astype(dtype)


@public
def asanyarray(a: Any, dtype: npt.DTypeLike | None = None, *, chunks: Chunks = "auto") -> Array:
    """The same as ``asarray``: there are no subclasses."""
    return asarray(a, dtype, chunks=chunks)


@public
def array(
    object: Any,
    dtype: npt.DTypeLike | None = None,
    *,
    ndmin: int = 0,
    chunks: Chunks = "auto",
) -> Array:
    """A lazy array of the data given, as ``numpy.array``: NumPy data is copied.

    Parameters
    ----------
    object
        What ``numpy.array`` takes.
    dtype
        By default NumPy's.
    ndmin
        Axes of length 1 are put in front until there are so many.
    chunks
        As of ``from_array``.
    """
    if isinstance(object, ArrayBase):
        made = asarray(object, dtype)
    else:
        made = wrap(node_of(np.array(object, dtype), chunks))
    return made[(None,) * (ndmin - made.ndim)] if made.ndim < ndmin else made
