"""What every lazy collection is: an expression, and where the user wrote it.

Floor 5 registers a class for each kind of node, so that one kind of collection can give another
(``df.to_array()``) without knowing its class.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from types import FunctionType
from typing import Any, Self, TypeVar, cast

from nbscale.errors import RunCancelled, render_for_notebook, trim_traceback
from nbscale.events import Place, user_place
from nbscale.expr.node import Index, Node
from nbscale.plan.draw import draw
from nbscale.plan.explain import explain_plan
from nbscale.session import Gather, Request, current
from nbscale.text import Text

__all__ = [
    "Collection",
    "Gather",
    "Origin",
    "Parts",
    "compute",
    "persist",
    "places_of",
    "public",
    "register",
    "visualize",
    "wrap",
]


F = TypeVar("F", bound=Callable[..., Any])


class Origin:
    """Where a node was made, and the origins of what it was made from. Beside the key, never in it."""

    __slots__ = ("key", "parents", "place")

    def __init__(self, key: str, place: Place | None, parents: tuple[Origin, ...]) -> None:
        self.key = key
        self.place = place
        self.parents = parents


def places_of(origins: Iterable[Origin]) -> dict[str, Place]:
    """Place by node key for everything the origins were made from."""
    places: dict[str, Place] = {}
    seen: set[int] = set()
    stack = list(origins)
    while stack:
        origin = stack.pop()
        if id(origin) in seen:
            continue
        seen.add(id(origin))
        if origin.place is not None:
            places.setdefault(origin.key, origin.place)
        stack.extend(origin.parents)
    return places


class Parts:
    """The plainest gather: a list of the values in C order.

    Parameters
    ----------
    grid
        How many values there are along each axis.
    """

    def __init__(self, grid: Sequence[int]) -> None:
        self.grid = tuple(grid)
        total = 1
        for n in self.grid:
            total *= n
        self.values: list[Any] = [None] * total

    def take(self, index: Index, value: Any) -> None:
        """Put a value at its place."""
        flat = 0
        for i, n in zip(index, self.grid, strict=True):
            flat = flat * n + i
        self.values[flat] = value

    def result(self) -> list[Any]:
        """Return the values."""
        return self.values


_classes: dict[str, type[Collection]] = {}

C = TypeVar("C", bound=type)


def register(*kinds: str) -> Callable[[C], C]:
    """Class decorator: collections of nodes of these kinds are of this class.

    Its public methods show the user her own frames only: see ``public``.
    """

    def decorate(cls: C) -> C:
        for kind in kinds:
            _classes[kind] = cls
        return public_methods(cls)

    return decorate


def public(function: F) -> F:
    """Decorator of what users call: an error leaves it without frames of nbscale's."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        # A plain traceback shows this one line of ours; a notebook and pytest show none.
        __tracebackhide__ = True
        try:
            return function(*args, **kwargs)
        except (Exception, KeyboardInterrupt, SystemExit, RunCancelled) as error:
            render_for_notebook(error)
            trim_traceback(error)
            raise error  # noqa: TRY201 - a bare `raise` would bring the frames back

    return cast("F", call)


def public_methods(cls: C) -> C:
    """Make every method of a class that users can call ``public``, inherited ones too."""
    for name in dir(cls):
        if name.startswith("_") and name not in _OPERATORS:
            continue
        for owner in cls.__mro__[:-1]:
            if name in owner.__dict__:
                plain = owner.__dict__[name]
                if isinstance(plain, FunctionType) and not hasattr(plain, "__wrapped__"):
                    setattr(cls, name, public(plain))
                elif isinstance(plain, property) and plain.fget is not None:
                    setattr(cls, name, property(public(plain.fget), plain.fset, doc=plain.__doc__))
                break
    return cls


_OPERATORS = frozenset(
    f"__{side}{name}__"
    for name in "add sub mul truediv floordiv mod pow and or xor matmul lshift rshift".split()
    for side in ("", "r")
) | frozenset(
    f"__{name}__"
    for name in (
        "lt le gt ge eq ne neg pos abs invert getitem setitem delitem getattr len bool int float "
        "index complex round contains iter array divmod rdivmod"
    ).split()
)


def wrap(node: Node, *parents: Collection) -> Any:
    """Return the collection of a node, made here and now from the parents."""
    kind: str = node.kind  # type: ignore[attr-defined]
    return _classes[kind](node, *parents)


class Collection:
    """A lazy value. Nothing is read or computed before ``compute``.

    Parameters
    ----------
    node
        The expression.
    parents
        The collections it was made from.
    """

    __slots__ = ("__weakref__", "_node", "_origin")

    _node: Node
    _origin: Origin

    def __init__(self, node: Node, *parents: Collection) -> None:
        self._node = node
        self._origin = Origin(
            node.key,
            user_place(),
            tuple(p._origin for p in parents),  # noqa: SLF001 - its own class
        )

    def _gather(self, node: Node) -> Gather:
        """How the values of ``node``, this collection's as planned, become one result."""
        raise NotImplementedError(type(self).__name__)

    def _hold(self, node: Node, values: list[Any]) -> Node:
        """Make the source of values that exist already, standing for ``node`` as planned."""
        raise NotImplementedError(type(self).__name__)

    @property
    def _what(self) -> str:
        """The collection in the user's words, for progress and messages."""
        return self._node.label

    def _request(self) -> Request:
        return Request(self._node, places_of([self._origin]), self._gather, self._what)

    def compute(self, *, engine: str | None = None) -> Any:
        """Compute the value, in memory.

        Parameters
        ----------
        engine
            ``"inline"`` or ``"threads"``; by default chosen from what is to be done.

        Returns
        -------
        object
            What pandas or NumPy would have given.
        """
        return current().run([self._request()], engine)[0]

    def persist(self, *, engine: str | None = None) -> Self:
        """Compute the partitions and keep them in memory; the result is lazy over them."""
        return persist(self, engine=engine)[0]  # type: ignore[no-any-return]

    def explain(self, *, after: bool = False) -> Text:
        """The plan in words: before and after each rule, with estimated rows, bytes and seconds.

        Parameters
        ----------
        after
            Set the estimates beside what the last run that computed this found, with its account.

        Raises
        ------
        ValueError
            If ``after`` is asked for and no run of this session has computed it, or what that run
            did is not recorded any more.

        Examples
        --------
        >>> import nbscale.array as na
        >>> x = na.arange(10, chunks=5).sum()
        >>> x.compute()
        np.int64(45)
        >>> x.explain(after=True)
        run ...
        stage ...
        """
        if after:
            return Text(current().compare(self._request()))
        job, changes = current().plan([self._request()])
        return Text(explain_plan(self._node, job, changes))

    def visualize(self, filename: str | None = None) -> Any:
        """Draw the stages of the plan, grouped by operation, as SVG.

        Parameters
        ----------
        filename
            Where to write the drawing; by default it is only returned.

        Returns
        -------
        Drawing
            Shows itself in a notebook; ``str()`` of it is the SVG text.
        """
        return visualize(self, filename=filename)


class _Keep:
    """The gather of persist: the values as they are, with the node they belong to."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._parts = Parts(node.grid)
        self.take = self._parts.take

    def result(self) -> tuple[Node, list[Any]]:
        """Return the node as planned, and its values."""
        return self.node, self._parts.result()


@public
def compute(*args: Any, engine: str | None = None) -> tuple[Any, ...]:
    """Compute several collections together: what they share is computed once.

    Parameters
    ----------
    args
        Collections, or lists, tuples, dicts and sets of them, nested at will; anything else is
        given back as it is.
    engine
        As in ``Collection.compute``.

    Returns
    -------
    tuple
        The values, in the order and shape of the arguments.

    Examples
    --------
    >>> import nbscale as ns, nbscale.array as na
    >>> x = na.arange(10)
    >>> ns.compute(x.sum(), {"top": x.max()})
    (np.int64(45), {'top': np.int64(9)})
    """
    found = _collections_in(args)
    values = current().run([c._request() for c in found], engine)  # noqa: SLF001
    known = {id(c): value for c, value in zip(found, values, strict=True)}
    return tuple(_filled(arg, known) for arg in args)


@public
def persist(*args: Any, engine: str | None = None) -> tuple[Any, ...]:
    """Compute the partitions of several collections together and keep them in memory.

    Parameters and shape of the answer are those of ``compute``; the answer holds collections that
    are lazy over the values kept.
    """
    found = _collections_in(args)
    requests = [dataclasses.replace(c._request(), gather=_Keep) for c in found]  # noqa: SLF001
    known: dict[int, Any] = {}
    for c, (node, values) in zip(found, current().run(requests, engine), strict=True):
        known[id(c)] = wrap(c._hold(node, values), c)  # noqa: SLF001
    return tuple(_filled(arg, known) for arg in args)


@public
def visualize(*args: Any, filename: str | None = None) -> Any:
    """Draw the stages that would compute the collections, grouped by operation, as SVG.

    Needs no graphviz. See ``Collection.visualize``.
    """
    found = _collections_in(args)
    job, _ = current().plan([c._request() for c in found])  # noqa: SLF001
    drawing = draw(job)
    if filename is not None:
        drawing.save(filename)
    return drawing


def _collections_in(values: Iterable[Any]) -> list[Collection]:
    found: dict[int, Collection] = {}
    stack = list(values)[::-1]
    while stack:
        value = stack.pop()
        if isinstance(value, Collection):
            found.setdefault(id(value), value)
        elif isinstance(value, (list, tuple, set, frozenset)):
            stack.extend(list(value)[::-1])
        elif isinstance(value, dict):
            stack.extend(list(value.values())[::-1])
    return list(found.values())


def _filled(value: Any, known: dict[int, Any]) -> Any:
    if isinstance(value, Collection):
        return known[id(value)]
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(_filled(item, known) for item in value)
    if type(value) is dict:
        return {key: _filled(item, known) for key, item in value.items()}
    return value
