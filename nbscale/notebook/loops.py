"""A cell that is the body of a loop: one task an item.

Each task begins with the names that the body reads, as they were when the cell began, and nobody
else sees what it makes of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from types import CodeType
from typing import Any

from nbscale.engines.base import Ticket
from nbscale.events import Place
from nbscale.expr.unpicklable import can_pickle, culprit
from nbscale.graph.axismap import At
from nbscale.graph.job import Sealed
from nbscale.graph.stage import Edge, Program, Stage, Step
from nbscale.notebook.shipping import Frozen, Namespace, freeze
from nbscale.notebook.source import ITEM, VALUE, Source, show_lines
from nbscale.record import record
from nbscale.session import current

__all__ = ["Loop", "begin"]

_PLAIN = frozenset({int, float, complex, bool, str, bytes, type(None)})
"""Types whose values cannot change, and which travel as they are."""

_ARRAYS = frozenset({"numpy", "pandas", "pyarrow"})
"""Whose values are mapped instead of copied."""

_SHARED = 1 << 20
"""Bytes of names from which on tasks map them instead of copying them."""


@record(eq=False)
class Loop:
    """What a task needs to know of its loop.

    Attributes
    ----------
    source
        The body.
    target
        What stands between ``for`` and ``in``.
    space
        Names that the body reads; None if a task gets them as its input.
    items
        The items; what can change as it was when the cell began.
    wanted
        The name whose value at the end of an item is wanted, or None.
    """

    source: Source
    target: str
    space: Namespace | None
    items: tuple[Any, ...]
    wanted: str | None

    def __call__(self, index: tuple[int, ...], space: Namespace | None = None) -> Any:
        code = _compiled(self.source, self.target)
        if space is not None:
            names = space.load(once=True)  # this task has a map of its own
        else:
            assert self.space is not None  # else each task is given it
            names = self.space.load()
        item = self.items[index[0]]
        names[ITEM] = item.load() if type(item) is Frozen else item
        try:
            exec(code, names)  # noqa: S102 - it is what the user's cell says
            return None if self.wanted is None else self._gathered(names.get(self.wanted))
        except (Exception, SystemExit) as error:
            item = self.items[index[0]]
            error.add_note(f"in item {index[0]} of the loop{_said(self.target, item)}")
            raise

    def _gathered(self, value: Any) -> Any:
        """A value on its way to the notebook; what cannot go there is named while it is known."""
        if type(value) in _PLAIN or type(value).__module__.partition(".")[0] in _ARRAYS:
            return value
        try:
            return freeze(value)
        except Exception:
            if can_pickle(value):
                raise
            name = "the value of the cell" if self.wanted == VALUE else str(self.wanted)
            told = culprit(value, name)
            msg = f"what is gathered cannot be sent to the notebook: {told}"
            raise TypeError(msg) from None


def _said(target: str, item: Any) -> str:
    """An item as text, if it is short."""
    text = "" if type(item) is Frozen else repr(item)
    return f": {target} = {text}" if 0 < len(text) <= 80 else ""


@functools.lru_cache(maxsize=8)
def _compiled(source: Source, target: str) -> CodeType:
    show_lines(source)
    return source.loop(target)


class _Share:
    """The kernel of the task whose value is the names: its readers map them."""

    def __init__(self, space: Namespace) -> None:
        self._space = space

    def __call__(self, index: tuple[int, ...]) -> Namespace:
        return self._space


def begin(
    source: Source,
    target: str,
    items: Iterable[Any],
    space: Namespace,
    what: str,
    place: Place,
    ended: Callable[[BaseException | None], None],
    wanted: str | None,
) -> tuple[list[Any], Ticket]:
    """Begin a loop.

    Parameters
    ----------
    source, target, items, space, wanted
        As of ``Loop``.
    what
        Its head, for the user.
    place
        Where the user wrote it.
    ended
        Called when it is over, with its error or None, on the engine's thread; must be short.

    Returns
    -------
    list
        Gets the values of the items, each in its place.
    Ticket
        To wait for it.
    """
    frozen = tuple(_as_it_is(number, item) for number, item in enumerate(items))
    n = len(frozen)
    values: list[Any] = [None] * n
    if not n:
        ended(None)
        over = Ticket(lambda: None, lambda: None)
        over.finish(None)
        return values, over

    def take(index: tuple[int, ...], value: Any) -> None:
        values[index[0]] = value.take() if type(value) is Frozen else value

    shared = space.nbytes >= _SHARED and n > 1
    kernel = Loop(source, target, None if shared else space, frozen, wanted)
    stages = _stages(kernel, space if shared else None, n, what, place)
    tasks = sum(stage.n_tasks for stage in stages)
    ticket = current().begin(
        Sealed(stages), what, "a parallel cell", lambda _: take, ended, place, tasks
    )
    return values, ticket


def _as_it_is(number: int, item: Any) -> Any:
    if type(item) in _PLAIN:
        return item
    try:
        return freeze(item)
    except Exception:
        if can_pickle(item):
            raise
        told = culprit(item, f"item {number}")
        msg = f"an item cannot be sent to another process: {told}"
        raise TypeError(msg) from None


def _stages(
    loop: Loop, shared: Namespace | None, n: int, what: str, place: Place
) -> tuple[Stage, ...]:
    places = (place,)
    found = []
    if shared is not None:
        step = Step(_Share(shared), (), (0,), "share the names", place)
        found.append(
            Stage(
                0, "share the names", (range(1),), (1,), Program.of(0, [step]), (), user_code=True,
                nbytes=shared.nbytes, places=places,
            )
        )  # fmt: skip
    edges = tuple(Edge(stage.number, (0,), (At(n, 1, 0),)) for stage in found)
    step = Step(loop, tuple(range(len(edges))), (0,), what, place)
    found.append(
        Stage(
            len(found), what, (range(n),), (n,), Program.of(len(edges), [step]), edges, result=0,
            gil_free=False, user_code=True, places=places,
        )
    )  # fmt: skip
    return tuple(found)
