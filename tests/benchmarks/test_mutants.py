from __future__ import annotations

import pytest

from benchmarks.mutants import TARGETS, changed, mutants_of
from benchmarks.rows import ROOT

TEXT = '''
"""A docstring."""
import os

LIMIT: int = 3
__all__ = ["f"]


def f(x, y=1):
    """Another."""
    assert x
    if x < y and not y:
        return x + y
    for i in range(2):
        x -= 1
        if i == 1:
            break
    raise ValueError(f"no {x}")
'''

CHANGED = {
    "x <= y": "a comparison turned",
    "x < y or not y": "`or` for `and`",
    "x < y and y": "`not` left out",
    "return x - y": "another operator",
    "x += 1": "another operator",
    "range(3)": "3 for 2",
    "y=2": "2 for 1",
    "i != 1": "a comparison turned",
    "continue": "`continue` for `break`",
    "if not i == 1": "a condition turned",
    "return\n": "None returned",
}


@pytest.mark.parametrize("text", CHANGED)
def test_changes_that_are_made(text):
    found = [m.what for m in mutants_of("a.py", TEXT) if text in changed(TEXT, m.number)]
    assert CHANGED[text] in " ".join(found)


def test_every_change_is_one_and_what_says_nothing_stays():
    texts = [changed(TEXT, one.number) for one in mutants_of("a.py", TEXT)]
    assert len(set(texts)) == len(texts)
    for text in texts:
        compile(text, "a.py", "exec")
        assert "A docstring." in text
        assert "import os" in text
        assert "LIMIT: int = 3" in text
        assert "assert x" in text
        assert "['f']" in text
    assert sum("raise ValueError" not in text for text in texts) == 1


@pytest.mark.parametrize("name", TARGETS)
def test_targets_are_there(name):
    target = TARGETS[name]
    for file in target.files:
        assert mutants_of(file, (ROOT / file).read_text())
    for tests in target.tests:
        assert (ROOT / tests[0].partition("::")[0]).exists()
