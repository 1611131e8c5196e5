"""What all array nodes are: cut into chunks, of one dtype; and what array collections share.

The value of a chunk is always an ``ndarray`` of its dtype and of the shape that the cuts say, 0-d
ones included. Kernels never write into what they are given.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias

import numpy as np

from nbscale.array.chunks import Cut, Pick, largest, picked
from nbscale.collection import Collection, wrap
from nbscale.expr.node import Held, Index, Kernel, Node, Source
from nbscale.expr.token import token

__all__ = [
    "ArrayBase",
    "ArrayNode",
    "ArraySource",
    "Constant",
    "HeldArray",
    "Needs",
    "Picks",
    "as_chunk",
    "dtype_of",
    "name_of",
    "picked_cuts",
    "probe",
    "quiet",
]

quiet = functools.partial(np.errstate, all="ignore")
"""Kernels run in threads of their own, where a warning would name a line of nobody's."""


Picks: TypeAlias = tuple[Pick, ...]
"""Evenly spaced elements of each axis."""

Needs: TypeAlias = tuple[Picks | Literal[False] | None, ...]
"""For each input the elements read of it: some, nothing (False), or everything (None)."""


def picked_cuts(cuts: Sequence[Cut], picks: Picks) -> tuple[Cut, ...]:
    """The cuts of a slice in which chunks stay, less what is not taken."""
    return tuple([picked(cut, pick)[0] for cut, pick in zip(cuts, picks, strict=True)])


_HIDDEN = frozenset(
    ("cuts type_name into sizes steps words whole function operands operand distribution").split()
)
"""Fields that the label, the shape and the dtype say already."""


class ArrayNode(Node):
    """Base of the nodes of arrays. ``validate`` of each calls ``_settle``.

    Attributes
    ----------
    cuts
        How each axis is cut.
    dtype
        The dtype of every chunk.
    """

    kind: ClassVar[str] = "array"

    if TYPE_CHECKING:  # at run time fields of sources have these names

        @property
        def cuts(self) -> tuple[Cut, ...]:
            """How each axis is cut."""

        @property
        def dtype(self) -> np.dtype[Any]:
            """The dtype of every chunk."""

    def _settle(self, cuts: tuple[Cut, ...], dtype: np.dtype[Any]) -> None:
        # Kept, not asked of the inputs again: a chain may be a hundred thousand nodes deep.
        self.__dict__.update(
            cuts=cuts,
            dtype=dtype,
            _shape=tuple([cut.length for cut in cuts]),
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements along each axis."""
        return self.__dict__["_shape"]

    @property
    def grid(self) -> tuple[int, ...]:
        # Asked before ``validate``, too, when there are no cuts yet: a LookupError says so.
        return tuple([cut.n for cut in self.__dict__["cuts"]])

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.cuts)

    @property
    def signature(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """What no rewriting may change."""
        return self.shape, self.dtype

    @property
    def chunks(self) -> tuple[tuple[int, ...], ...]:
        """Sizes of the chunks along each axis."""
        return tuple(cut.sizes for cut in self.cuts)

    def describe(self) -> str:
        """The operation, its parameters in the user's words, and what comes out."""
        shown = [
            f"{name}={repr(value) if len(repr(value)) <= 40 else repr(value)[:37] + '...'}"
            for name, value in zip(self.field_names, self.fields(), strict=True)
            if not isinstance(value, Node) and name not in _HIDDEN and value not in ((), None)
        ]
        return f"{self.label}({', '.join(shown)}) of shape {self.shape}, {self.dtype}"

    def slice_needs(self, picks: Picks) -> Needs | None:
        """What a slice of this array reads of each input, so that the slice can be taken first.

        None if the slice must stay where it is.
        """
        del picks
        return None

    def sliced(self, picks: Picks, inputs: Sequence[Any]) -> ArrayNode:
        """The slice of this array, made of inputs that are sliced as ``slice_needs`` says.

        Its cuts must be those of the slice taken afterwards.
        """
        del picks
        return self.with_inputs(inputs)

    def nbytes(self) -> float:
        """Bytes of the largest chunk."""
        return float(largest(self.cuts) * self.dtype.itemsize)


class ArraySource(ArrayNode, Source):
    """Base of sources: the cuts and the dtype's name are fields."""

    cuts: tuple[Cut, ...]
    type_name: str | np.dtype[Any]

    def validate(self) -> None:
        self._settle(self.cuts, dtype_of(self.type_name))


class HeldArray(ArrayNode, Held):
    """Chunks that exist already."""

    cuts: tuple[Cut, ...] = ()
    type_name: str | np.dtype[Any] = "f8"

    def validate(self) -> None:
        self._settle(self.cuts, dtype_of(self.type_name))

    def load(self) -> Kernel:
        return functools.partial(_held, self.values, self.grid)


def _held(values: list[Any], grid: tuple[int, ...], index: Index) -> Any:
    flat = 0
    for i, n in zip(index, grid, strict=True):
        flat = flat * n + i
    # A view: who owns nothing is copied before a user may write into it.
    return values[flat][...]


class Constant:
    """A NumPy scalar or 0-d array as a parameter of a node: compared by dtype and bytes."""

    __slots__ = ("key", "value")

    def __init__(self, value: np.generic | np.ndarray[Any, Any]) -> None:
        self.value: Any = value
        content = value.item() if value.dtype.hasobject else value.tobytes()
        self.key = token("constant", name_of(value.dtype), content)

    def __repr__(self) -> str:
        return repr(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)


def name_of(dtype: np.dtype[Any]) -> str | np.dtype[Any]:
    """A dtype as a field of a node: its text where that says all, which is cheap to hash."""
    text = dtype.str
    return text if np.dtype(text) == dtype else dtype


def dtype_of(name: str | np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that ``name_of`` named."""
    return np.dtype(name)


def as_chunk(value: Any, dtype: np.dtype[Any] | None = None) -> np.ndarray[Any, Any]:
    """What NumPy gave as a chunk: scalars become 0-d arrays."""
    if isinstance(value, np.ndarray):
        return value
    if dtype is not None and dtype.hasobject:
        chunk = np.empty((), dtype)
        chunk[()] = value
        return chunk
    return np.asarray(value)


@functools.lru_cache(maxsize=4096)
def probe(
    function: Callable[..., Any], arrays: tuple[Any, ...], options: tuple[tuple[str, Any], ...]
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype that NumPy gives for arrays as small as can be; its errors are the user's.

    Parameters
    ----------
    function
        A function of NumPy's.
    arrays
        For each argument (shape, dtype), or the argument itself in a 1-tuple with its type.
    options
        Keyword arguments.
    """
    args = [
        np.ones(spec[0], spec[1]) if isinstance(spec[1], np.dtype) else _plain(spec[0])
        for spec in arrays
    ]
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = function(*args, **dict(options))
    shape = getattr(got, "shape", ())
    return shape, got.dtype if hasattr(got, "dtype") else np.asarray(got).dtype


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Constant) else value


class ArrayBase(Collection):
    """What the mixins of `Array` build on: a node, and collections made of other nodes."""

    __slots__ = ()

    _node: ArrayNode

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements along each axis."""
        return self._node.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements."""
        return self._node.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._node.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self._node.shape)

    def _new(self, node: ArrayNode, *parents: Collection) -> Self:
        return wrap(node, self, *parents)
