import pytest

import nbscale as ns
import nbscale.array as na
from nbscale.units import counted


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 tasks"), (1, "1 task"), (2, "2 tasks"), (1000, "1,000 tasks")]
)
def test_one_is_told_of_in_the_singular(count, text):
    assert counted(count, "task") == text


def test_a_run_of_one_task_is_told_of_in_the_singular():
    na.arange(3, chunks=3).compute(engine="inline")
    assert "1 task in 1 stage, on inline" in str(ns.runs()[-1])
