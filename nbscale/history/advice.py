"""One line of advice on a run, while it goes on or afterwards, where something is plainly amiss.

The thresholds leave no doubt on purpose: advice that is wrong once is not read again.
"""

from __future__ import annotations

from collections.abc import Callable

from nbscale.history.recording import Recording
from nbscale.units import format_bytes, format_seconds

__all__ = ["advice"]

_SECONDS = 1.0
"""Runs that are shorter are no trouble."""

_TASKS = 200
"""Fewer tasks are not too many, however small they are."""

_SMALL = 0.001
"""Seconds below which a task costs as much to hand over as to do."""

_IDLE = 0.5
"""Part of the time that workers are without a task, from which on something is wrong."""

_MOVED = 0.5
"""Part of the time at tasks that may go into bringing values and storing them."""

_BROUGHT = 100 << 20
"""Bytes of arguments which are no trouble."""

_RATE = 100e6
"""Bytes of arguments for which a second of work is enough.

They are pickled, packed, sent, read and unpickled at twice that, and the calls' time has a half of it.
"""


def advice(recording: Recording, engine: str, now: float) -> str:
    """The most useful thing to say of a run, or ''.

    Parameters
    ----------
    recording
        What the run did so far.
    engine
        Where it runs.
    now
        Seconds of the monotonic clock.

    Notes
    -----
    Costs a pass over arrays: a few milliseconds for a hundred thousand tasks.

    Examples
    --------
    >>> advice(Recording(), "local", 0.0)
    ''
    """
    end = now if recording.ended is None else recording.ended
    totals = recording.totals()
    if not totals.tasks or engine not in ("local", "threads"):
        return ""
    if end - recording.began >= _SECONDS:
        text = _brought(recording, engine, totals.tasks, totals.busy)
        if text:
            return text
    # From the first task on: what it takes to start the workers is paid once.
    if end - totals.first < _SECONDS:
        return ""
    length = (end - totals.first) * max(1, recording.workers)
    idle = 1 - min(1.0, totals.busy / length) if length > 0 else 0.0
    for say in _ADVICE:
        text = say(recording, engine, totals.tasks, totals.busy, totals.nbytes, idle)
        if text:
            return text
    return ""


def _threads(
    recording: Recording, engine: str, tasks: int, busy: float, nbytes: int, idle: float
) -> str:
    """Built-in operations that spend their time on the way to processes and back."""
    built_in = all(s.gil_free and not s.user_code for s in recording.stages.values())
    moved = _moved(recording)
    if engine != "local" or not built_in or moved * (1 - idle) + idle < _MOVED:
        return ""
    if nbytes > recording.limit / 4:
        return ""
    return (
        f"threads would be faster: built-in operations on {format_bytes(nbytes)} in all, of which "
        f"{moved * (1 - idle) + idle:.0%} of the time went into handing them to processes; "
        "compute(engine='threads')"
    )


def _small(
    recording: Recording, engine: str, tasks: int, busy: float, nbytes: int, idle: float
) -> str:
    if tasks < _TASKS or busy / tasks >= _SMALL or idle < _IDLE:
        return ""
    calls = any(stage.user_code and not stage.value_of for stage in recording.stages.values())
    remedy = "give each call more to do" if calls else "use fewer and larger partitions or chunks"
    return (
        f"tasks are too small: {tasks:,} of {format_seconds(busy / tasks)} each, so workers are "
        f"without one {idle:.0%} of the time; {remedy}"
    )


def _shipped(
    recording: Recording, engine: str, tasks: int, busy: float, nbytes: int, idle: float
) -> str:
    moved = _moved(recording)
    if engine != "local" or moved < _MOVED:
        return ""
    return (
        f"data costs more to move than to work on: {moved:.0%} of the time at tasks goes into "
        f"bringing and storing values, {format_bytes(nbytes)} made in all; return less, or put() "
        "what many calls read"
    )


def _brought(recording: Recording, engine: str, tasks: int, busy: float) -> str:
    """Arguments that calls bring with them, which takes longer than the calls."""
    nbytes = sum(stage.brought for stage in recording.stages.values())
    if engine != "local" or nbytes < _BROUGHT or nbytes / _RATE < busy:
        return ""
    return (
        f"arguments are larger than the work: {format_bytes(nbytes)} came with {tasks:,} calls of "
        f"{format_seconds(busy / tasks)} each; give what many calls read to put() once"
    )


def _moved(recording: Recording) -> float:
    """Which part of the time at tasks goes into values on their way."""
    moved = sum(spent[-2] for spent in recording.spent.values())
    whole = sum(sum(spent[:-1]) for spent in recording.spent.values())
    return moved / whole if whole else 0.0


_ADVICE: tuple[Callable[[Recording, str, int, float, int, float], str], ...] = (
    _small,
    _threads,
    _shipped,
)
