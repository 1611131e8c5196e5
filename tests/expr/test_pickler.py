"""How what is in a module of the user's travels, and how much of it."""

from __future__ import annotations

import importlib
import pickle
import sys
import tracemalloc

import pytest

from nbscale.expr.pickler import dumps
from nbscale.expr.reference import Twin
from nbscale.expr.version import version

TEXT = """
import threading
import numpy as np

lock = threading.Lock()
large = np.zeros(8 << 20)
many = [object() for _ in range(300_000)]
RATE = 2

def f(x):
    return x * RATE

def big():
    return large.nbytes + len(many)

def locked():
    with lock:
        return f(1)

class Point:
    def __init__(self, x):
        self.x = x
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "pickled.py").write_text(TEXT)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "pickled", raising=False)
    yield importlib.import_module("pickled")
    sys.modules.pop("pickled", None)


def elsewhere(module, data):
    """What a process that has another version reads."""
    rate = module.RATE
    module.RATE = 3
    module.f.__code__ = (lambda x: "another").__code__
    try:
        return pickle.loads(data)
    finally:
        module.RATE = rate


def test_of_the_same_version_it_is_the_very_one(module):
    for value in (module, module.f, module.locked, module.Point):
        assert pickle.loads(dumps(value)) is value
    assert type(pickle.loads(dumps(module.Point(1)))) is module.Point


def test_of_another_it_is_made_of_what_it_was(module):
    function = elsewhere(module, dumps(module.f))
    assert function is not module.f
    assert function(10) == 20


def test_of_a_module_that_cannot_be_imported_too(module, monkeypatch):
    data = dumps([module.f, module.Point(5)])
    monkeypatch.delitem(sys.modules, "pickled")
    monkeypatch.setattr(sys, "path", [])
    function, point = pickle.loads(data)
    assert (function(10), point.x) == (20, 5)


def test_a_twin_says_what_it_has_not(module):
    twin = elsewhere(module, dumps(module))
    assert type(twin) is Twin
    assert (twin.RATE, twin.f(1), twin.Point(3).x) == (2, 2, 3)
    with pytest.raises(ImportError, match="from which locked was taken"):
        _ = twin.locked
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = twin.nothing


def test_what_is_large_is_not_copied(module):
    version(module)
    tracemalloc.start()
    try:
        data = dumps([module.big, module])
        assert tracemalloc.get_traced_memory()[1] < 32 << 20  # of 64
    finally:
        tracemalloc.stop()
    assert len(data) < 1 << 20
    assert pickle.loads(data)[0]() == (64 << 20) + 300_000


def test_what_was_pickled_by_others_is_not_touched(module):
    import cloudpickle

    before = cloudpickle.list_registry_pickle_by_value()
    dumps(module.f)
    assert cloudpickle.list_registry_pickle_by_value() == before
