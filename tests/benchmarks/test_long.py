from __future__ import annotations

import pytest

from benchmarks.long import PARTS, plan_of, quick
from benchmarks.registry import load_workloads


@pytest.mark.parametrize("name", PARTS)
def test_parts_name_workloads_options_and_peers_there_are(name):
    known = load_workloads()
    for part in (PARTS[name], quick(PARTS[name])):
        for step in part.steps:
            assert plan_of(step, known).peers


def test_a_quick_part_runs_once_and_judges_nothing():
    (plan,) = (plan_of(step, load_workloads()) for step in quick(PARTS["csv"]).steps[:1])
    assert (plan.pairs, plan.cap, plan.gated) == (1, 1, False)
