"""Every way a small world can go: see nbscale.testing.worlds.

Here every shape of a graph of four tasks; all 64 numberings of them are a part of the long checks.
"""

from __future__ import annotations

import pytest

from nbscale.scheduler.machine import Machine
from nbscale.scheduler.states import READY, move
from nbscale.testing.worlds import all_graphs, distinct_graphs, explore

# Whole worlds are walked: half a minute each on one idle core, more beside others.
pytestmark = pytest.mark.timeout(600)

GRAPHS = distinct_graphs()


def test_the_graphs():
    assert len(all_graphs()) == 64
    assert len(GRAPHS) == 31
    assert len(distinct_graphs(3)) == 6


@pytest.mark.parametrize("graph", GRAPHS, ids=str)
def test_every_way_ends(graph, capsys):
    explored = explore(graph)
    with capsys.disabled():
        print(f" {explored.states} distinct states, {explored.signals} signals ", end="")
    assert explored.states > 500


class Forgetful(Machine):
    """Forgets to queue the task of a worker that is lost."""

    def _ready_again(self, run, record, task):
        move(record, task, READY)


def test_a_lost_wake_up_is_found():
    with pytest.raises(AssertionError, match="ready but not in the queue") as caught:
        explore(((), (0,), (0,), (1, 2)), ("die",), Forgetful)
    assert "then came:" in str(caught.value)


class Stubborn(Machine):
    """Never lets a run that was cancelled end."""

    def _settle(self, run):
        if run.outcome != "cancelled":
            super()._settle(run)


def test_a_dead_end_is_found():
    with pytest.raises(AssertionError):
        explore(((), (0,)), ("cancel",), Stubborn)
