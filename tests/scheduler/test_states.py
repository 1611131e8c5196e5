from __future__ import annotations

import pytest

from nbscale.scheduler import states
from nbscale.scheduler.states import GONE, HELD, PARKED, READY, RETRACTED, RUNNING, TRANSITIONS
from tests.scheduler.stages import record_of, stage

EVERY = range(len(states.STATES))


def test_every_state_is_reached_and_all_but_the_last_are_left():
    assert {to for _, to in TRANSITIONS} == set(EVERY)
    assert {was for was, _ in TRANSITIONS} == set(EVERY) - {RETRACTED}


@pytest.mark.parametrize(("was", "to"), TRANSITIONS)
def test_counts_change_as_the_states_say(was, to):
    """The table says by hand what could be worked out: this is the working out."""
    absent = {states.SPILLING, states.SPILLED, states.LOADING, states.LOST}
    busy = {states.FETCHING, RUNNING}
    assert TRANSITIONS[was, to] == (
        (to <= PARKED) - (was <= PARKED),
        (to in absent) - (was in absent),
        (to in busy) - (was in busy),
    )


def test_what_is_in_other_hands_is_not_taken_away():
    for kept in (states.SPILLING, states.LOADING):
        assert (kept, GONE) not in TRANSITIONS
        assert (kept, RETRACTED) not in TRANSITIONS
    assert (RUNNING, GONE) not in TRANSITIONS


def test_a_way_that_is_not_in_the_table():
    record = record_of(stage(0, 2))
    record.state[1] = HELD
    with pytest.raises(AssertionError, match="stage 0, task 1: no way from held to running"):
        states.move(record, 1, RUNNING)
    states.move(record, 0, READY)
    assert list(record.state) == [READY, HELD]
