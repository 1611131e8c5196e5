"""What a worker notes of its time, until it is told."""

import pytest

from nbscale.engines.local.timing import Timing
from nbscale.history.recording import MOST_STEPS


class Clock(Timing):
    """One whose waiting is said by the test."""

    so_far = 0.0

    def _so_far(self):
        return self.so_far


def test_a_list_for_each_program_that_is_not_too_long():
    assert Timing.of(3) == [0.0] * 5
    assert Timing.of(MOST_STEPS + 1) is None


def test_what_is_told_is_forgotten():
    timing = Clock()
    spent = timing.of(1)
    spent[0], spent[1] = 2.0, 1.0
    timing.note(7, spent)
    assert timing.told() == [(7, (2.0, 1.0, 0.0))]
    assert spent == [0.0, 0.0, 0.0]
    assert timing.told() == []


def test_waiting_is_shared_out_in_proportion():
    timing = Clock()
    a, b = timing.of(1), timing.of(1)
    a[0], b[0], b[1] = 3.0, 0.5, 0.5
    timing.note(1, a)
    timing.note(2, b)
    timing.so_far = 2.0
    assert timing.told() == [(1, (3.0, 0.0, 1.5)), (2, (0.5, 0.5, 0.5))]


def test_nobody_waits_for_longer_than_he_took():
    timing = Clock()
    spent = timing.of(1)
    spent[0] = 1.0
    timing.note(1, spent)
    timing.so_far = 9.0
    assert timing.told() == [(1, (1.0, 0.0, 1.0))]


def test_waiting_for_work_is_nobodys():
    timing = Clock()
    timing.so_far = 5.0
    timing.begin()
    timing.so_far = 5.25
    spent = timing.of(1)
    spent[0] = 1.0
    timing.note(1, spent)
    [(_, (_, _, waited))] = timing.told()
    assert waited == pytest.approx(0.25)


def test_the_system_is_asked():
    timing = Timing()
    assert timing._so_far() >= 0.0
    timing._source = -1  # a kernel that does not count it
    assert timing._so_far() == 0.0
