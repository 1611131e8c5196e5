"""Modules that are edited: on the workers they mean what they meant in the kernel at the capture."""

from __future__ import annotations

import importlib
import itertools
import os
import shutil
import sys
import types

import pytest

from nbscale.engines.base import load_engine
from nbscale.expr.function import capture
from nbscale.testing.board import wait_until
from nbscale.testing.jobs import plain, run, stage
from tests.engines.local.pooled import Pooled

numbers = itertools.count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder on ``sys.path``, as the one of a notebook is."""
    folder = tmp_path_factory.mktemp("user")
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def shared(folder):
    engine = Pooled()
    engine.scale(2)
    engine.start()
    yield engine
    engine.close()


class File:
    """A module of the user's, and what is done to it."""

    def __init__(self, folder, name=None):
        self.name = name or f"helpers{next(numbers)}"
        self.path = folder / f"{self.name.replace('.', '/')}.py"

    def write(self, text):
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(text)
        importlib.invalidate_caches()
        # Python looks at whole seconds and the size alone, as if nobody could be that quick.
        when = 1_700_000_000 + next(numbers)
        os.utime(self.path, (when, when))
        return self

    def load(self):
        return importlib.import_module(self.name)

    def reload(self):
        return importlib.reload(sys.modules[self.name])


@pytest.fixture
def file(folder):
    file = File(folder)
    yield file
    sys.modules.pop(file.name, None)


def everywhere(engine, function, *args):
    """What a function gives, in tasks enough for every worker."""
    return run(engine, plain(stage(0, 8, _Call(capture(function), args), result=0)))


class _Call:
    def __init__(self, function, args):
        self.function, self.args = function, args

    def __call__(self, index, inputs=()):
        return self.function(*self.args)


def both(engine, function, *args):
    """The value on the workers; all must agree."""
    (value,) = set(everywhere(engine, function, *args))
    return value


def replace_workers(engine):
    """Have fresh workers, which have imported nothing."""
    old = list(engine.workers)
    for pid in old:
        os.kill(pid, 9)
    wait_until(lambda: not set(old) & set(engine.workers), "their end")
    engine.wait_ready()


def test_edited_and_reloaded(engine, file):
    module = file.write("def f(x):\n    return x + 1").load()
    assert both(engine, module.f, 1) == 2
    file.write("def f(x):\n    return x + 10")
    assert both(engine, module.f, 1) == 2  # the kernel has not loaded it
    module = file.reload()
    assert both(engine, module.f, 1) == 11


def test_edited_in_the_same_second_without_changing_its_size(engine, file):
    module = file.write("def f():\n    return 1").load()
    assert both(engine, module.f) == 1
    stat = file.path.stat()
    file.path.write_text("def f():\n    return 2")
    os.utime(file.path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    sys.modules.pop(file.name)
    shutil.rmtree(file.path.parent / "__pycache__", ignore_errors=True)
    module = file.load()  # with what was compiled of it, Python would go by the time alone
    assert both(engine, module.f) == 2


def test_edited_before_it_is_imported_again(engine, file):
    module = file.write("def f():\n    return 1").load()
    assert both(engine, module.f) == 1
    file.write("def f():\n    return 22")
    del sys.modules[file.name]
    assert both(engine, file.load().f) == 22


def test_edited_and_not_reloaded_on_fresh_workers(engine, file):
    module = file.write("R = 1\ndef f():\n    return g() + R\ndef g():\n    return 10").load()
    file.write("R = 2\ndef f():\n    return 'edited'")
    assert both(engine, module.f) == 11
    replace_workers(engine)
    assert both(engine, module.f) == 11
    assert both(engine, lambda: module.f()) == 11


def test_captured_before_it_was_edited(engine, file):
    module = file.write("def f():\n    return 1").load()
    before = capture(module.f)
    file.write("def f():\n    return 22")
    after = capture(file.reload().f)
    for _ in range(2):
        assert [both(engine, before), both(engine, after)] == [1, 22]
    inline = load_engine("inline")
    assert [both(inline, before), both(inline, after)] == [1, 22]


def test_a_constant_that_was_edited(engine, file):
    text = (
        "import numpy as np\nRATE = {}\nTABLE = np.array([{}])\ndef f():\n    return RATE, TABLE[0]"
    )
    module = file.write(text.format(1, 1)).load()
    assert both(engine, module.f) == (1, 1)
    file.write(text.format(1, 23))
    file.reload()
    assert both(engine, module.f) == (1, 23)
    module.RATE = 7  # nowhere but in the kernel
    assert both(engine, module.f) == (7, 23)


def test_by_the_module_and_by_the_name(engine, file):
    module = file.write("def f():\n    return 1\ndef g():\n    return f()").load()
    from_name = module.g
    assert both(engine, lambda: (module.g(), from_name())) == (1, 1)
    file.write("def f():\n    return 2\ndef g():\n    return 2 * f()")
    file.reload()
    assert both(engine, lambda: (module.g(), from_name())) == (4, from_name())


def test_what_a_module_holds_stays_in_the_worker(engine, file):
    module = file.write(
        "import os, threading\nlock = threading.Lock()\nseen = {}\n"
        "def f(n):\n    with lock:\n        seen[n] = 1\n        return os.getpid(), len(seen)"
    ).load()
    for n in range(20):
        found = everywhere(engine, module.f, n)
    most = {pid: max(count for p, count in found if p == pid) for pid, _ in found}
    assert max(most.values()) > 1


def test_one_with_a_lock_that_was_edited(engine, file):
    text = "import threading\nlock = threading.Lock()\ndef f():\n    with lock:\n        return {}"
    module = file.write(text.format(1)).load()
    assert both(engine, module.f) == 1
    file.write(text.format(22))
    with_the_old = capture(module.f)
    file.reload()
    assert both(engine, module.f) == 22
    replace_workers(engine)
    with pytest.raises(ImportError, match=rf"{file.name}\.py is another.*importlib\.reload"):
        both(engine, with_the_old)


def test_one_with_a_lock_whose_names_were_renamed(engine, file):
    """Python keeps the old names as it reloads a module; workers never had them."""
    text = "import threading\nlock = threading.Lock()\ndef {0}():\n    with lock:\n        return g()\ndef g():\n    return {1}"
    file.write(text.format("f", 1)).load()
    file.write(text.format("better", 22))
    module = file.reload()
    assert module.f() == 22
    for _ in range(2):
        assert both(engine, module.better) == both(engine, lambda: module.better()) == 22
        replace_workers(engine)
    with pytest.raises(ImportError, match="from which f was taken"):
        both(engine, module.f)
    file.write(text.format("better", 333))  # what it reads is another now
    replace_workers(engine)
    with pytest.raises(ImportError, match="from which better was taken"):
        both(engine, module.better)
    with pytest.raises(ImportError, match="from which better was taken"):
        both(engine, lambda: module.better())


def test_a_comment_is_no_edit(engine, file):
    text = "import os\nseen = []\ndef f():\n    seen.append(1)\n    return os.getpid(), len(seen)"
    module = file.write(text).load()
    before = dict(everywhere(engine, module.f))
    file.write("# a comment\n\n" + text)
    module = file.reload()
    after = everywhere(engine, module.f)
    assert all(count > before.get(pid, 0) for pid, count in after)


def test_a_cached_function(engine, file):
    text = "import functools\n@functools.lru_cache\ndef f(x):\n    return x + {}"
    module = file.write(text.format(1)).load()
    assert both(engine, module.f, 1) == 2
    file.write(text.format(20))
    assert both(engine, module.f, 2) == 3
    replace_workers(engine)
    assert both(engine, module.f, 1) == 2
    assert both(engine, file.reload().f, 1) == 21


CLASSES = """
import dataclasses, enum

class Colour(enum.Enum):
    RED = {0}

@dataclasses.dataclass
class Point:
    x: int

    def moved(self):
        return Point(self.x + {0})

def f(point):
    assert type(point) is Point
    return point.moved(), Colour.RED
"""


@pytest.mark.parametrize("fresh", [False, True])
def test_objects_go_there_and_come_back_as_what_they_are(engine, file, fresh):
    module = file.write(CLASSES.format(1)).load()
    for step in (1, 20):
        if step > 1:
            file.write(CLASSES.format(step))
            if fresh:  # the workers find a file that the kernel has not loaded
                replace_workers(engine)
            else:
                file.reload()
        point, colour = run(
            engine, plain(stage(0, 1, _Call(capture(module.f), (module.Point(1),)), result=0))
        )[0]
        assert type(point) is module.Point
        assert point.x == 1 + (1 if fresh else step)
        assert colour is module.Colour.RED


def test_what_another_module_has_of_it(engine, folder, file):
    module = file.write("def f():\n    return 1").load()
    other = File(folder).write(
        f"import {file.name}\nfrom {file.name} import f\ndef g():\n    return f(), {file.name}.f()"
    )
    user = other.load()
    assert both(engine, user.g) == (1, 1)
    file.write("def f():\n    return 22")
    file.reload()
    assert user.g() == (1, 22)  # as Python has it
    assert both(engine, user.g) == (1, 22)
    assert both(engine, other.reload().g) == (22, 22)
    assert both(engine, module.f) == 22


def test_a_package(engine, folder):
    name = f"package{next(numbers)}"
    File(folder, f"{name}.__init__").write("from .low import f")
    low = File(folder, f"{name}.low").write("from . import rate\ndef f():\n    return rate.R")
    rate = File(folder, f"{name}.rate").write("R = 1")
    package = importlib.import_module(name)
    assert both(engine, package.f) == 1
    rate.write("R = 22").reload()
    assert both(engine, package.f) == 22
    low.write("from . import rate\ndef f():\n    return -rate.R").reload()
    assert both(engine, package.low.f) == -22


def test_a_function_edited_in_its_place(engine, file):
    """As IPython's autoreload does."""
    module = file.write("def f():\n    return 1").load()
    function = module.f
    assert both(engine, function) == 1
    file.write("def f():\n    return 22")
    function.__code__ = types.FunctionType(file.reload().f.__code__, {}).__code__
    module.f = function
    assert both(engine, function) == 22


def test_a_path_that_was_added_later(engine, tmp_path, monkeypatch):
    file = File(tmp_path).write("def f():\n    return 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert both(engine, file.load().f) == 1


def test_an_error_shows_the_line_it_was_raised_in(engine, file):
    module = file.write("def f():\n    return 1 / 0").load()
    file.write("")
    replace_workers(engine)
    with pytest.raises(ZeroDivisionError) as raised:
        both(engine, module.f)
    assert str(raised.traceback[-1].frame.code.path) == str(file.path)
    assert raised.traceback[-1].lineno == 1
