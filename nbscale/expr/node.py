"""Nodes: frozen, typed, interned records that say what is meant.

Two nodes with equal content are one object, so sharing a sub-expression needs no search. A node
never holds data, a place in the user's code, or anything that runs: its family says how it
depends on its inputs, its facts say what the planner may do with it, ``kernel()`` gives the
function that a task calls.

Families (constructors over stages, see ``plan/lower.py``)::

    Source    values from outside: ``load(index)``
    Map       one task for each output from intervals of the inputs: ``reads()``, ``kernel()``
    Reduce    a tree: ``partial``, ``combine`` (fan-in 8), ``final``
    Scan      ``summarise`` each, ``fold`` all summaries, ``apply`` each with its prefix
    Exchange  ``split`` each into pieces, ``merge`` the pieces of one output
    Tasks     a call of a user's function on whatever values (``delayed``)
    Adaptive  asks for small values first, then becomes other nodes: ``asks()``, ``build()``
"""

from __future__ import annotations

import contextlib
import itertools
import math
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, Literal, Self, TypeAlias, cast, dataclass_transform

from nbscale.expr.need import EVERYTHING, Need
from nbscale.expr.token import token
from nbscale.graph.axismap import All, At, AxisMap, Each
from nbscale.record import record

__all__ = [
    "Adaptive",
    "Exchange",
    "Held",
    "Index",
    "Kernel",
    "Map",
    "Node",
    "Read",
    "Reduce",
    "Scan",
    "Source",
    "Stack",
    "Tasks",
    "everything",
    "one",
    "same",
    "walk",
]

Index: TypeAlias = tuple[int, ...]
"""The coordinates of one task in the grid of its node, in the node's original numbering."""

Kernel: TypeAlias = Callable[..., Any]
"""``kernel(index, *inputs) -> value``. Made of module-level functions and plain parameters, so
that it can travel to another process without the expression it came from."""

Delivery: TypeAlias = Literal["one", "list", "turn"]


@record
class Read:
    """How a node reads one of its inputs.

    Attributes
    ----------
    node
        The input.
    axes
        For each axis of the input's grid, the axis of the reader's grid that drives it, or -1 for
        none (then the map must ignore the coordinate, as ``All`` and ``At`` do).
    maps
        For each axis of the input's grid, which coordinates are read.
    delivery
        ``"one"``: the value itself (exactly one is read); ``"list"``: a list, in C order over the
        block that is read, possibly empty; ``"turn"``: an iterator, one value held at a time.
    """

    node: Node
    axes: tuple[int, ...]
    maps: tuple[AxisMap, ...]
    delivery: Delivery = "one"


def same(node: Node) -> Read:
    """Read the value at the reader's own coordinates."""
    return Read(node, tuple(range(len(node.grid))), tuple(Each(n) for n in node.grid))


def one(node: Node, grid: Sequence[int], index: Index | None = None) -> Read:
    """Every task of a reader with this grid reads the one value at ``index`` (default: origin)."""
    where = index if index is not None else (0,) * len(node.grid)
    driver = tuple(a if a < len(grid) else -1 for a in range(len(node.grid)))
    maps = tuple(
        At(grid[a] if a >= 0 else 1, n, c) for a, n, c in zip(driver, node.grid, where, strict=True)
    )
    return Read(node, driver, maps)


def everything(node: Node, grid: Sequence[int], delivery: Delivery = "list") -> Read:
    """Every task of a reader with this grid reads all values."""
    driver = tuple(a if a < len(grid) else -1 for a in range(len(node.grid)))
    maps = tuple(All(grid[a] if a >= 0 else 1, n) for a, n in zip(driver, node.grid, strict=True))
    return Read(node, driver, maps, delivery)


class cached_grid:  # noqa: N801 - used as a decorator is
    """A grid worked out once and kept with its node."""

    def __init__(self, compute: Callable[[Any], tuple[int, ...]]) -> None:
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __get__(self, node: Any, owner: type | None = None) -> Any:
        if node is None:
            return self
        grid = self.compute(node)
        node.__dict__["grid"] = grid
        return grid


_interned: weakref.WeakValueDictionary[str, Node] = weakref.WeakValueDictionary()


@dataclass_transform(frozen_default=True, eq_default=False)
class _NodeType(type):
    """Makes every instance of a node class frozen and the only one of its content.

    The annotations of a class are its fields, as in a dataclass, those of its bases first.
    """

    field_names: tuple[str, ...]
    defaults: dict[str, Any]

    def __new__(
        mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any
    ) -> _NodeType:
        grid = namespace.get("grid")
        if isinstance(grid, property) and grid.fget is not None:
            # Known from the moment a node is made, so that asking a long chain never recurses.
            namespace = {**namespace, "grid": cached_grid(grid.fget)}
        cls = super().__new__(mcs, name, bases, namespace, **kwargs)
        names: dict[str, None] = {}
        for base in reversed(cls.__mro__[1:]):
            names |= dict.fromkeys(base.__dict__.get("own_fields", ()))
        own = tuple(
            field
            for field, annotation in namespace.get("__annotations__", {}).items()
            if not str(annotation).startswith("ClassVar")
        )
        cls.own_fields = own  # type: ignore[attr-defined]
        cls.field_names = (*names, *(field for field in own if field not in names))
        given = (n for n in cls.field_names if any(n in c.__dict__ for c in cls.__mro__))
        cls.defaults = {n: getattr(cls, n) for n in given}
        return cls

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made: Any = object.__new__(cast("type[Any]", cls))
        # Frozen is for everybody else: this is where the object is still being made.
        attributes = made.__dict__
        attributes.update(cls._bound(args, kwargs) if kwargs or args else cls.defaults)
        if len(attributes) != len(cls.field_names):
            missing = [n for n in cls.field_names if n not in attributes]
            msg = f"{cls.__name__}() misses {', '.join(missing)}"
            raise TypeError(msg)
        values = made.fields()
        key = token(cls.__module__, cls.__qualname__, *made.content())
        known = _interned.get(key)
        if known is not None:
            return known
        attributes["key"] = key
        attributes["inputs"] = _nodes_in(values)
        with contextlib.suppress(LookupError):
            _ = made.grid
        made.validate()
        return _interned.setdefault(key, made)

    def _bound(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Arguments by the name of their field, with the defaults of those not given."""
        names = cls.field_names
        if len(args) > len(names):
            msg = f"{cls.__name__}() takes {len(names)} arguments, not {len(args)}"
            raise TypeError(msg)
        bound = cls.defaults | dict(zip(names, args, strict=False))
        for name, value in kwargs.items():
            if name not in names or name in names[: len(args)]:
                msg = f"{cls.__name__}() got an unexpected or repeated argument {name!r}"
                raise TypeError(msg)
            bound[name] = value
        return bound


def _nodes_in(values: Iterable[Any]) -> tuple[Node, ...]:
    found: list[Node] = []
    for value in values:
        if isinstance(value, Node):
            found.append(value)
        elif isinstance(value, tuple):
            found.extend(item for item in value if isinstance(item, Node))
    return tuple(found)


class Node(metaclass=_NodeType):
    """Base of all nodes. Fields are nodes, tuples of nodes, or plain immutable parameters.

    Attributes
    ----------
    key
        Hash of the content.
    inputs
        The nodes among the fields, in field order.
    """

    key: ClassVar[str]
    inputs: ClassVar[tuple[Node, ...]]
    field_names: ClassVar[tuple[str, ...]]

    # Facts. Rules read these and never the names of operations.
    row_preserving: ClassVar[bool] = False
    """Row i of a partition of the output comes from row i of the same partition of the input."""
    column_local: ClassVar[bool] = False
    """A column of the output depends on no other column of the input."""
    gil_free: ClassVar[bool] = True
    """The kernel spends its time outside Python's interpreter lock."""
    growth: ClassVar[float] = 1.0
    """Bytes of output for a byte of input, for the estimate."""

    @property
    def user_code(self) -> bool:
        """Whether the kernel calls a function of the user's."""
        return False

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of partitions or chunks along each axis."""
        raise NotImplementedError(type(self).__name__)

    @property
    def label(self) -> str:
        """The operation's name in the user's words."""
        return type(self).__name__.lower()

    def validate(self) -> None:
        """Check the fields; raise what pandas or NumPy would raise. Called once for each node."""

    def needs(self, need: Need) -> tuple[Need | None, ...]:
        """What is needed of each input, in order, so that ``need`` of this node can be met.

        None stands for an input that ``pruned`` will drop.
        """
        del need
        return (EVERYTHING,) * len(self.inputs)

    def pruned(self, need: Need, inputs: Sequence[Node]) -> Node:
        """Take inputs that may have lost what nobody needs; may lose that, too."""
        del need
        return self.with_inputs(inputs)

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse: nodes are shared."""
        msg = f"cannot change {name!r} of a {type(self).__name__}: nodes are frozen"
        raise AttributeError(msg)

    def fields(self) -> tuple[Any, ...]:
        """The values of the fields, in order."""
        attributes = self.__dict__
        return tuple(attributes[name] for name in self.field_names)

    def content(self) -> tuple[Any, ...]:
        """What the key is made of: all fields, unless a class knows better."""
        return self.fields()

    def with_inputs(self, inputs: Sequence[Node]) -> Self:
        """The same operation on other inputs, given in the order of ``inputs``."""
        if all(new is old for new, old in zip(inputs, self.inputs, strict=True)):
            return self
        queue = iter(inputs)
        values: list[Any] = []
        for value in self.fields():
            if isinstance(value, Node):
                values.append(next(queue))
            elif isinstance(value, tuple) and any(isinstance(item, Node) for item in value):
                values.append(
                    tuple(next(queue) if isinstance(item, Node) else item for item in value)
                )
            else:
                values.append(value)
        return type(self)(*values)

    def replace(self, **changes: Any) -> Self:
        """The same operation with some fields changed."""
        return type(self)(**{name: self.__dict__[name] for name in self.field_names} | changes)

    def describe(self) -> str:
        """The operation and its plain parameters on one short line."""
        shown = []
        for name, value in zip(self.field_names, self.fields(), strict=True):
            if isinstance(value, Node) or _nodes_in((value,)):
                continue
            text = repr(value)
            shown.append(f"{name}={text if len(text) <= 40 else text[:37] + '...'}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def __repr__(self) -> str:
        return self.describe()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.fields()


class Source(Node):
    """Values from outside the expression: files, data of the user's, random numbers."""

    def load(self) -> Kernel:
        """Return the kernel ``(index) -> value``."""
        raise NotImplementedError(type(self).__name__)

    def nbytes(self) -> float | None:
        """Estimated bytes in memory of one partition, or None if nothing is known."""
        return None


class Held(Source):
    """Values that exist already, by reference: persisted partitions, answers of a step."""

    values: Any
    identity: str

    def content(self) -> tuple[Any, ...]:
        """Identity alone: values are never hashed."""
        return (self.identity,)


class Map(Node):
    """One task for each output coordinate."""

    def reads(self) -> tuple[Read, ...]:
        """How the inputs are read.

        By default each at the same coordinates, and an input with a single value by everybody.
        """
        return tuple(
            same(node) if node.grid == self.grid else one(node, self.grid) for node in self.inputs
        )

    def kernel(self) -> Kernel:
        """Return the kernel ``(index, *inputs) -> value``."""
        raise NotImplementedError(type(self).__name__)


class Stack(Node):
    """Values side by side: output i is the one value of input i."""

    items: tuple[Node, ...]

    @property
    def grid(self) -> tuple[int, ...]:
        return (len(self.items),)


class Reduce(Node):
    """A tree over some axes of the first input. Its shape depends on the grid alone.

    Other inputs hold one value each, read by every partial.
    """

    @property
    def reduced(self) -> tuple[int, ...]:
        """The axes of the first input's grid that are reduced to one."""
        return tuple(range(len(self.inputs[0].grid)))

    @property
    def grid(self) -> tuple[int, ...]:
        reduced = self.reduced
        return tuple(1 if a in reduced else n for a, n in enumerate(self.inputs[0].grid))

    def partial(self) -> Kernel:
        """Return ``(index, value, *others) -> state``."""
        raise NotImplementedError(type(self).__name__)

    def combine(self) -> Kernel:
        """Return ``(index, [states]) -> state``; associative, called in order."""
        raise NotImplementedError(type(self).__name__)

    def final(self) -> Kernel:
        """Return ``(index, state) -> value``."""
        raise NotImplementedError(type(self).__name__)


class Scan(Node):
    """An ordered operation along one axis, as a monoid: right for empty partitions.

    The first input is what ``apply`` works on, the last what is summarised; they may be the same
    node, and must have the same grid.
    """

    backward: ClassVar[bool] = False
    """The prefix of a position depends on what lies behind it, not before."""

    @property
    def grid(self) -> tuple[int, ...]:
        return self.inputs[0].grid

    @property
    def along(self) -> int:
        """The axis that is scanned along."""
        return 0

    def summarise(self) -> Kernel:
        """Return ``(index, value) -> summary``, small."""
        raise NotImplementedError(type(self).__name__)

    def fold(self) -> Kernel:
        """Return ``(index, [summaries]) -> [prefix for each position]``."""
        raise NotImplementedError(type(self).__name__)

    def apply(self) -> Kernel:
        """Return ``(index, value, prefix) -> value``."""
        raise NotImplementedError(type(self).__name__)


class Exchange(Node):
    """Rows or elements move between partitions.

    ``split`` gives a list or dict of pieces addressed by the flat (C order) number of the output
    that reads them; an output reads its piece of every producer in ``targets``.
    """

    def targets(self) -> tuple[AxisMap, ...]:
        """For each axis, which producers an output reads (as many axes in as out)."""
        source = self.inputs[0]
        return tuple(All(m, n) for m, n in zip(self.grid, source.grid, strict=True))

    def split(self) -> Kernel:
        """Return ``(index, value) -> pieces``."""
        raise NotImplementedError(type(self).__name__)

    def merge(self) -> Kernel:
        """Return ``(index, [pieces]) -> value``; pieces in C order of their producers."""
        raise NotImplementedError(type(self).__name__)


class Tasks(Node):
    """One call of a user's function; inputs are whole values."""

    @property
    def once(self) -> bool:
        """Whether the call may never be made twice, whatever happens to its worker."""
        return False

    @property
    def grid(self) -> tuple[int, ...]:
        return (1,)

    def kernel(self) -> Kernel:
        """Return ``(index, *inputs) -> value``, each input a list of all its values."""
        raise NotImplementedError(type(self).__name__)


class Adaptive(Node):
    """Work whose shape depends on small values that must be computed first."""

    @property
    def grid(self) -> tuple[int, ...]:
        """Unknown until built: a node over an adaptive one is built after it."""
        msg = (
            f"the partitions of {self.label} are known only when it runs: persist() it to know them"
        )
        raise LookupError(msg)

    def asks(self) -> tuple[Node, ...]:
        """The nodes whose values decide, each small."""
        raise NotImplementedError(type(self).__name__)

    def build(self, *answers: Any) -> Node:
        """What this node becomes, given for each ask the list of its values in C order."""
        raise NotImplementedError(type(self).__name__)


def walk(roots: Iterable[Node]) -> Iterator[Node]:
    """Every node below the roots once, inputs before what reads them. Uses a stack of its own."""
    seen: set[int] = set()
    for root in roots:
        stack: list[tuple[Node, Iterator[Node]]] = []
        if id(root) not in seen:
            seen.add(id(root))
            stack.append((root, iter(root.inputs)))
        while stack:
            node, rest = stack[-1]
            for child in rest:
                if id(child) not in seen:
                    seen.add(id(child))
                    stack.append((child, iter(child.inputs)))
                    break
            else:
                stack.pop()
                yield node


def count(grid: Iterable[int]) -> int:
    """Number of tasks in a grid."""
    return math.prod(grid)


def indices(grid: Sequence[int]) -> Iterator[Index]:
    """All coordinates of a grid in C order."""
    return itertools.product(*(range(n) for n in grid))
