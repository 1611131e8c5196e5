"""``delayed``: calls of any function, put off until they are computed together.

Arguments may be delayed values, other lazy collections (which arrive whole, as pandas or NumPy
objects), or lists, tuples, dicts and sets that hold them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nbscale.collection import Collection, Gather, Parts, public, register, wrap
from nbscale.expr.function import Function, capture
from nbscale.expr.node import Held, Index, Kernel, Node, Tasks
from nbscale.expr.token import nonce
from nbscale.record import record

__all__ = ["Delayed", "delayed"]


@record
class Slot:
    """The place of lazy argument number ``number`` in a template of arguments."""

    number: int


class Call(Tasks):
    """One call. ``unique`` keeps calls with equal arguments apart unless they are pure.

    ``single``: it may never be made twice.
    """

    function: Function
    template: tuple[Any, ...]
    arguments: tuple[Node, ...]
    whole: tuple[Any, ...]
    unique: str
    single: bool = False

    kind = "delayed"
    gil_free = False

    @property
    def user_code(self) -> bool:
        return True

    @property
    def once(self) -> bool:
        return self.single

    @property
    def label(self) -> str:
        return self.function.name

    def content(self) -> tuple[Any, ...]:
        """Everything but how arguments are made whole, which follows from what they are."""
        return (self.function, self.template, self.arguments, self.unique, self.single)

    def kernel(self) -> Kernel:
        return _CallKernel(self.function, self.template, self.whole)


@record
class _CallKernel:
    function: Function
    template: tuple[Any, ...]
    whole: tuple[Any, ...]

    def __call__(self, index: Index, *inputs: list[Any]) -> Any:
        del index
        values = [make(parts) for make, parts in zip(self.whole, inputs, strict=True)]
        args, kwargs = _filled(self.template, values)
        return self.function(*args, **dict(kwargs))


def _only(parts: list[Any]) -> Any:
    return parts[0]


@record
class _Whole:
    """Make one value of the partitions of a collection, as its ``compute`` does."""

    gather: Callable[[Node], Gather]
    node: Node

    def __call__(self, parts: list[Any]) -> Any:
        # Partitions of an adaptive frame are known only by now; every other grid is known.
        grid: Sequence[int] = self.node.__dict__.get("grid", (len(parts),))
        gather = self.gather(self.node)
        if isinstance(gather, Parts):
            gather.grid, gather.values = (len(parts),), list(parts)
            return gather.result()
        for flat, value in enumerate(parts):
            index = []
            for n in reversed(grid):
                flat, i = divmod(flat, n)  # noqa: PLW2901 - peeled off digit by digit
                index.append(i)
            gather.take(tuple(reversed(index)), value)
        return gather.result()


def _collect(value: Any, found: dict[int, tuple[int, Collection]]) -> Any:
    """Replace collections in nested containers by slots; put them in ``found``."""
    if isinstance(value, Collection):
        slot, _ = found.setdefault(id(value), (len(found), value))
        return Slot(slot)
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(_collect(item, found) for item in value)
    if type(value) is dict:
        return {_collect(k, found): _collect(v, found) for k, v in value.items()}
    return value


def _filled(template: Any, values: Sequence[Any]) -> Any:
    if isinstance(template, Slot):
        return values[template.number]
    if type(template) in (list, tuple, set, frozenset):
        return type(template)(_filled(item, values) for item in template)
    if type(template) is dict:
        return {_filled(k, values): _filled(v, values) for k, v in template.items()}
    return template


def _call(
    function: Function,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    pure: bool,
    traverse: bool,
    once: bool = False,
) -> Delayed:
    found: dict[int, tuple[int, Collection]] = {}
    if traverse:
        filled = _collect((args, tuple(kwargs.items())), found)
    else:
        filled = (
            tuple(_collect(a, found) if isinstance(a, Collection) else a for a in args),
            tuple(
                (k, _collect(v, found) if isinstance(v, Collection) else v)
                for k, v in kwargs.items()
            ),
        )
    lazy = [collection for _, collection in found.values()]
    nodes = tuple(c._node for c in lazy)  # noqa: SLF001 - one of us
    whole = tuple(
        _only if isinstance(c, Delayed) else _Whole(c._gather, c._node)  # noqa: SLF001
        for c in lazy
    )
    node = Call(function, filled, nodes, whole, "" if pure else nonce(), once)
    result: Delayed = wrap(node, *lazy)
    return result


class HeldCall(Held):
    """A delayed value that was persisted."""

    values: Any
    identity: str

    kind = "delayed"

    @property
    def grid(self) -> tuple[int, ...]:
        return (1,)

    @property
    def label(self) -> str:
        return "persisted"

    def load(self) -> Kernel:
        return _Give(self.values[0])


@record
class _Give:
    value: Any

    def __call__(self, index: Index) -> Any:
        del index
        return self.value


class _TheValue(Parts):
    def result(self) -> Any:
        return self.values[0]


@register("delayed")
class Delayed(Collection):
    """A value that is computed later. Calls, attributes, items and operators give more of them."""

    __slots__ = ("_nout",)

    _nout: int

    def _gather(self, node: Node) -> Gather:
        return _TheValue(node.grid)

    def _hold(self, node: Node, values: list[Any]) -> Node:
        del node
        return HeldCall(tuple(values), nonce())

    @property
    def key(self) -> str:
        """The content hash."""
        return self._node.key

    def __repr__(self) -> str:
        return f"Delayed({self._node.label!r})"

    def __call__(self, *args: Any, pure: bool = False, **kwargs: Any) -> Delayed:
        """Call this value, later."""
        return _call(_APPLY, (self, args, kwargs), {}, pure=pure, traverse=True)

    def __getattr__(self, name: str) -> Delayed:
        if name.startswith("_"):
            msg = f"a delayed value has no attribute {name!r} before it is computed"
            raise AttributeError(msg)
        return _call(_GETATTR, (self, name), {}, pure=True, traverse=False)

    def __getitem__(self, item: Any) -> Delayed:
        return _call(_GETITEM, (self, item), {}, pure=True, traverse=True)

    def __iter__(self) -> Iterator[Delayed]:
        nout = getattr(self, "_nout", None)
        if nout is None:
            msg = "a delayed value of unknown length cannot be unpacked; give delayed(..., nout=)"
            raise TypeError(msg)
        return (self[i] for i in range(nout))

    def __len__(self) -> int:
        nout = getattr(self, "_nout", None)
        if nout is None:
            msg = "a delayed value has no length before it is computed; give delayed(..., nout=)"
            raise TypeError(msg)
        return int(nout)

    def __bool__(self) -> bool:
        msg = "the truth of a delayed value is not known before it is computed; compute() it"
        raise TypeError(msg)


class DelayedFunction(Delayed):
    """A function whose calls are delayed; as a value it is the function itself."""

    __slots__ = ("_function", "_once", "_pure", "_traverse")

    _function: Function
    _once: bool
    _pure: bool | None
    _traverse: bool

    @classmethod
    def of(
        cls,
        value: Delayed,
        function: Function,
        *,
        pure: bool | None,
        nout: int | None,
        traverse: bool,
        once: bool,
    ) -> DelayedFunction:
        """Make one of the delayed value that is the function itself."""
        made = cls(value._node)  # noqa: SLF001 - its own class
        made._function, made._pure, made._traverse = function, pure, traverse
        made._once = once
        if nout is not None:
            made._nout = nout
        return made

    def __call__(self, *args: Any, pure: bool | None = None, **kwargs: Any) -> Delayed:
        """Call the function, later."""
        kwargs.pop("dask_key_name", None)
        chosen = self._pure if pure is None else pure
        result = _call(
            self._function,
            args,
            kwargs,
            pure=bool(chosen),
            traverse=self._traverse,
            once=self._once,
        )
        if getattr(self, "_nout", None) is not None:
            result._nout = self._nout  # noqa: SLF001 - its own class
        return result

    def __repr__(self) -> str:
        return f"delayed({self._function.name})"


def _apply(function: Any, args: Any, kwargs: Any) -> Any:
    return function(*args, **kwargs)


def _identity(value: Any) -> Any:
    return value


_APPLY, _GETATTR, _GETITEM = capture(_apply), capture(getattr), capture(operator.getitem)
_IDENTITY = capture(_identity)


def _operator(function: Callable[..., Any], *, reverse: bool = False) -> Callable[..., Delayed]:
    captured = capture(function)

    def method(self: Delayed, *others: Any) -> Delayed:
        args = (*others, self) if reverse else (self, *others)
        return _call(captured, args, {}, pure=True, traverse=True)

    method.__doc__ = f"Apply ``operator.{function.__name__}``, later."
    return method


for _name in "add sub mul truediv floordiv mod pow and_ or_ xor matmul lshift rshift".split():
    _plain = _name.rstrip("_")
    setattr(Delayed, f"__{_plain}__", _operator(getattr(operator, _name)))
    setattr(Delayed, f"__r{_plain}__", _operator(getattr(operator, _name), reverse=True))
for _name in "lt le gt ge eq ne neg pos abs invert".split():
    setattr(Delayed, f"__{_name}__", _operator(getattr(operator, _name)))
Delayed.__hash__ = object.__hash__  # type: ignore[method-assign]


@public
def delayed(
    obj: Any,
    name: str | None = None,
    pure: bool | None = None,
    nout: int | None = None,
    traverse: bool = True,
    once: bool = False,
) -> Any:
    """Put off a function's calls, or make any object a delayed value.

    Parameters
    ----------
    obj
        A function, or an object. A function is captured as it is now.
    name
        Name to show instead of the function's own.
    pure
        Calls with equal arguments are the same call. By default every call is one of its own.
    nout
        Number of values the function returns, so that the result can be unpacked.
    traverse
        Look for lazy values inside lists, tuples, dicts and sets.
    once
        Never make a call twice in one computation: if its worker dies or freezes when the call may
        have begun, the computation ends with ``WorkerLost``. Otherwise such a call is made again.

    Returns
    -------
    Delayed

    Raises
    ------
    TypeError
        If the function cannot be pickled.

    Notes
    -----
    Lazy collections among the arguments arrive whole, as pandas or NumPy objects.

    Examples
    --------
    >>> import nbscale as ns
    >>> @ns.delayed
    ... def add(a, b):
    ...     return a + b
    >>> total = add(1, add(2, 3))
    >>> total.compute()
    6
    """
    if isinstance(obj, Collection):
        return _call(_IDENTITY, (obj,), {}, pure=True, traverse=False)
    if not callable(obj):
        return _call(_IDENTITY, (obj,), {}, pure=bool(pure), traverse=traverse)
    function = capture(obj)
    if name is not None:
        function = Function(function.payload, name, function.files)
    value = _call(_IDENTITY, (obj,), {}, pure=True, traverse=False)
    return DelayedFunction.of(value, function, pure=pure, nout=nout, traverse=traverse, once=once)
