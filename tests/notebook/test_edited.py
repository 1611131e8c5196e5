"""In a real kernel: cells and modules that are edited take effect, by whichever way they are loaded."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

# The tests are no package: what they share is loaded by its path.
_spec = importlib.util.spec_from_file_location("kernels", Path(__file__).with_name("kernels.py"))
kernels = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(kernels)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("user")


@pytest.fixture(scope="module")
def front(folder):
    with kernels.kernel(folder) as front:
        yield front


@pytest.fixture
def said(front):
    """Runs a cell and gives what it printed."""

    def said(code):
        front.published.clear()
        reply = front.run(code)
        assert reply["status"] == "ok", reply
        return "".join(m["content"]["text"] for m in front.of_type("stream")).split()

    said("import os, nbscale as ns")
    return said


def write(path, text, when):
    path.write_text(text)
    os.utime(path, (1_700_000_000 + when, 1_700_000_000 + when))  # Python looks at whole seconds


MODULE = """
import threading
RATE = {0}
lock = threading.Lock()

class Box:
    def get(self):
        return {0}

def rate(x=0):
    with lock:
        return x + RATE + {0}
"""

ASK = "print(ns.submit(mine.rate, 1).result(), *ns.gather(ns.map(lambda b: b.get(), [mine.Box()])))"


def test_a_module_that_is_reloaded_by_itself(said, folder):
    write(folder / "mine.py", MODULE.format(1), 0)
    said("%load_ext autoreload\n%autoreload 2\nimport mine")
    assert said(ASK) == ["3", "1"]
    write(folder / "mine.py", MODULE.format(20), 1)
    assert said(ASK) == ["41", "20"]
    write(folder / "mine.py", MODULE.format(300), 2)
    assert said(ASK) == ["601", "300"]


def test_a_module_that_is_not_reloaded(said, folder):
    said("%load_ext autoreload\n%autoreload 0")
    write(folder / "other.py", MODULE.format(1), 0)
    said("import other")
    write(folder / "other.py", MODULE.format(20), 1)
    ask = ASK.replace("mine", "other").replace("other.rate", "other.Box().get").replace(", 1)", ")")
    assert said(ask) == ["1", "1"]
    said("import importlib; importlib.reload(other);")
    assert said(ask) == ["20", "20"]


def test_a_cell_that_is_run_again(said):
    for n in (1, 2):
        said(f"def low():\n    return {n}\ndef high():\n    return 10 * low()")
        assert said("print(ns.submit(high).result(), ns.submit(low).result())") == [f"{n}0", f"{n}"]
    said("def low():\n    return 3")
    assert said("print(ns.submit(high).result())") == ["30"]


def test_a_factory_that_is_edited(said):
    for n in (1, 1, 2):
        said(
            f"def load():\n    return [{n}]\nmodel = ns.per_worker(load)\n"
            "def use(_):\n    model().append(0)\n    return model()[0], len(model())"
        )
        found = said("print(*[f'{a}:{b}' for a, b in ns.gather(ns.map(use, range(9)))])")
        assert {one.partition(":")[0] for one in found} == {str(n)}
        last = max(int(one.partition(":")[2]) for one in found)
        assert last > 2  # it stayed from task to task
