"""News: frozen records of what happens in a run, and the bus that carries them.

Everything a person sees of a run (progress, graph, log, report) is made from these records by an
observer. An observer is a callable that takes one event; it runs on a thread of its own and may
be late, but it can neither slow nor break a run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import TypeAlias

from nbscale.record import record

__all__ = [
    "Advised",
    "Event",
    "MemoryHeld",
    "Observer",
    "Place",
    "RunEnded",
    "RunStarted",
    "StageAdded",
    "StageWithdrawn",
    "TaskEnded",
    "TaskStarted",
    "cell_number",
    "user_place",
]


@record
class Place:
    """Where the user wrote an expression: a file or a notebook cell, and a line."""

    file: str
    line: int
    cell: int | None = None

    def __str__(self) -> str:
        where = f"cell {self.cell}" if self.cell is not None else self.file
        return f"{where}, line {self.line}"


@record
class RunStarted:
    """A run began. ``what`` names the result in the user's words; ``reason`` says why this engine.

    ``depth`` counts the tasks the caller was inside of: 0 for a run that the user waits for.
    ``open``: how many tasks there will be is not known.
    """

    run: int
    time: float
    what: str
    engine: str
    reason: str
    place: Place | None
    depth: int = 0
    open: bool = False


@record
class StageAdded:
    """A stage joined a run: ``tasks`` tasks named by the operations fused in it.

    Told again when a stage has grown.
    """

    run: int
    stage: int
    name: str
    tasks: int
    edges: tuple[int, ...]
    places: tuple[Place, ...]


@record
class StageWithdrawn:
    """A stage was taken back, since what was found while running made its plan wrong."""

    run: int
    stage: int


@record
class TaskStarted:
    """A worker began a task. ``time`` in seconds of the monotonic clock."""

    run: int
    stage: int
    task: int
    worker: int
    time: float


@record
class TaskEnded:
    """A task ended; ``error`` is None or the exception's type name. Sizes in bytes."""

    run: int
    stage: int
    task: int
    worker: int
    start: float
    stop: float
    nbytes: int
    error: str | None = None


@record
class MemoryHeld:
    """What the values of all runs of an engine hold, and what they may. Sizes in bytes."""

    run: int
    time: float
    held: int
    budget: int


@record
class Advised:
    """What would make a run quicker, in one line; said once."""

    run: int
    time: float
    text: str


@record
class RunEnded:
    """A run ended: ``"done"``, ``"failed"`` or ``"cancelled"``."""

    run: int
    time: float
    outcome: str
    message: str = ""


Event: TypeAlias = (
    RunStarted
    | StageAdded
    | StageWithdrawn
    | TaskStarted
    | TaskEnded
    | MemoryHeld
    | Advised
    | RunEnded
)
Observer: TypeAlias = Callable[[Event], None]

_OURS = __name__.partition(".")[0]
_last: Place | None = None


def user_place(*others: str) -> Place | None:
    """The innermost line outside nbscale that led to this call.

    Costs about a microsecond for each frame of ours on the stack.

    Parameters
    ----------
    *others
        Names of packages that are no user, either.
    """
    global _last  # noqa: PLW0603 - a loop makes thousands in one place, which keep it
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - traceback objects cost ten times more
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.partition(".")[0] not in (_OURS, *others):
            file = frame.f_code.co_filename
            place = Place(file, frame.f_lineno, cell_number(file))
            last = _last  # another thread may put its own there
            if place == last:
                return last
            _last = place
            return place
        frame = frame.f_back
    return None


def cell_number(file: str) -> int | None:
    """The number of the notebook cell compiled under this file name, if it is one.

    Never kept: a cell that is run again has the name it had, and another number.
    """
    interactive = sys.modules.get("IPython.core.getipython")
    shell = interactive.get_ipython() if interactive is not None else None
    names = getattr(getattr(shell, "compile", None), "_filename_map", None)
    if shell is None or names is None:
        return None
    number = names.get(file)
    if number is None and ("ipykernel" in file or "<ipython-input" in file):
        number = shell.execution_count
    return None if number is None else int(number)
