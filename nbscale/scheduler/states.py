"""The states of a task and its value, and the one table of the ways between them.

A task and its value share one state::

                       an input is lost
              +----------------------------------+
              v                                  |
          WAITING --inputs exist--> READY --some are on disk--> FETCHING
            ^  ^                    ^ | ^                          |
            |  |        worker lost | | given out                  | all are in memory
            |  |  (or thought frozen) | v                          |
            |  |                    RUNNING <----------------------+
            |  +--job has answered--  | |
            |           PARKED <------+ |            PARKED: the task raised Replan
            |                           v
            |   +--made again-- LOST <-- HELD --> SPILLING --> SPILLED --> LOADING --> HELD
            |   |                                 (HELD if the disk is full; LOST if unreadable)
            +---+
    From every state but RUNNING, SPILLING and LOADING, which are in other hands: GONE when nobody
    needs the value, RETRACTED when the job took the stage back. GONE may be made again, too.

A value *exists* in HELD, SPILLING, SPILLED, LOADING and LOST: a task that reads it may be ready. Only
when such a task is about to start are values on disk loaded and lost ones made again, so nothing
is brought back before somebody can use it. A value that is read in pieces only stays on disk: its readers
take their pieces from there. A task is *done* when its value exists or is gone.
"""

from __future__ import annotations

from typing import Final, Protocol

__all__ = [
    "FETCHING",
    "GONE",
    "HELD",
    "LOADING",
    "LOST",
    "PARKED",
    "READY",
    "RETRACTED",
    "RUNNING",
    "SPILLED",
    "SPILLING",
    "STATES",
    "TRANSITIONS",
    "WAITING",
    "exists",
    "move",
]

# Plain integers: they are compared several times for every task. All up to PARKED are not done;
# from HELD to LOST the value exists.
WAITING: Final = 0
READY: Final = 1
FETCHING: Final = 2
RUNNING: Final = 3
PARKED: Final = 4
HELD: Final = 5
SPILLING: Final = 6
SPILLED: Final = 7
LOADING: Final = 8
LOST: Final = 9
GONE: Final = 10
RETRACTED: Final = 11

STATES: Final = (
    "waiting",
    "ready",
    "fetching",
    "running",
    "parked",
    "held",
    "spilling",
    "spilled",
    "loading",
    "lost",
    "gone",
    "retracted",
)

TRANSITIONS: Final[dict[tuple[int, int], tuple[int, int, int]]] = {
    (WAITING, READY): (0, 0, 0),
    (READY, WAITING): (0, 0, 0),
    (READY, FETCHING): (0, 0, 1),
    (READY, RUNNING): (0, 0, 1),
    (FETCHING, RUNNING): (0, 0, 0),
    (FETCHING, READY): (0, 0, -1),
    (RUNNING, HELD): (-1, 0, -1),
    (RUNNING, READY): (0, 0, -1),
    (RUNNING, PARKED): (0, 0, -1),
    (READY, HELD): (-1, 0, 0),
    (PARKED, WAITING): (0, 0, 0),
    (HELD, SPILLING): (0, 1, 0),
    (SPILLING, HELD): (0, -1, 0),
    (SPILLING, SPILLED): (0, 0, 0),
    (SPILLED, LOADING): (0, 0, 0),
    (LOADING, HELD): (0, -1, 0),
    (LOADING, LOST): (0, 0, 0),
    (SPILLED, LOST): (0, 0, 0),
    (HELD, LOST): (0, 1, 0),
    (LOST, WAITING): (1, -1, 0),
    (GONE, WAITING): (1, 0, 0),
    (WAITING, GONE): (-1, 0, 0),
    (READY, GONE): (-1, 0, 0),
    (PARKED, GONE): (-1, 0, 0),
    (HELD, GONE): (0, 0, 0),
    (SPILLED, GONE): (0, -1, 0),
    (LOST, GONE): (0, -1, 0),
    (WAITING, RETRACTED): (-1, 0, 0),
    (READY, RETRACTED): (-1, 0, 0),
    (RUNNING, RETRACTED): (-1, 0, -1),
    (PARKED, RETRACTED): (-1, 0, 0),
    (HELD, RETRACTED): (0, 0, 0),
    (SPILLED, RETRACTED): (0, -1, 0),
    (LOST, RETRACTED): (0, -1, 0),
    (GONE, RETRACTED): (0, 0, 0),
}
"""What each way does to the counts of the stage: tasks not done, values that exist but are not in
memory, tasks given out. (READY, HELD) is a worker that was thought frozen and was not."""

_N: Final = len(STATES)
_EFFECTS: Final = [TRANSITIONS.get(divmod(k, _N)) for k in range(_N * _N)]


class _Counted(Protocol):
    number: int
    state: bytearray
    undone: int
    absent: int
    busy: int


def exists(state: int) -> bool:
    """Whether a value exists, be it in memory, on disk, or to be made again."""
    return HELD <= state <= LOST


def move(record: _Counted, task: int, to: int) -> None:
    """Change a task's state as the table says; AssertionError if it names no such way."""
    states = record.state
    effect = _EFFECTS[states[task] * _N + to]
    if effect is None:
        raise AssertionError(
            f"stage {record.number}, task {task}: no way from {STATES[states[task]]} "
            f"to {STATES[to]}"
        )
    states[task] = to
    undone, absent, busy = effect
    if undone:
        record.undone += undone
    if absent:
        record.absent += absent
    if busy:
        record.busy += busy
