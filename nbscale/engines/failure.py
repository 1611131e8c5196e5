"""What a task raised, as bytes: its type, what it carries, its causes, and where it was raised."""

from __future__ import annotations

import pickle
import traceback
from types import TracebackType
from typing import Any, TypeAlias

from nbscale.errors import RemoteError
from nbscale.store.codec import dumps

__all__ = ["pack", "unpack"]

_MOST_CAUSES = 20

Link: TypeAlias = tuple[str, str, int, int, dict[str, str]]
"""A frame: its file, its name, its first line, the line it was at, and whose it was."""

Told: TypeAlias = tuple[bytes | None, str, list[Link], int | None, int | None, bool, dict[str, Any]]
"""An exception pickled or None, its text, its trace, which links are cause and context, its marks."""

_MOST_BYTES = 1 << 20
"""What is larger is brought as its text: an exception that carries data would carry it everywhere."""

_MOST_TEXT = 1 << 16

_FRAMES = 50
"""Frames that are kept of each end of a trace."""


def pack(error: BaseException) -> bytes:
    """Make bytes of an exception, its causes and contexts, and their traces.

    One that cannot be pickled and read again is brought as its text.
    """
    chain: list[BaseException] = []
    _collect(error, chain)
    places = {id(one): at for at, one in enumerate(chain)}
    links: list[Told] = []
    for one in chain:
        text = "".join(traceback.format_exception_only(one)).strip()[:_MOST_TEXT]
        links.append(
            (
                _pickled(one),
                text,
                _trace(one.__traceback__),
                places.get(id(one.__cause__)),
                places.get(id(one.__context__)),
                one.__suppress_context__,
                _marks(one),
            )
        )
    return pickle.dumps(links, protocol=5)


def _collect(error: BaseException, chain: list[BaseException]) -> None:
    waiting: list[BaseException | None] = [error]
    while waiting and len(chain) < _MOST_CAUSES:
        one = waiting.pop()
        if one is not None and not any(one is other for other in chain):
            chain.append(one)
            waiting += [one.__context__, one.__cause__]


def _marks(error: BaseException) -> dict[str, Any]:
    """What was added to it, and is lost by one that says itself how it is pickled."""
    step = getattr(error, "__nbscale_step__", None)
    notes = getattr(error, "__notes__", None)
    found: dict[str, Any] = {}
    if type(step) is int:
        found["__nbscale_step__"] = step
    if type(notes) is list:
        found["__notes__"] = [str(note) for note in notes]
    return found


def _pickled(error: BaseException) -> bytes | None:
    # Most exceptions are made again by a call with their `args`, which fails, or does another thing,
    # where `__init__` takes other arguments: those are made without it.
    for told in (error, _Unmade(error)):
        try:
            data = dumps(told)
            again = pickle.loads(data)
            same = type(again).__name__ == type(error).__name__ and _text(again) == _text(error)
        except BaseException:  # noqa: BLE001, S112 - whatever it is: it cannot be brought so
            continue
        if same and len(data) <= _MOST_BYTES:
            return data
    return None


def _text(error: BaseException) -> str | None:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - it is the user's
        return None


class _Unmade:
    """Stands for an exception while it is pickled: it is made of its parts, without ``__init__``."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> Any:
        error = self._error
        state = {k: v for k, v in error.__dict__.items() if not k.startswith("__")}
        return _made_of, (type(error), error.args, state)


def _made_of(kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


def _trace(trace: TracebackType | None) -> list[Link]:
    """The frames of a trace, shortened in the middle: that of an endless recursion is long."""
    links: list[Link] = []
    while trace is not None:
        frame = trace.tb_frame
        code, names = frame.f_code, frame.f_globals
        home: dict[str, str] = {k: str(names[k]) for k in ("__name__", "__file__") if k in names}
        first = max(1, min(code.co_firstlineno, trace.tb_lineno))
        links.append((code.co_filename, code.co_name, first, trace.tb_lineno, home))
        trace = trace.tb_next
    if len(links) > 2 * _FRAMES:
        del links[_FRAMES:-_FRAMES]
    return links


def _again(links: list[Link]) -> TracebackType | None:
    """A trace of frames that look like those that were packed.

    Each is of a code that begins in the line where the real one does, since IPython counts from there
    when it shows lines.
    """
    trace: TracebackType | None = None
    for file, name, first, line, home in reversed(links):
        code = compile("\n" * (line - first) + "raise _Made", file, "exec")
        try:
            exec(code.replace(co_name=name, co_firstlineno=first), {**home, "_Made": _Made})  # noqa: S102 - a text of ours
        except _Made as made:
            own = made.__traceback__
            assert own is not None
            assert own.tb_next is not None  # below this function is what was executed
            frame = own.tb_next
            trace = TracebackType(trace, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return trace


class _Made(Exception):
    """Raised to have a frame."""


def unpack(data: bytes) -> BaseException:
    """The exception of bytes made by ``pack`` in a process of ours."""
    links: list[Told] = pickle.loads(data)
    errors = [_unpickled(pickled, text, trace) for pickled, text, trace, *_ in links]
    for error, (pickled, _, _, cause, context, suppress, marks) in zip(errors, links, strict=True):
        for name, mark in marks.items():
            # The text that stands for one that cannot be brought has the notes in it.
            if name not in error.__dict__ and not (name == "__notes__" and pickled is None):
                error.__dict__[name] = mark
        if cause is not None:
            error.__cause__ = errors[cause]
        if context is not None:
            error.__context__ = errors[context]
        error.__suppress_context__ = suppress
    return errors[0]


def _unpickled(pickled: bytes | None, text: str, trace: list[Link]) -> BaseException:
    error: BaseException
    try:
        error = RemoteError(text) if pickled is None else pickle.loads(pickled)
    except BaseException as mistake:  # noqa: BLE001 - it could be read there, but not here
        error = RemoteError(f"{text} (it cannot be read here: {mistake})")
    if trace:
        error.__traceback__ = _again(trace)
    return error
