from __future__ import annotations

import time

import pytest

from benchmarks.peers_faults.__main__ import run_cell, table
from benchmarks.peers_faults.faults import FAULTS


def test_a_cell_says_what_came_of_it():
    cell = run_cell("nbscale", "result_unpicklable")
    assert cell["survived"] is True
    assert "the result: _thread.lock" in cell["text"]
    assert cell["text"].endswith("; usable")


def test_a_cell_that_does_not_end_is_given_up(monkeypatch):
    began = time.monotonic()
    cell = run_cell("nbscale", "--wait", deadline=3)
    assert (cell["survived"], cell["text"]) == (False, "no answer in 3 s")
    assert time.monotonic() - began < 60


def test_a_cell_that_breaks_says_so():
    cell = run_cell("nbscale", "no_such_fault")
    assert cell["survived"] is False
    assert cell["text"].startswith("broke: ")
    assert "no_such_fault" in cell["text"]


def test_the_table():
    cells = [
        {"peer": "nbscale", "fault": "killed", "survived": True, "text": "all | right"},
        {"peer": "loky", "fault": "killed", "survived": False, "text": "none"},
        {"peer": "loky", "fault": "held", "survived": None, "text": "3 kB"},
    ]
    lines = table(cells, ["nbscale", "loky"]).splitlines()
    assert lines[2] == rf"| {FAULTS['killed'].title} | ✓ all \| right | ✗ none |"
    assert lines[3] == f"| {FAULTS['held'].title} |  | 3 kB |"
    assert lines[-1] == "| **survived** | **1** | **0** |"


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_has_a_title_of_its_own(name):
    assert [one.title for one in FAULTS.values()].count(FAULTS[name].title) == 1
