"""Versions of modules: equal where the same was loaded, another after every kind of edit."""

from __future__ import annotations

import importlib
import itertools
import json
import subprocess
import sys

import pytest

from nbscale.expr import version as versions
from nbscale.expr.version import home, is_local, version

numbers = itertools.count()

TEXT = """
import dataclasses, enum, functools, json, threading
import numpy as np

LIMIT = 3
NAMES = {"a": [1, 2.5], "b": {"x", "y", "z"}}
TABLE = np.arange(5)
lock = threading.Lock()

def plain(x, by=2, *, more=(1, 2)):
    return [y * by for y in x if y in {"p", "q", "r"}] + [lambda: x]

def decorated(function):
    @functools.wraps(function)
    def call(*args):
        return function(*args)
    return call

@decorated
def wrapped(x):
    return x + 1

@functools.lru_cache(maxsize=3)
def cached(x):
    return x

class Colour(enum.Enum):
    RED = 1

@dataclasses.dataclass
class Point:
    x: int = 0
    unit = "m"

    @property
    def twice(self):
        return 2 * self.x

    @staticmethod
    def zero():
        return Point(0)

    @classmethod
    def one(cls):
        return cls(1)

    class Inner:
        def f(self):
            return 1
"""


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Makes modules of texts, each in a folder of its own, under one name."""
    names = []

    def make(text, name="edited"):
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        (folder / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(str(folder))
        sys.modules.pop(name, None)
        names.append(name)
        return importlib.import_module(name)

    yield make
    for name in names:
        sys.modules.pop(name, None)


def test_the_same_text_has_the_same_version(made):
    first = version(made(TEXT))
    assert version(made(TEXT)) == first


@pytest.mark.parametrize("seed", [1, 2])
def test_and_in_another_process(made, tmp_path, seed):
    module = made(TEXT)
    code = (
        "import sys, json, edited; from nbscale.expr.version import version; "
        "print(json.dumps(version(edited)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": str(seed)},
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    assert tuple(json.loads(done.stdout)) == version(module)


def test_using_a_module_changes_nothing_of_its_code(made):
    module = made(TEXT)
    before = version(module)
    import copy

    copy.copy(module.Point(3)), module.wrapped(1), module.cached(1), module.Colour(1)
    assert version(module) == before
    module.NAMES["c"] = 1
    assert version(module).code == before.code
    assert version(module).state != before.state


EDITS = {
    "code": ("x + 1", "x + 2"),
    "a constant in code": ('"p", "q"', '"p", "Q"'),
    "a default": ("by=2", "by=3"),
    "a keyword": ("more=(1, 2)", "more=(1, 3)"),
    "a function in one": ("lambda: x", "lambda: y"),
    "what decorates": ("return function(*args)", "return [function(*args)]"),
    "what is cached": ("def cached(x):\n    return x", "def cached(x):\n    return -x"),
    "an enumeration": ("RED = 1", "RED = 2"),
    "a field": ("x: int = 0", "x: int = 1"),
    "an attribute": ('unit = "m"', 'unit = "k"'),
    "a property": ("2 * self.x", "3 * self.x"),
    "a static method": ("Point(0)", "Point(2)"),
    "a class method": ("cls(1)", "cls(2)"),
    "a class in one": ("return 1\n", "return 2\n"),
    "a base": ("class Inner:", "class Inner(dict):"),
}
STATES = {
    "a number": ("LIMIT = 3", "LIMIT = 4"),
    "a type": ("LIMIT = 3", "LIMIT = 3.0"),
    "deep down": ("2.5", "2.6"),
    "in a set": ('"z"', '"w"'),
    "an array": ("arange(5)", "arange(1, 6)"),
}


@pytest.mark.parametrize("what", EDITS)
def test_edited_code_is_another_version(made, what):
    before = version(made(TEXT))
    text = TEXT.replace(*EDITS[what])
    assert text != TEXT
    assert version(made(text)).code != before.code


@pytest.mark.parametrize("what", STATES)
def test_an_edited_constant_is_another_version_of_the_same_code(made, what):
    before = version(made(TEXT))
    after = version(made(TEXT.replace(*STATES[what])))
    assert after.state != before.state
    assert after.code == before.code


def test_what_it_reads_of_other_modules_belongs_to_it(made):
    made("def f():\n    return 1", "low")
    module = made("import low\nfrom low import f")
    before = version(module)
    sys.modules["low"].f.__code__ = (lambda: 2).__code__
    assert version(module) != before


def test_edited_in_its_place(made):
    module = made(TEXT)
    before = version(module)
    module.Point.twice = property(lambda self: 4)
    assert version(module).code != before.code


def test_too_many_modules_are_no_users(made, monkeypatch):
    made("", "low")
    module = made("import low")
    assert version(module) is not None
    monkeypatch.setattr(versions, "_MOST", 1)
    monkeypatch.setattr(versions, "_known", {})
    assert version(module) is None


def test_what_is_local(made):
    import numpy as np

    import nbscale.config

    module = made(TEXT)
    assert is_local(module)
    for other in (np, json, sys, nbscale.config, sys.modules[__name__], sys.modules["__main__"]):
        assert not is_local(other)
    assert home(module.plain) is home(module.Point.Inner) is home(module.cached) is module
    for other in (lambda: 1, np.mean, json.dumps, len, module.Point.one, module.np):
        assert home(other) is None
