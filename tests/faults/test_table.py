"""The table of faults names tests that there are, and every test of a row is in it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs/faults.md").read_text()
ROWS = [n for n in range(1, 35) if n not in (13, 31, 32)]


def all_tests():
    """The names of all tests, with their files."""
    found = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE):
            found.setdefault(name, path)
    return found


def test_every_row_has_a_line_and_every_line_tests_that_there_are():
    rows = re.findall(r"^\| F(\d+) \|.*\| (.*) \|$", TABLE, re.MULTILINE)
    assert [int(number) for number, _ in rows] == ROWS
    known = all_tests()
    for number, shown in rows:
        names = re.findall(r"`(test_\w+)`", shown)
        assert names, number
        assert set(names) <= known.keys(), (number, set(names) - known.keys())


def test_every_test_of_a_row_is_in_its_line():
    named = set(re.findall(r"`(test_\w+)`", TABLE))
    ours = {
        name
        for name, path in all_tests().items()
        if re.match(r"test_f\d+_", name) and "faults" in path.parts
    }
    assert ours <= named, ours - named
