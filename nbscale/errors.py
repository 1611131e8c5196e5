"""The errors nbscale raises itself.

A user's own exception always comes back as its own type; these are only for what nbscale
decides::

    NbscaleError
     +- TaskMemoryError (MemoryError)    a task cannot fit in the memory given
     +- ResultTooLarge (MemoryError)     the result would not fit in the kernel
     +- SpillFull (OSError)              no disk has room for what does not fit in memory
     +- SourceChanged (OSError)          a file changed between planning and reading
     +- WorkerLost                       a worker died and its task may not run again
     +- Stuck                            nothing can move any more; carries the state
     +- EngineError                      an engine was asked for something it cannot do
    RunCancelled (BaseException)         the run was stopped, by the user or with its kernel
    MemoryNotice (UserWarning)           what should be known of memory, said once
    PlanNotice (UserWarning)             what was found while running changed the plan

``RunCancelled`` is no ``Exception``: like ``KeyboardInterrupt`` it must pass through the
``except Exception`` of user code.
"""

from __future__ import annotations

import contextlib
import sys
import sysconfig
from types import TracebackType

__all__ = [
    "BadFrame",
    "EngineError",
    "MemoryNotice",
    "NbscaleError",
    "OldFrame",
    "PlanNotice",
    "RemoteError",
    "ResultTooLarge",
    "RunCancelled",
    "SourceChanged",
    "SpillFull",
    "Stuck",
    "TaskMemoryError",
    "WorkerLost",
    "render_for_notebook",
    "trim_traceback",
    "users_frames",
]


class NbscaleError(Exception):
    """Base of every error that nbscale decides on itself."""


class TaskMemoryError(NbscaleError, MemoryError):
    """A task cannot fit in the memory given."""


class ResultTooLarge(NbscaleError, MemoryError):
    """The result would not fit in the kernel; the message names the alternatives."""


class SpillFull(NbscaleError, OSError):
    """Values do not fit in memory, and the disk has no room for them; the message says how much."""


class SourceChanged(NbscaleError, OSError):
    """A source changed between the time it was planned and the time it was read."""


class WorkerLost(NbscaleError):
    """A worker died and its task may not be run again."""


class Stuck(NbscaleError):
    """Nothing can move any more. Always a defect of nbscale; the message carries the state."""


class EngineError(NbscaleError):
    """An engine is unknown, missing, or was asked for something it cannot do."""


class BadFrame(NbscaleError):
    """A frame between processes is not what was sent; it was dropped unread."""


class OldFrame(BadFrame):
    """A frame between processes was sent again; what it says was heard, and nothing is lost."""


class RemoteError(NbscaleError):
    """A task raised something that cannot be brought to the kernel; the message carries its text."""


class MemoryNotice(UserWarning):
    """What should be known of the memory there is, such as that nothing can be spilled; said once."""


class PlanNotice(UserWarning):
    """What was found while running changed the plan, and with it a dtype; said once."""


class RunCancelled(BaseException):
    """The run was stopped before it ended."""


def trim_traceback(error: BaseException, *, inside: bool = False) -> BaseException:
    """Keep of an error's traceback what is the user's: her call, and her functions if they raised.

    Frames of nbscale go, and all frames of libraries below them, which say where inside pandas or
    NumPy it happened and not what to do. A cause that has no frame of hers is left out. Changes
    the error in place and returns it.

    Parameters
    ----------
    inside
        The traceback begins below a call of ours.
    """
    error.__traceback__ = _users_part(error.__traceback__, inside=inside)
    seen = {id(error)}
    current = error
    while True:
        cause = current.__cause__
        if cause is None and not current.__suppress_context__:
            cause = current.__context__
        if cause is None or id(cause) in seen:
            return error
        seen.add(id(cause))
        cause.__traceback__ = _users_part(cause.__traceback__, inside=True)
        if cause.__traceback__ is None:
            current.__cause__ = None
            current.__suppress_context__ = True
            return error
        current = cause


def render_for_notebook(error: BaseException, trace: TracebackType | None = None) -> None:
    """Have a notebook show an error without the frame of ours that it passes through last.

    IPython asks an exception for ``_render_traceback_``; elsewhere nothing is done.

    Parameters
    ----------
    trace
        What is shown, whatever the error passes through; by default the user's part of it.
    """
    interactive = sys.modules.get("IPython.core.getipython")
    shell = interactive.get_ipython() if interactive is not None else None
    if shell is None:
        return

    def render() -> list[str]:
        shown = _users_part(error.__traceback__) if trace is None else trace
        offset = shell.InteractiveTB.tb_offset if trace is None else 0
        lines: list[str] = shell.InteractiveTB.structured_traceback(
            type(error), error, shown, tb_offset=offset
        )
        return lines

    # An exception with slots takes no attribute: then one frame of ours is shown.
    with contextlib.suppress(AttributeError):
        error._render_traceback_ = render  # type: ignore[attr-defined]


def _users_part(trace: TracebackType | None, *, inside: bool = False) -> TracebackType | None:
    """Relink the frames that are the user's.

    ``inside``: the trace begins below a call of ours, as that of a cause does.
    """
    kept: list[TracebackType] = []
    hiding = inside
    while trace is not None:
        name = trace.tb_frame.f_globals.get("__name__", "")
        if _is_ours(name):
            hiding = True
        elif not hiding or not _is_library(trace.tb_frame.f_code.co_filename):
            kept.append(trace)
        trace = trace.tb_next
    linked: TracebackType | None = None
    for trace in reversed(kept):
        linked = TracebackType(linked, trace.tb_frame, trace.tb_lasti, trace.tb_lineno)
    return linked


def users_frames(error: BaseException, *, below: bool = False) -> TracebackType | None:
    """The user's frames of an error's traceback.

    Parameters
    ----------
    below
        Only those of her functions that we have called, not those that have called us.
    """
    trace = error.__traceback__
    if below:
        while trace is not None and not _is_ours(trace.tb_frame.f_globals.get("__name__", "")):
            trace = trace.tb_next
    return _users_part(trace, inside=below)


def _is_ours(name: str) -> bool:
    return name == _OURS or name.startswith(_OURS + ".")


_OURS = __name__.partition(".")[0]
_LIBRARIES = (sysconfig.get_path("stdlib"), "site-packages", "dist-packages", "<frozen", "<string>")


def _is_library(file: str) -> bool:
    """Whether a file belongs to Python or an installed package; Cython names files relatively."""
    return any(part in file for part in _LIBRARIES) or file.endswith((".pyx", ".pxi"))
