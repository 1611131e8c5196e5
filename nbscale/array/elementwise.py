"""Operations on elements: NumPy's ufuncs with one or two inputs, ``where``, ``clip``, ``round``.

The operands broadcast as in NumPy. Where their chunks differ, the smaller are cut as the largest.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from nbscale.array.broadcast import aligned, broadcast, picks_broadcast, read_broadcast
from nbscale.array.functions import Options, named, plain
from nbscale.array.io import node_of
from nbscale.array.node import (
    ArrayBase,
    ArrayNode,
    Constant,
    Needs,
    Picks,
    as_chunk,
    dtype_of,
    name_of,
    probe,
    quiet,
)
from nbscale.array.tiles import fused
from nbscale.collection import Collection, public, wrap
from nbscale.expr.function import Function, capture
from nbscale.expr.node import Index, Kernel, Map, Node, Read
from nbscale.record import record

if TYPE_CHECKING:
    from nbscale.array.array import Array

__all__ = [
    "Cast",
    "Elementwise",
    "ElementwiseMethods",
    "allclose",
    "angle",
    "apply",
    "clip",
    "divmod_",
    "imag",
    "isclose",
    "nan_to_num",
    "of_ufunc",
    "operand",
    "real",
    "round_",
    "ufunc",
    "where",
]


class Elementwise(ArrayNode, Map):
    """A function of the elements at one place. Operands are nodes and parameters."""

    function: str | Function
    operands: tuple[Any, ...]
    options: Options = ()

    tiles: ClassVar[bool] = True

    def fused(self, members: Sequence[Node], done: Mapping[str, Node]) -> ArrayNode:
        """One node for these members of which this is the last: see `Fused`."""
        return fused(members, done)

    def step(self) -> tuple[str | Function, tuple[Any, ...], Options]:
        """The function, its operands and options."""
        return self.function, self.operands, self.options

    def validate(self) -> None:
        nodes = [node for node in self.operands if isinstance(node, ArrayNode)]
        specs = tuple(
            ((1,) * node.ndim, node.dtype) if isinstance(node, ArrayNode) else (node, type(node))
            for node in self.operands
        )
        _, dtype = probe(named(self.function), specs, self.options)
        self._settle(broadcast(nodes, self.label), dtype)

    @property
    def gil_free(self) -> bool:  # type: ignore[override]
        """Objects are Python's."""
        return not self.dtype.hasobject and isinstance(self.function, str)

    @property
    def label(self) -> str:
        return self.function if isinstance(self.function, str) else self.function.name

    def slice_needs(self, picks: Picks) -> Needs:
        return tuple(picks_broadcast(node, self.shape, picks) for node in self.inputs)  # type: ignore[arg-type]

    def reads(self) -> tuple[Read, ...]:
        return tuple(read_broadcast(node, self.grid, self.shape) for node in self.inputs)  # type: ignore[arg-type]

    def kernel(self) -> Kernel:
        plan = tuple(
            None if isinstance(value, ArrayNode) else (plain(value),) for value in self.operands
        )
        return _Call(named(self.function), plan, dict(self.options), self.dtype)


@record
class _Call:
    """Call the function with the values in the places of the nodes."""

    function: Callable[..., Any]
    plan: tuple[tuple[Any] | None, ...]
    options: dict[str, Any]
    dtype: np.dtype[Any]

    def __call__(self, index: Index, *values: Any) -> Any:
        rest = iter(values)
        args = [next(rest) if fixed is None else fixed[0] for fixed in self.plan]
        with quiet():
            return as_chunk(self.function(*args, **self.options), self.dtype)


class Cast(ArrayNode, Map):
    """The elements in another dtype."""

    operand: ArrayNode
    type_name: str | np.dtype[Any]

    tiles: ClassVar[bool] = True

    def fused(self, members: Sequence[Node], done: Mapping[str, Node]) -> ArrayNode:
        """One node for these members of which this is the last: see `Fused`."""
        return fused(members, done)

    def step(self) -> tuple[str | Function, tuple[Any, ...], Options]:
        """The function, its operands and options."""
        return "astype", (self.operand, Constant(np.zeros((), self.dtype))), ()

    def validate(self) -> None:
        self._settle(self.operand.cuts, dtype_of(self.type_name))

    @property
    def gil_free(self) -> bool:  # type: ignore[override]
        """Objects are Python's."""
        return not (self.dtype.hasobject or self.operand.dtype.hasobject)

    @property
    def label(self) -> str:
        return "astype"

    def slice_needs(self, picks: Picks) -> Needs:
        return (picks,)

    def kernel(self) -> Kernel:
        return functools.partial(_cast, self.dtype)


def _cast(dtype: np.dtype[Any], index: Index, value: Any) -> Any:
    with quiet():
        return value.astype(dtype, copy=False)[...]


def operand(value: Any) -> Any:
    """A value as an operand of a node: a node, a constant, or a Python scalar as it is."""
    if isinstance(value, ArrayBase):
        return value._node  # noqa: SLF001 - arrays are this package's
    if value is None or type(value) in (int, float, bool, complex, str, bytes):
        return value
    if isinstance(value, np.generic):
        return Constant(value)
    plain = np.asarray(value)
    return Constant(plain) if plain.ndim == 0 else node_of(plain)


def apply(function: str | Function, values: Iterable[Any], options: Options = ()) -> Array:
    """The lazy array of a function of elements.

    Parameters
    ----------
    function
        A name of `UFUNCS` or of the functions here, or a captured function.
    values
        Lazy arrays, NumPy arrays, scalars.
    options
        Keyword arguments of the function.
    """
    given = list(values)
    operands = [operand(value) for value in given]
    nodes = [node for node in operands if isinstance(node, ArrayNode)]
    if not nodes:
        # Scalars alone: NumPy's keep their dtype, and Python's follow them.
        strong = any(isinstance(value, Constant) for value in operands)
        operands = [
            node_of(np.asarray(plain(value)))
            if isinstance(value, Constant) or not strong
            else value
            for value in operands
        ]
        nodes = [node for node in operands if isinstance(node, ArrayNode)]
    if len(nodes) > 1:
        cuts = broadcast(nodes, str(function))
        operands = [aligned(n, cuts) if isinstance(n, ArrayNode) else n for n in operands]
    parents = [value for value in given if isinstance(value, Collection)]
    return wrap(Elementwise(function, tuple(operands), options), *parents)


@functools.lru_cache(maxsize=256)
def ufunc(name: str) -> Callable[..., Any]:
    """The lazy version of one of NumPy's ufuncs."""
    real: np.ufunc = getattr(np, name)

    def call(*args: Any, dtype: npt.DTypeLike | None = None) -> Any:
        if len(args) != real.nin:
            raise TypeError(
                f"{name}() takes {real.nin} positional argument{'s' * (real.nin > 1)} but "
                f"{len(args)} were given"
            )
        options = () if dtype is None else (("dtype", name_of(np.dtype(dtype))),)
        if real.nout == 1:
            return apply(name, args, options)
        return tuple(apply(f"{name}#{n}", args, options) for n in range(real.nout))

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"Lazy ``numpy.{name}``, element by element; one pass, no exchange."
    return public(call)


def of_ufunc(real: np.ufunc, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """What ``__array_ufunc__`` gives for a call; NotImplemented if lazy arrays have no such."""
    if set(options) - {"dtype"} or real.nin > 2 or real.signature is not None:
        return NotImplemented
    name = real.__name__
    if getattr(np, name, None) is real:
        return ufunc(name)(*args, **options)
    if real.nout > 1:
        return NotImplemented
    return apply(capture(real), args, tuple(options.items()))


@public
def where(condition: Any, x: Any = None, y: Any = None) -> Array:
    """Elements of ``x`` where the condition holds, of ``y`` elsewhere.

    One pass, no exchange; the operands broadcast.

    Raises
    ------
    NotImplementedError
        Without ``x`` and ``y``: how many elements the answer has depends on the data.

    Examples
    --------
    >>> import nbscale.array as na
    >>> x = na.arange(5)
    >>> na.where(x > 2, x, -1).compute()
    array([-1, -1, -1,  3,  4])
    """
    if x is None and y is None:
        raise NotImplementedError(
            "where(condition) alone has as many elements as there are true ones, which is known "
            "only when it is computed: use numpy.nonzero(condition.compute())"
        )
    if x is None or y is None:
        raise ValueError("either both or neither of x and y should be given")
    return apply("where", (condition, x, y))


@public
def clip(a: Any, a_min: Any = None, a_max: Any = None) -> Array:
    """Elements limited to an interval; either end may be None. One pass, no exchange."""
    return apply("clip", (a, a_min, a_max))


@public
def round_(a: Any, decimals: int = 0) -> Array:
    """Elements rounded to so many decimals, halves to even. One pass, no exchange."""
    return apply("round", (a,), (("decimals", int(decimals)),))


@public
def divmod_(x: Any, y: Any) -> tuple[Array, Array]:
    """Quotient and remainder, as ``numpy.divmod``."""
    return ufunc("divmod")(x, y)


@public
def isclose(
    a: Any, b: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Array:
    """Whether elements are equal within a tolerance, as ``numpy.isclose``."""
    return apply("isclose", (a, b), (("rtol", rtol), ("atol", atol), ("equal_nan", equal_nan)))


@public
def allclose(
    a: Any, b: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Array:
    """Whether all elements are equal within a tolerance: a 0-d array, which is true or false.

    Examples
    --------
    >>> import nbscale.array as na
    >>> bool(na.allclose(na.ones(3), 1 + 1e-12))
    True
    """
    return isclose(a, b, rtol, atol, equal_nan).all()


@public
def real(val: Any) -> Array:
    """The real part."""
    return apply("real", (val,))


@public
def imag(val: Any) -> Array:
    """The imaginary part."""
    return apply("imag", (val,))


@public
def angle(z: Any, deg: bool = False) -> Array:
    """The angle of complex numbers, in radians or degrees."""
    return apply("angle", (z,), (("deg", deg),))


@public
def nan_to_num(
    x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Array:
    """NaN and infinities replaced by numbers, as ``numpy.nan_to_num``."""
    return apply("nan_to_num", (x,), (("nan", nan), ("posinf", posinf), ("neginf", neginf)))


def _binary(name: str) -> Any:
    def forward(self: Any, other: Any) -> Any:
        if _defers(other):
            return NotImplemented
        return apply(name, (self, other))

    def backward(self: Any, other: Any) -> Any:
        if _defers(other):
            return NotImplemented
        return apply(name, (other, self))

    return forward, backward


def _defers(other: Any) -> bool:
    """Whether the other side does the work: other collections, and what is no number."""
    if isinstance(other, ArrayBase):
        return False
    if isinstance(other, Collection) or other is None:
        return True
    return getattr(other, "__array_ufunc__", True) is None


def _unary(name: str) -> Any:
    def call(self: Any) -> Any:
        return apply(name, (self,))

    return call


class ElementwiseMethods(ArrayBase):
    """Operators and methods that work element by element."""

    __slots__ = ()

    __add__, __radd__ = _binary("add")
    __sub__, __rsub__ = _binary("subtract")
    __mul__, __rmul__ = _binary("multiply")
    __truediv__, __rtruediv__ = _binary("true_divide")
    __floordiv__, __rfloordiv__ = _binary("floor_divide")
    __mod__, __rmod__ = _binary("remainder")
    __pow__, __rpow__ = _binary("**")
    __and__, __rand__ = _binary("bitwise_and")
    __or__, __ror__ = _binary("bitwise_or")
    __xor__, __rxor__ = _binary("bitwise_xor")
    __lshift__, __rlshift__ = _binary("left_shift")
    __rshift__, __rrshift__ = _binary("right_shift")
    __lt__, _ = _binary("less")
    __le__, _ = _binary("less_equal")
    __gt__, _ = _binary("greater")
    __ge__, _ = _binary("greater_equal")
    __eq__, _ = _binary("equal")
    __ne__, _ = _binary("not_equal")
    __neg__ = _unary("negative")
    __pos__ = _unary("positive")
    __abs__ = _unary("absolute")
    __invert__ = _unary("invert")
    __hash__ = None  # type: ignore[assignment]  # as NumPy's: equality is element by element
    del _

    def __divmod__(self, other: Any) -> Any:
        return divmod_(self, other)

    def __rdivmod__(self, other: Any) -> Any:
        return divmod_(other, self)

    def astype(self, dtype: npt.DTypeLike | None, *, casting: str = "unsafe") -> Self:
        """The elements in another dtype, as ``numpy.ndarray.astype``. One pass, no exchange.

        Raises
        ------
        TypeError
            NumPy's, if ``casting`` forbids it.

        Examples
        --------
        >>> import nbscale.array as na
        >>> na.arange(3).astype("f4").compute()
        array([0., 1., 2.], dtype=float32)
        """
        kind = np.dtype(dtype)
        np.empty(0, self.dtype).astype(kind, casting=casting)
        if kind == self.dtype:
            return self
        if not kind.itemsize:
            # Text takes the length it needs: NumPy knows which.
            kind = np.ones(1, self.dtype).astype(kind).dtype
        return self._new(Cast(self._node, name_of(kind)))

    def clip(self, min: Any = None, max: Any = None) -> Self:
        """Elements limited to an interval; either end may be None. One pass, no exchange."""
        return clip(self, min, max)  # type: ignore[return-value]

    def round(self, decimals: int = 0) -> Self:
        """Elements rounded to so many decimals, halves to even. One pass, no exchange."""
        return round_(self, decimals)  # type: ignore[return-value]

    def conj(self) -> Self:
        """The complex conjugate."""
        return ufunc("conjugate")(self)

    @property
    def real(self) -> Self:
        """The real part."""
        return real(self)  # type: ignore[return-value]

    @property
    def imag(self) -> Self:
        """The imaginary part."""
        return imag(self)  # type: ignore[return-value]
