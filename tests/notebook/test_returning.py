"""Names on their way back: functions read the notebook's globals, and nothing else travels."""

from __future__ import annotations

import threading

from nbscale.notebook.returning import load_names, pack_names_back

CELL = """
n = 1
big = list(range(1000))

def add(x, *, y=2):
    "Adds."
    return x + y + n + len(big)

def counter():
    count = 0
    def step():
        nonlocal count
        count += 1
        return count
    return step

def fact(k):
    return 1 if k == 0 else k * fact(k - 1)

class A:
    def m(self):
        return add(self.v)

a = A()
a.v = 5
step = counter()
step()
listed = [add, {"f": lambda v: v + n}]
"""


def made():
    space = {"__name__": "__main__"}
    exec(compile(CELL, "cell.py", "exec"), space)
    return space


def there_and_back(*names):
    space = made()
    bulk, left = pack_names_back({name: space[name] for name in names}, space)
    assert not left
    home = {"n": 10, "big": [], "__name__": "__main__"}
    return load_names(memoryview(bytearray(bulk.data)), home), home, bulk


def test_functions_read_the_globals_they_come_to():
    names, home, bulk = there_and_back("add", "fact", "listed")
    assert names["add"](1) == 13
    assert names["add"].__globals__ is home
    assert names["add"].__doc__ == "Adds."
    assert names["add"].__code__.co_filename == "cell.py"
    assert names["listed"][0] is names["add"]
    assert names["listed"][1]["f"](1) == 11
    home["fact"] = names["fact"]
    assert names["fact"](4) == 24
    assert home["n"] == 10  # nothing was changed
    assert bulk.nbytes < 2000  # what they read was not sent


def test_classes_and_closures():
    names, home, _ = there_and_back("a", "A", "step", "add")
    home.update(names)
    assert type(names["a"]) is names["A"]
    assert names["a"].m() == 17
    assert names["step"]() == 2


def test_what_cannot_be_sent_is_named_and_the_rest_comes():
    space = made() | {"lock": {"a": threading.Lock()}}
    bulk, left = pack_names_back({"lock": space["lock"], "n": 1}, space)
    assert load_names(memoryview(bytearray(bulk.data)), {}) == {"n": 1}
    [told] = left
    assert told.startswith("lock['a']: _thread.lock; make it")
