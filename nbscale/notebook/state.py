"""What is known of a run, worked out of its events alone: no clock, no thread, nothing to look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from nbscale.events import (
    Advised,
    Event,
    MemoryHeld,
    Place,
    RunEnded,
    RunStarted,
    StageAdded,
    StageWithdrawn,
    TaskEnded,
)
from nbscale.record import record, replace

__all__ = ["RunState", "StageState", "reduce", "reduce_all"]


@record
class StageState:
    """A stage of a run.

    Attributes
    ----------
    name, tasks, places
        As in ``StageAdded``.
    seen
        Which tasks have ended well, as the bits of a number: a value that was dropped is made
        again, and then its task ends twice.
    nbytes
        Bytes of the values made; those of a value that was made again count again.
    seconds
        Seconds spent in tasks that ended well.
    ended
        How many times a task ended well.
    """

    name: str
    tasks: int
    places: tuple[Place, ...]
    seen: int = 0
    nbytes: int = 0
    seconds: float = 0.0
    ended: int = 0

    @property
    def done(self) -> int:
        """How many of its tasks have ended well."""
        return self.seen.bit_count()


@record
class RunState:
    """A run.

    Attributes
    ----------
    run, what, engine, reason, place, began, open
        As in ``RunStarted``.
    stages
        By their number, in the order they joined.
    held, budget
        Bytes that values hold and may hold, or None if nothing was said of it.
    over
        When it ended, or None.
    latest
        When the last task so far ended well; until then, when the run began.
    outcome
        ``"running"``, ``"done"``, ``"failed"`` or ``"cancelled"``.
    message
        What a failure said.
    advice
        What would make it quicker, or ''.
    """

    run: int
    what: str
    engine: str
    reason: str
    place: Place | None
    began: float
    stages: Mapping[int, StageState]
    latest: float
    held: int | None = None
    budget: int | None = None
    over: float | None = None
    outcome: str = "running"
    message: str = ""
    open: bool = False
    advice: str = ""


def reduce(state: RunState | None, event: Event) -> RunState | None:
    """The state of a run after one more event of it; None before it began.

    Examples
    --------
    >>> from nbscale.events import RunStarted, StageAdded, TaskEnded
    >>> state = reduce(None, RunStarted(1, 0.0, "sum", "threads", "", None))
    >>> state = reduce(state, StageAdded(1, 0, "sum", 4, (), ()))
    >>> state = reduce(state, TaskEnded(1, 0, 2, 0, 0.0, 0.5, 800))
    >>> state.stages[0].done, state.stages[0].nbytes
    (1, 800)
    """
    return reduce_all(state, (event,))


def reduce_all(state: RunState | None, events: Iterable[Event]) -> RunState | None:
    """The state of a run after more events of it.

    The same as ``reduce`` event by event, for a fraction of the cost: the ends of tasks, which come
    by the hundred thousand, are gathered stage by stage before a record is made of them.
    """
    ended: dict[int, list[TaskEnded]] = {}
    for event in events:
        if type(event) is TaskEnded:
            if event.error is None:
                ended.setdefault(event.stage, []).append(event)
        elif isinstance(event, RunStarted):
            state = _begun(event)
        elif state is not None:
            state = _changed(state, event)
    return state if state is None or not ended else _with_ends(state, ended)


def _begun(event: RunStarted) -> RunState:
    what, engine, reason, place = event.what, event.engine, event.reason, event.place
    return RunState(
        event.run, what, engine, reason, place, event.time, {}, event.time, open=event.open
    )


def _changed(state: RunState, event: Event) -> RunState:
    match event:
        case StageAdded(stage=number) if number in state.stages:
            stages = dict(state.stages)
            had = stages[number]
            stages[number] = replace(had, tasks=max(had.tasks, event.tasks))
            return replace(state, stages=stages)
        case StageAdded():
            stage = StageState(event.name, event.tasks, event.places)
            return replace(state, stages={**state.stages, event.stage: stage})
        case StageWithdrawn():
            left = {n: stage for n, stage in state.stages.items() if n != event.stage}
            return replace(state, stages=left)
        case MemoryHeld():
            return replace(state, held=event.held, budget=event.budget)
        case Advised():
            return replace(state, advice=event.text)
        case RunEnded():
            return replace(state, over=event.time, outcome=event.outcome, message=event.message)
    return state


def _with_ends(state: RunState, ended: Mapping[int, Sequence[TaskEnded]]) -> RunState:
    stages = dict(state.stages)
    for number, events in ended.items():
        stage = stages.get(number)
        if stage is not None:  # else it was taken back
            stages[number] = replace(
                stage,
                seen=stage.seen | _bits(events),
                nbytes=stage.nbytes + sum(event.nbytes for event in events),
                seconds=stage.seconds + sum(event.stop - event.start for event in events),
                ended=stage.ended + len(events),
            )
    latest = max(event.stop for events in ended.values() for event in events)
    return replace(state, stages=stages, latest=max(state.latest, latest))


def _bits(events: Sequence[TaskEnded]) -> int:
    """The numbers of the tasks as bits; by way of bytes, which do not move with every bit."""
    marks = bytearray(max(event.task for event in events) // 8 + 1)
    for event in events:
        marks[event.task >> 3] |= 1 << (event.task & 7)
    return int.from_bytes(marks, "little")
