"""``ns.debug``: the task that failed last once more, in this process and under a debugger."""

from __future__ import annotations

import bdb
import contextlib
import linecache
import pdb  # noqa: T100 - this is what it is for
import reprlib
import sys
import traceback
from types import FrameType, TracebackType
from typing import Any

from nbscale.collection import public
from nbscale.engines.base import RunInfo, Take
from nbscale.engines.task import Work
from nbscale.errors import users_frames
from nbscale.graph.cone import cone
from nbscale.graph.job import Sealed
from nbscale.session import Failed, current

__all__ = ["debug"]


@public
def debug(run: int | None = None, *, interactive: bool | None = None) -> None:
    """Run the task that failed last once more, here, and look at it.

    What it reads is made again, by the engine ``inline``, and only that. The debugger, pdb, stops
    at your line that raised the error before, as often as it is reached; ``c`` goes on, in the end
    to the error itself, at which all your variables can be looked at. Where nobody can answer, the
    line and your variables are printed.

    Parameters
    ----------
    run
        The number of a run that failed, as in ``ns.runs()``; by default the last. What the last five
        of them need is kept.
    interactive
        Whether somebody can answer the debugger; by default found out.

    Raises
    ------
    ValueError
        If nothing failed, what failed is not kept any more, or the task has cost its worker: here it
        would cost the kernel.

    Examples
    --------
    >>> import nbscale as ns
    >>> future = ns.submit(divmod, 1, 0)
    >>> future.exception()
    ZeroDivisionError('integer division or modulo by zero')
    >>> ns.debug(interactive=False)
    ZeroDivisionError: integer division or modulo by zero
    while running divmod (...)
    no line of yours was running
    """
    failed = current().failure(run)
    if failed.fatal:
        raise ValueError(
            f"the task ended with {failed.fatal}: it has cost its worker, and would cost the kernel "
            "if it ran here. ns.why(run) tells what is known of it"
        )
    work = _ready(failed)
    if interactive is None:
        interactive = _somebody_is_there()
    debugger = pdb.Pdb() if interactive else None
    try:
        error = _attempt(work, debugger, failed)
        if error is None:
            print("the task did not fail this time")  # noqa: T201 - what was asked for is printed
        elif debugger is None:
            print(_told(error))  # noqa: T201
        else:
            print("".join(traceback.format_exception_only(error)).rstrip())  # noqa: T201
            debugger.reset()
            debugger.interaction(None, _shown(error))
    except bdb.BdbQuit:
        return


def _ready(failed: Failed) -> Work:
    """The task alone, with everything that it reads."""
    before, stage = cone(failed.stages, failed.stage, failed.task)
    works: dict[int, Work] = {}
    for one in before:
        works[one.number] = Work(None, 0, one, {}, works, None, None)
    results = {one.result: one for one in before if one.result is not None}

    def deliver(result: int) -> Take:
        made = results[result]
        place = {made.index(task): task for task in range(made.n_tasks)}
        table = works[made.number].table

        def take(index: tuple[int, ...], value: Any) -> None:
            table[place[index]] = value

        return take

    if any(one.n_tasks for one in before):
        info = RunInfo(0, f"what {stage.name} reads", "for ns.debug()")
        engine = current().engine("inline")
        engine.run(Sealed(before), info=info, deliver=deliver).wait()
    return Work(None, 0, stage, {}, works, None, None)


def _attempt(work: Work, debugger: pdb.Pdb | None, failed: Failed) -> BaseException | None:
    """Run the task; the error it raises, with the note that it had."""
    if debugger is not None and failed.line is not None:
        file, line = failed.line
        # A line that cannot be stopped at, such as one of a cell that is gone, is none to stop at.
        if debugger.set_break(file, line) is None:
            debugger.botframe = sys._getframe()  # noqa: SLF001 - where bdb would begin
            debugger.set_continue()
            sys.settrace(debugger.trace_dispatch)
    try:
        work.execute(0)
    except bdb.BdbQuit:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is looked at
        error.__notes__ = list(failed.notes)
        return error
    finally:
        sys.settrace(None)
        if debugger is not None:
            debugger.clear_all_breaks()
    return None


def _shown(error: BaseException) -> TracebackType | None:
    """The user's frames below our call; all of them where there are none of hers."""
    return users_frames(error, below=True) or error.__traceback__


def _told(error: BaseException) -> str:
    """The line at which it happened and the variables there, as text."""
    lines = ["".join(traceback.format_exception_only(error)).rstrip()]
    trace = users_frames(error, below=True)
    if trace is None:
        return "\n".join([*lines, "no line of yours was running"])
    while trace.tb_next is not None:
        trace = trace.tb_next
    frame = trace.tb_frame
    file, line = frame.f_code.co_filename, trace.tb_lineno
    lines.append(f"at {file}, line {line}, in {frame.f_code.co_name}:")
    text = linecache.getline(file, line).strip()
    if text:
        lines.append(f"    {text}")
    lines += _variables(frame)
    return "\n".join(lines)


def _variables(frame: FrameType) -> list[str]:
    short = reprlib.Repr()
    short.maxother = short.maxstring = 120
    lines = []
    for name, value in frame.f_locals.items():
        try:
            text = " ".join(short.repr(value).split())
        except Exception as error:  # noqa: BLE001 - it is the user's
            text = f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"
        lines.append(f"    {name} = {text}")
    return lines


def _somebody_is_there() -> bool:
    """Whether a question would be answered."""
    interactive = sys.modules.get("IPython.core.getipython")
    shell = interactive.get_ipython() if interactive is not None else None
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:
        return bool(getattr(kernel, "_allow_stdin", False))
    with contextlib.suppress(ValueError, AttributeError):  # it is closed, or there is none
        return sys.stdin.isatty()
    return False
