"""``map_blocks``: a function of the user's on every chunk."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from nbscale.array.broadcast import aligned, broadcast, read_broadcast
from nbscale.array.chunks import Chunks, Cut, shape_of
from nbscale.array.elementwise import operand
from nbscale.array.node import ArrayBase, ArrayNode, Constant, dtype_of, name_of
from nbscale.collection import Collection, public, wrap
from nbscale.expr.function import Function, capture
from nbscale.expr.node import Index, Kernel, Map, Read
from nbscale.record import record

__all__ = ["BlockMethods", "Blocks", "map_blocks"]


class Blocks(ArrayNode, Map):
    """The user's function of the chunks at one place."""

    function: Function
    operands: tuple[Any, ...]
    options: tuple[tuple[str, Any], ...]
    into: tuple[Cut, ...]
    type_name: str | np.dtype[Any]
    names_block: bool

    def validate(self) -> None:
        self._settle(self.into, dtype_of(self.type_name))

    @property
    def user_code(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return f"map_blocks({self.function.name})"

    def reads(self) -> tuple[Read, ...]:
        return tuple(read_broadcast(node, self.grid, self.shape) for node in self.inputs)  # type: ignore[arg-type]

    def kernel(self) -> Kernel:
        plan = tuple(
            None
            if isinstance(value, ArrayNode)
            else (value.value if isinstance(value, Constant) else value,)
            for value in self.operands
        )
        return _CallBlock(
            self.function, plan, dict(self.options), self.cuts, self.dtype, self.names_block
        )


@record
class _CallBlock:
    function: Function
    plan: tuple[tuple[Any] | None, ...]
    options: dict[str, Any]
    cuts: tuple[Cut, ...]
    dtype: np.dtype[Any]
    names_block: bool

    def __call__(self, index: Index, *values: Any) -> Any:
        # Copies, for the function may write into what it is given.
        rest = iter([np.array(value) for value in values])
        args = [next(rest) if fixed is None else fixed[0] for fixed in self.plan]
        options = self.options | ({"block_id": index} if self.names_block else {})
        made = np.asarray(self.function(*args, **options))
        wanted = shape_of(self.cuts, index)
        if made.shape != wanted:
            raise ValueError(
                f"map_blocks: {self.function.name} returned shape {made.shape} for block {index}, "
                f"and {wanted} was expected: pass chunks= if it changes the shape"
            )
        return made.astype(self.dtype, copy=False)


def _inferred(function: Callable[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Any:
    """The dtype of what the function gives for blocks of one element."""
    try:
        return np.asarray(function(*args, **options)).dtype
    except Exception as error:
        raise type(error)(
            f"map_blocks: the function failed on blocks of one element, which is how its dtype is "
            f"found: {error}. Pass dtype= to leave that out."
        ) from error


@public
def map_blocks(
    function: Callable[..., Any],
    *arrays: Any,
    dtype: npt.DTypeLike | None = None,
    chunks: Chunks = None,
    **options: Any,
) -> Any:
    """Call a function on every chunk.

    Runs in order, in this process: it is your function, and a thread could not be stopped.

    Parameters
    ----------
    function
        Called with one block of each array (its own copy), and with ``block_id`` if it names that.
        It is captured as it is now.
    arrays
        Lazy or NumPy arrays, broadcast and cut alike; scalars are passed as they are.
    dtype
        Of what it returns. By default the function is tried on blocks of one element.
    chunks
        Sizes of what it returns along each axis, if they are not those it is given.
    options
        Further keyword arguments.

    Returns
    -------
    Array
        Of as many chunks, which fit together to its shape.

    Raises
    ------
    ValueError
        When computed, if a block has another shape than was said.

    Examples
    --------
    >>> import nbscale.array as na
    >>> na.map_blocks(lambda b: b - b[0], na.arange(6, chunks=3)).compute()
    array([0, 1, 2, 0, 1, 2])
    """
    operands = [operand(value) for value in arrays]
    nodes = [node for node in operands if isinstance(node, ArrayNode)]
    if not nodes:
        raise TypeError("map_blocks needs at least one array")
    cuts = broadcast(nodes, "map_blocks")
    operands = [aligned(n, cuts) if isinstance(n, ArrayNode) else n for n in operands]
    named = _names_block(function)
    if dtype is None:
        ones = [
            np.ones((1,) * n.ndim, n.dtype) if isinstance(n, ArrayNode) else v
            for n, v in zip(operands, arrays, strict=True)
        ]
        given = options | ({"block_id": (0,) * len(cuts)} if named else {})
        dtype = _inferred(function, ones, given)
    into = cuts if chunks is None else _said(chunks, cuts)
    node = Blocks(
        capture(function),
        tuple(operands),
        tuple(options.items()),
        into,
        name_of(np.dtype(dtype)),
        named,
    )
    return wrap(node, *[a for a in arrays if isinstance(a, Collection)])


def _said(chunks: Any, cuts: tuple[Cut, ...]) -> tuple[Cut, ...]:
    """Cuts of the answer: numbers of elements in every block, or sizes of all blocks."""
    said = list(chunks) if isinstance(chunks, (tuple, list)) else [chunks] * len(cuts)
    if len(said) != len(cuts):
        raise ValueError(
            f"chunks={chunks!r} is for {len(said)} axes, and the blocks have {len(cuts)}: a "
            "function that adds or drops axes is not supported"
        )
    made = [
        Cut.of([int(want)] * cut.n if isinstance(want, (int, np.integer)) else list(want))
        for want, cut in zip(said, cuts, strict=True)
    ]
    for new, old in zip(made, cuts, strict=True):
        if new.n != old.n:
            raise ValueError(f"chunks={chunks!r}: there are {old.n} blocks, not {new.n}")
    return tuple(made)


def _names_block(function: Callable[..., Any]) -> bool:
    try:
        return "block_id" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # NumPy's and C functions have no signature
        return False


class BlockMethods(ArrayBase):
    """Functions of the user's on chunks."""

    __slots__ = ()

    def map_blocks(
        self,
        function: Callable[..., Any],
        *arrays: Any,
        dtype: npt.DTypeLike | None = None,
        chunks: Chunks = None,
        **options: Any,
    ) -> Self:
        """Call a function on every chunk. See ``nbscale.array.map_blocks``."""
        return map_blocks(function, self, *arrays, dtype=dtype, chunks=chunks, **options)
