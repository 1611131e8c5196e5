"""Random jobs under random faults, 20,000 signals in all, everything checked after each."""

from __future__ import annotations

import heapq

import pytest

from nbscale.scheduler.machine import Machine
from nbscale.testing.random_jobs import check_seed

SIGNALS = 20_000
PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
def test_every_run_ends_and_every_rule_holds(part):
    signals, seed = 0, part
    while signals < SIGNALS // PARTS:
        signals += len(check_seed(seed).log)
        seed += PARTS


class Forgetful(Machine):
    """Forgets to queue the task of a worker that is lost: the classic lost wake-up."""

    def _ready_again(self, run, record, task):
        super()._ready_again(run, record, task)
        if record.entry(task) in run.queue:
            run.queue.remove(record.entry(task))
            heapq.heapify(run.queue)


def test_a_lost_wake_up_is_found_and_told_how_to_see_again():
    found = []
    for seed in range(40):
        try:
            check_seed(seed, Forgetful)
        except AssertionError as error:
            found.append(str(error))
    assert found
    assert all("ready but not in the queue" in text for text in found)
    assert all("to see it again: python -m nbscale.testing.random_jobs" in text for text in found)
