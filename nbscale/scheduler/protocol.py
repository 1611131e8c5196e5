"""Signals into the scheduler and actions out of it: all it ever hears and says.

Tasks are named by ``TaskId``: run, stage, and flat number in the stage. Workers are small
integers. Sizes are bytes, times are seconds and come in as values.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from nbscale.graph.stage import Stage
from nbscale.record import record

__all__ = [
    "NO_TASK",
    "Action",
    "Cancel",
    "CloseRun",
    "Deliver",
    "Drop",
    "End",
    "Fail",
    "Frozen",
    "Grown",
    "Load",
    "Loaded",
    "OpenRun",
    "Report",
    "Run",
    "SetLimit",
    "SetQueue",
    "Signal",
    "Spill",
    "Spilled",
    "Stop",
    "Stopped",
    "TaskDone",
    "TaskFailed",
    "TaskId",
    "TasksDone",
    "Thawed",
    "Unreadable",
    "WorkerJoined",
    "WorkerLeft",
]


class TaskId(NamedTuple):
    """Names one task."""

    run: int
    stage: int
    task: int


NO_TASK = TaskId(-1, -1, -1)


# Signals ------------------------------------------------------------------------------------


@record
class OpenRun:
    """A run begins; its job owes the first ``Grown``."""

    run: int


@record
class Grown:
    """A job answered (see ``graph.job.Grow``); watches are (stage, first k tasks).

    Sent once after ``OpenRun`` and once after each ``Report``. A watched stage must be kept.
    """

    run: int
    stages: tuple[Stage, ...] = ()
    watches: tuple[tuple[int, int], ...] = ()
    sealed: bool = False
    release: tuple[int, ...] = ()
    retract: tuple[int, ...] = ()


@record
class TaskDone:
    """A worker finished a task.

    Before this is handled the value is put into the store, unless the store has one of this task
    already (in memory or spilled): a worker that was thought frozen may bring it twice. A value
    that nobody wants any more is dropped in the answer.

    ``nbytes`` is the size of its value; ``peak`` the most it took above what its worker
    had before, its value twice included, 0 if unknown.
    """

    worker: int
    task: TaskId
    nbytes: int
    peak: int = 0


@record
class TasksDone:
    """A worker finished tasks, of which the news came together, in this order.

    Costs less than one after the other, since tasks are given out once all are known of. None of
    them is one whose value another worker brought before.
    """

    done: tuple[TaskDone, ...]


@record
class TaskFailed:
    """A task raised. ``replan``: the job is asked; otherwise the run fails.

    ``memory``: there was not enough memory for it. It is tried once more, alone.
    """

    worker: int
    task: TaskId
    replan: bool = False
    memory: bool = False


@record
class Stopped:
    """A worker obeyed ``Stop``: the task ended without a value, the worker is free."""

    worker: int
    task: TaskId


@record
class WorkerJoined:
    """A worker can take tasks."""

    worker: int


@record
class WorkerLeft:
    """A worker is gone for good; values live in the store and survive it.

    ``at`` is the task it was running, ``NO_TASK`` for none, None if that is not known: then it is
    taken for the first of those it had, and all of them may have begun. ``guiltless``: it did not die
    of what it ran. ``memory``: the system ended it for want of memory; the task is tried once more,
    alone.
    """

    worker: int
    at: TaskId | None = None
    guiltless: bool = False
    memory: bool = False


@record
class Frozen:
    """A worker does not move; what it runs may be given to another."""

    worker: int


@record
class Thawed:
    """A frozen worker moves again."""

    worker: int


@record
class Spilled:
    """A value has left memory. ``ok`` False: it could not be written and is still there."""

    task: TaskId
    ok: bool = True


@record
class Loaded:
    """A value is back in memory. ``ok`` False: it cannot be read and must be made again."""

    task: TaskId
    ok: bool = True


@record
class Unreadable:
    """A value on disk cannot be read by a task that reads a piece of it: it must be made again.

    ``Stopped`` of that task follows. Others that read it at the same time may be stopped as well.
    """

    task: TaskId


@record
class Cancel:
    """Stop a run."""

    run: int


@record
class Fail:
    """A job gave up: the run fails."""

    run: int


@record
class CloseRun:
    """Nobody wants anything of a run any more: like ``Cancel``, if it has not ended."""

    run: int


@record
class SetQueue:
    """Workers get up to so many tasks at once, to be run in the order given.

    More than before: each from its next task that is done.
    """

    tasks: int


@record
class SetLimit:
    """Memory that the work may use from now on, and whether values can be spilled."""

    limit: int
    can_spill: bool = False


Signal: TypeAlias = (
    OpenRun
    | Grown
    | TaskDone
    | TasksDone
    | TaskFailed
    | Stopped
    | WorkerJoined
    | WorkerLeft
    | Frozen
    | Thawed
    | Spilled
    | Loaded
    | Unreadable
    | Cancel
    | Fail
    | CloseRun
    | SetLimit
    | SetQueue
)


# Actions ------------------------------------------------------------------------------------


@record
class Run:
    """Give a task to a worker; its inputs are in memory and stay there until it ends.

    Of a value that is on disk and read in pieces only (``Edge.pieces``), it reads its piece there.
    """

    worker: int
    task: TaskId


@record
class Stop:
    """Make a worker give up a task; it answers ``Stopped``, ``TaskDone`` or ``TaskFailed``.

    It gets no task before it has answered.
    """

    worker: int
    task: TaskId


@record
class Kill:
    """End a worker that does not move: only so can it be known what it began and what not."""

    worker: int


@record
class Substitute:
    """Put what stands for an error in the place of a task's value: of what it raised, else this."""

    task: TaskId
    error: str


@record
class Drop:
    """A value is needed no more, or will be made again."""

    task: TaskId


@record
class Spill:
    """Move a value out of memory; answer ``Spilled``."""

    task: TaskId


@record
class Load:
    """Bring a value back; answer ``Loaded``."""

    task: TaskId


@record
class Deliver:
    """A value the user wants is done: take it now.

    ``Drop`` follows, at once or when nobody reads it any more. Once for each task, unless its stage
    is retracted: then the stages in its place deliver anew.
    """

    task: TaskId


@record
class Report:
    """Step the job: a watched stage is done so far (``failed`` None), or a task raised Replan.

    The watched values are in memory. The job's answer (``Grown`` or ``Fail``) is owed; until it
    comes there is no other report of this run.
    """

    run: int
    stage: int
    failed: TaskId | None = None


@record
class End:
    """A run is over. ``error`` names what the machine itself found, else ''.

    ``outcome``: "done", "failed", "cancelled". Nothing of the run is running any more, but on
    workers that are frozen, and its values were dropped. ``task`` is the one that failed.
    ``error`` begins with the name of an error of ``nbscale.errors`` and a colon.
    """

    run: int
    outcome: str
    error: str = ""
    task: TaskId | None = None


Action: TypeAlias = Run | Stop | Kill | Substitute | Drop | Spill | Load | Deliver | Report | End
