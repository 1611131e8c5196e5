"""``%%parallel`` in a real kernel, as a front end sees it, and in a plain IPython."""

from __future__ import annotations

import importlib.util
import os
import re
import select
import tempfile
import time
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

# The tests are no package: what they share is loaded by its path.
_spec = importlib.util.spec_from_file_location("kernels", Path(__file__).with_name("kernels.py"))
kernels = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(kernels)

SLACK = 1.3
"""What a machine with other work may take longer."""


@pytest.fixture(scope="module")
def front():
    with kernels.kernel() as front:
        start = "%load_ext nbscale\nimport os, time\nimport numpy as np\nimport nbscale as ns\n_ = ns.config.set(n_workers=2)"
        assert front.run(start)["status"] == "ok"
        yield front


class Told:
    """What came of a cell."""

    def __init__(self, front, request, reply):
        mine = [m for m in front.published if m["parent_header"].get("msg_id") == request]
        self.reply = reply
        self.mine = mine
        self.out = "".join(m["content"]["text"] for m in mine if m["msg_type"] == "stream")
        errors = [m["content"] for m in mine if m["msg_type"] == "error"]
        trace = "\n".join(errors[0]["traceback"]) if errors else ""
        self.trace = re.sub(r"\x1b\[[0-9;]*m", "", trace)
        self.kind = errors[0]["ename"] if errors else None
        self.number = reply.get("execution_count")

    def data(self, kind):
        return [
            m["content"]["data"][kind]
            for m in self.mine
            if m["msg_type"] in ("display_data", "execute_result") and kind in m["content"]["data"]
        ]


def run(front, code):
    front.published.clear()
    request = front.start(code)
    return Told(front, request, front.end(request, timeout=60))


def value(front, expression):
    """The text of an expression's value in the kernel."""
    told = run(front, f"print(repr(({expression})), end='')")
    assert told.kind is None, told.trace
    return told.out


def error_of(front, request):
    """Wait for the error of a cell that is over, unless it has come."""

    def wanted(message):
        mine = message["parent_header"].get("msg_id") == request
        return mine and message["msg_type"] == "error"

    if not any(map(wanted, front.published)):
        front.until(wanted)


# Loops ----------------------------------------------------------------------------------------


def test_items_run_at_the_same_time_in_other_processes(front):
    run(front, "%%parallel for x in range(2)\nx")  # the processes are there
    began = time.monotonic()
    told = run(front, "%%parallel for x in range(8) --gather ys\ntime.sleep(0.5)\n(x, os.getpid())")
    assert told.kind is None, told.trace
    assert time.monotonic() - began < 3 * SLACK
    assert value(front, "[x for x, _ in ys]") == str(list(range(8)))
    assert value(front, "len({pid for _, pid in ys} - {os.getpid()})") == "2"
    assert any("done in" in text for text in _folded(told))


def _folded(told):
    updates = [m for m in told.mine if m["msg_type"] == "update_display_data"]
    return [m["content"]["data"]["text/plain"] for m in updates]


def test_names_are_captured_and_assignments_stay_in_the_task(front):
    run(front, "n, seen = 10, []\ndef add(x):\n    return x + n")
    code = "n = n + x\nseen.append(x)\ndef twice(): return 2 * add(x)\n(twice(), len(seen))"
    told = run(
        front, f"%%parallel for i, (x, _) in enumerate(zip('abc', 'def')) --gather ys\n{code}"
    )
    assert told.kind == "TypeError"
    told = run(
        front, f"%%parallel for i, (x, _) in enumerate(zip([1, 2], 'de')) --gather ys\n{code}"
    )
    assert told.kind is None, told.trace
    assert (
        value(front, "ys, n, seen, 'twice' in globals()") == "([(24, 1), (28, 1)], 10, [], False)"
    )


def test_what_each_item_assigns_to_the_name_is_gathered(front):
    told = run(front, "%%parallel for x in range(3) --gather y\nif x == 1: continue\ny = x * 10")
    assert told.kind is None, told.trace
    assert value(front, "y") == "[0, None, 20]"


def test_large_names_are_shared_and_each_task_may_write_to_them(front):
    run(front, "import numpy as np\nbig = np.zeros(1_000_000)")
    told = run(front, "%%parallel for x in range(6) --gather ys\nbig += 1\nfloat(big.sum()) + x")
    assert told.kind is None, told.trace
    assert value(front, "ys") == str([1e6 + i for i in range(6)])
    assert value(front, "float(big.sum())") == "0.0"


def test_what_tasks_print_appears_under_the_cell(front):
    told = run(front, "%%parallel for x in range(3)\nprint(f'<b>{x}</b>')")
    assert sorted(told.out.split()) == ["<b>0</b>", "<b>1</b>", "<b>2</b>"]
    # Progress is HTML, if it took long; what was printed never is.
    assert not any("<b>" in html for html in told.data("text/html"))


def test_errors_keep_their_type_and_point_at_the_line(front):
    run(front, "def divide(x):\n    return 1 / x")
    told = run(front, "\n%%parallel for x in [1, 0]\na = 1\nb = divide(x)")
    assert told.kind == "ZeroDivisionError"
    assert f"Cell In[{told.number}], line 4\n" in told.trace
    assert "----> 4 b = divide(x)" in told.trace
    assert "----> 2     return 1 / x" in told.trace
    assert "in item 1 of the loop: x = 0" in told.trace
    assert "nbscale" not in told.trace
    assert "while running" not in told.trace


def test_errors_of_syntax_point_at_the_line(front):
    told = run(front, "%%parallel for x in [1, 0]\na = 1\nb = = 2")
    assert told.kind == "SyntaxError"
    assert f"Cell In[{told.number}], line 3\n    b = = 2\n" in told.trace
    told = run(front, "%%parallel for x inn [1, 0]\na = 1")
    assert f"Cell In[{told.number}], line 1\n    %%parallel for x inn" in told.trace


def test_what_cannot_be_sent_is_named(front):
    run(front, "import threading\nlocks = {'a': [threading.Lock()]}")
    told = run(front, "%%parallel for x in [1, 0]\nlocks")
    assert told.kind == "TypeError"
    assert "locks['a'][0]: _thread.lock; make it inside" in told.trace
    assert run(front, "%%parallel for x in [1]\nlocks = x\nprint(locks)").out == "1\n"


def test_items_and_what_is_gathered_are_named_if_they_cannot_be_sent(front):
    run(front, "import threading")
    told = run(front, "%%parallel for x in [1, {'a': threading.Lock()}]\nx")
    assert told.kind == "TypeError"
    assert "item 1['a']: _thread.lock; make it inside" in told.trace
    told = run(front, "%%parallel for x in [1, 0] --gather ys\nys = [x or threading.Lock()]")
    assert told.kind == "TypeError"
    assert "ys[0]: _thread.lock; make it inside" in told.trace
    assert "in item 1 of the loop: x = 0" in told.trace
    told = run(front, "%%parallel for x in [1, 2] --gather ys\n[x, threading]")
    assert value(front, "ys == [[1, threading], [2, threading]]") == "True"


def test_what_a_query_reads_is_sent(front):
    run(front, "import pandas as pd\nlow, df = 1, pd.DataFrame({'a': [1, 2, 3]})")
    told = run(front, "%%parallel for x in [0, 1] --gather ys\nlen(df.query('a > @low + @x'))")
    assert told.kind is None, told.trace
    assert value(front, "ys") == "[2, 1]"


def test_exceptions_of_the_notebook_keep_their_type(front):
    run(
        front,
        "class Odd(Exception):\n    def __init__(self, a, b):\n"
        "        super().__init__(f'{a}!')\n        self.b = b",
    )
    told = run(front, "%%parallel for x in [1]\nraise Odd(1, 2)")
    assert told.kind == "Odd"
    assert "Odd: 1!" in told.trace


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--gathr ys for x in []", "unrecognized arguments"),
        ("for x in [] --gather 1", "needs a name"),
        ("for x in [1] --gather ys\nn = 1", "nothing to gather: assign ys in the cell"),
    ],
)
def test_usage(front, line, said):
    told = run(front, f"%%parallel {line}" + ("" if "\n" in line else "\n1"))
    assert said in told.out


def test_no_items(front):
    assert run(front, "%%parallel for x in [] --gather ys\n1").kind is None
    assert value(front, "ys") == "[]"


def test_an_interrupt_stops_a_loop(front):
    front.published.clear()
    request = front.start("%%parallel for x in range(4)\nprint('there')\ntime.sleep(60)")
    front.until(lambda m: m["msg_type"] == "stream")
    front.control("interrupt_request", {})
    told = Told(front, request, front.end(request, timeout=10))
    assert told.kind == "KeyboardInterrupt"
    assert run(front, "%%parallel for x in [1, 2] --gather ys\nx").kind is None
    assert value(front, "ys, ns.runs()[-2].outcome") == "([1, 2], 'cancelled')"


def test_a_loop_in_the_background(front):
    run(front, "zs = None")
    told = run(front, "%%parallel --background for x in range(3) --gather zs\ntime.sleep(0.2)\nx")
    assert told.kind is None
    assert value(front, "globals()['z' + 's']") == "None"  # at once
    assert value(front, "zs") == "[0, 1, 2]"  # a cell that names it waits for it


def test_an_error_in_the_background_is_shown_under_its_cell(front):
    front.published.clear()
    request = front.start("%%parallel --background for x in [0]\n\n1 / x")
    front.end(request)
    error_of(front, request)
    told = Told(front, request, {})
    assert told.kind == "ZeroDivisionError"
    assert "----> 3 1 / x" in told.trace


def test_work_in_the_background_can_be_waited_for_and_cancelled(front):
    started = run(front, "%%parallel --background for x in range(2) --gather ws\nx + 1")
    assert any(  # a line of progress may come first
        re.fullmatch(r"<for x in range\(2\): (running|done)>", text)
        for text in started.data("text/plain")
    )
    assert value(front, f"(Out[{started.number}].result(30), Out[{started.number}].status)") == (
        "([1, 2], 'done')"
    )
    for head in ("", " for x in [1]"):
        started = run(front, f"%%parallel --background{head}\ntime.sleep(60)\nnever = 1")
        work = f"Out[{started.number}]"
        assert run(front, f"{work}.wait(0.01)").kind == "TimeoutError"
        run(front, f"{work}.cancel()")
        assert run(front, f"{work}.wait(30)").kind == "RunCancelled"
        assert value(front, f"({work}.status, 'never' in globals())") == "('cancelled', False)"


# Cells ----------------------------------------------------------------------------------------


def test_a_cell_runs_in_a_process_of_its_own_and_its_names_come_back(front):
    run(front, "n, seen, gone = 10, [1], 1\nd = {}\ndef add(x):\n    return x + n")
    code = (
        "import math, os\nn = n + 1\nseen.append(2)\nd['a'] = seen\ndel gone\npid = os.getpid()\n"
        "y = add(1)\ndef twice(x):\n    return 2 * add(x)\nclass A:\n    def m(self):\n"
        "        return twice(self.v)\na = A()\na.v = 3"
    )
    told = run(front, f"%%parallel\n{code}")
    assert told.kind is None, told.trace
    assert value(front, "(pid != os.getpid(), n, y, seen, d, 'gone' in globals())") == (
        "(True, 11, 12, [1], {'a': [1, 2]}, False)"
    )
    # They are the notebook's own: they read what it says later, too.
    assert value(front, "(twice(1), a.m(), math.pi > 3)") == "(24, 28, True)"
    run(front, "n = 100")
    assert value(front, "(twice(1), a.m(), twice.__globals__ is globals())") == "(202, 206, True)"
    # And instances are of the class that the notebook has, there and back.
    run(front, "%%parallel\nb = A()")
    assert value(front, "isinstance(b, A)") == "True"


def test_large_names_come_and_go(front):
    run(front, "import pandas as pd\nframe = pd.DataFrame({'a': np.arange(1_000_000)})")
    told = run(front, "%%parallel\nframe['b'] = frame.a * 2\nmore = frame.b.to_numpy() + 1")
    assert told.kind is None, told.trace
    run(front, "frame.loc[0, 'a'] = 5\nmore += 1")  # what came back may be changed
    assert value(front, "(int(frame.b.sum()), int(more[-1]), int(frame.a[0]))") == (
        "(999999000000, 2000000, 5)"
    )


def test_output_appears_in_order_under_the_cell(front):
    run(front, "import matplotlib")
    code = (
        "import sys\nfrom IPython.display import display, HTML\nprint('one')\n"
        "display(HTML('<b>two</b>'))\nprint('three', file=sys.stderr)\n!echo four\n"
        "import matplotlib.pyplot as plt\nplt.plot([1, 2]);\n'five'"
    )
    told = run(front, f"%%parallel\n{code}")
    assert told.kind is None, told.trace
    shown = []
    for message in told.mine:
        content = message["content"]
        if message["msg_type"] == "stream":
            shown.append((content["name"], content["text"].strip()))
        elif message["msg_type"] == "display_data":
            data = content["data"]
            shown.append(data.get("text/html", "image/png" in data or data["text/plain"]))
    assert shown == [
        ("stdout", "one"), "<b>two</b>", ("stderr", "three"), ("stdout", "four"), "'five'", True,
    ]  # fmt: skip


def test_magics_and_await_work_in_a_cell(front):
    run(front, "def slow(x):\n    return x")
    code = "import asyncio\nawait asyncio.sleep(0)\nt = %timeit -q -n1 -r1 -o slow(1)\nk = 1;\nk;"
    told = run(front, f"%%parallel\n{code}")
    assert told.kind is None, told.trace
    assert not told.data("text/plain")
    assert value(front, "(t.loops, k)") == "(1, 1)"
    assert run(front, "%%parallel\n%%capture got\nprint('hidden')").out == ""
    assert value(front, "got.stdout") == r"'hidden\n'"


def test_errors_of_cells_keep_their_type_and_point_at_the_line(front):
    run(front, "class Odd(Exception):\n    pass\ndef divide(x):\n    return 1 / x")
    told = run(front, "%%parallel\nbefore = 1\n\ndivide(0)\nafter = 1")
    assert told.kind == "ZeroDivisionError"
    assert f"Cell In[{told.number}], line 4\n" in told.trace
    assert "----> 4 divide(0)" in told.trace
    assert "----> 4     return 1 / x" in told.trace
    assert "nbscale" not in told.trace
    assert value(front, "(before, 'after' in globals())") == "(1, False)"
    assert run(front, "%%parallel\nraise Odd(1)").kind == "Odd"
    told = run(front, "%%parallel\n\nb = = 2")
    assert told.kind == "SyntaxError"
    assert told.trace.startswith(f"  Cell In[{told.number}], line 3\n    b = = 2\n")
    assert "nbscale" not in told.trace


def test_what_cannot_come_or_go_is_named(front):
    run(front, "import threading\nlocks = {'a': [threading.Lock()]}")
    told = run(front, "%%parallel\nlocks")
    assert told.kind == "TypeError"
    assert "locks['a'][0]: _thread.lock; make it inside" in told.trace
    told = run(front, "%%parallel\nlocks = [1, threading.Lock()]\nfine = 1")
    assert told.kind is None, told.trace
    assert "not brought back: locks[1]: _thread.lock; make it" in told.out
    assert value(front, "(list(locks), fine)") == "(['a'], 1)"


def test_a_cell_computes_in_the_pool_of_the_kernel(front):
    run(front, "import nbscale.array as na\nlazy = (na.ones(1_000_000) * 3).sum()")
    code = (
        "a = ns.submit(os.getpid).result()\ns = float(lazy.compute(engine='local'))\n"
        "b = ns.gather(ns.map(abs, [-1, 2]))\nsmall = na.arange(3).sum().compute()\n"
        "deep = na.ones(3)\nfor _ in range(2000): deep = deep + 1\n"
        "deep = float(deep.compute()[0])\npid = os.getpid()\n"
        "import subprocess\n"
        "children = subprocess.run(['pgrep', '-cP', str(pid)], capture_output=True).stdout"
    )
    told = run(front, f"%%parallel\n{code}")
    assert told.kind is None, told.trace
    assert value(front, "(s, b, int(small), deep, int(children))") == (
        "(3000000.0, [1, 2], 3, 2001.0, 0)"  # it has no pool of its own
    )
    assert value(front, "a in {os.getpid(), pid}") == "False"
    assert value(front, "a in ns.gather([ns.submit(os.getpid) for _ in range(20)])") == "True"
    told = run(front, "%%parallel\ndef bad(x):\n    return 1 / x\nns.submit(bad, 0).result()")
    assert told.kind == "ZeroDivisionError"
    assert "----> 4 ns.submit(bad, 0).result()" in told.trace
    assert "----> 3     return 1 / x" in told.trace
    assert "nbscale" not in told.trace


def test_what_a_cell_puts_into_shared_memory_is_read_in_the_pool(front):
    run(front, "import numpy as np\nouter = ns.put(np.arange(1_000_000))")
    told = run(
        front,
        "%%parallel\ninner = ns.put(np.arange(1_000_000))\n"
        "takes = [ns.submit(np.take, x, 5) for x in (inner, outer) for _ in range(2)]\n"
        "taken, here = ns.gather(takes), int(outer.result()[3])\ndel takes",
    )
    assert told.kind is None, told.trace
    assert value(front, "[int(x) for x in taken], here, inner.result()[7]") == (
        "([5, 5, 5, 5], 3, np.int64(7))"
    )


@pytest.mark.parametrize(
    ("how", "said"),
    [("os._exit(3)", "ended with code 3"), ("os.kill(os.getpid(), 9)", "was ended by SIGKILL")],
)
def test_a_cell_whose_process_dies_says_so_and_the_next_one_runs(front, how, said):
    told = run(front, f"%%parallel\nlost = 1\n{how}")
    assert told.kind == "WorkerLost"
    assert said in told.trace
    assert value(front, "'lost' in globals()") == "False"
    assert run(front, "%%parallel\nprint('there')").out == "there\n"


STUBBORN = "try:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    time.sleep(60)"


@pytest.mark.parametrize(
    "code", ["time.sleep(60)", STUBBORN, "ns.gather(ns.map(time.sleep, [60] * 4))"]
)
def test_an_interrupt_stops_a_cell(front, code):
    front.published.clear()
    request = front.start(f"%%parallel\nprint('there')\n{code}")
    front.until(lambda m: m["msg_type"] == "stream")
    front.control("interrupt_request", {})
    told = Told(front, request, front.end(request, timeout=15))
    assert told.kind == "KeyboardInterrupt"
    assert "nbscale" not in told.trace
    assert run(front, "%%parallel\nagain = 1").kind is None
    assert value(front, "again, ns.submit(abs, -1).result()") == "(1, 1)"


@pytest.mark.parametrize("head", ["", " for x in [1]"])
def test_what_happens_in_the_background_is_shown_under_its_own_cell(front, head):
    front.published.clear()
    waits = "while not os.path.exists(path): time.sleep(0.01)"
    path = tempfile.mktemp()
    run(front, f"path = {path!r}")
    request = front.start(f"%%parallel --background{head}\n{waits}\nprint('below')\nb = 1 / 0")
    front.end(request)
    front.end(front.start("open(path, 'w').close()\nother = 1"))
    error_of(front, request)
    if not head:
        assert Told(front, request, {}).out == "below\n"
    told = Told(front, request, {})
    assert told.kind == "ZeroDivisionError"
    assert "----> 4 b = 1 / 0" in told.trace
    Path(path).unlink()


def test_a_cell_in_the_background(front):
    run(front, "later = None")
    started = run(front, "%%parallel --background\ntime.sleep(0.2)\nlater = os.getpid()")
    assert started.kind is None, started.trace
    assert value(front, "globals()['late' + 'r']") == "None"  # at once
    assert value(front, "later not in {None, os.getpid()}") == "True"


def test_a_cell_is_stopped_before_its_process_is_there(front):
    started = run(front, "%%parallel --background\nnever = 1")
    run(front, f"Out[{started.number}].cancel()")
    told = run(front, f"Out[{started.number}].wait(30)")
    assert told.kind in {"RunCancelled", None}  # it may have been quicker
    assert "KeyboardInterrupt" not in told.out
    assert run(front, "%%parallel\nprint('there')").out == "there\n"


def test_a_third_cell_waits_for_one_of_two(front):
    for _ in range(2):
        run(front, "%%parallel --background\ntime.sleep(60)")
    waiting = run(front, "%%parallel --background\nthird = 1")
    first = waiting.number - 2
    assert run(front, f"Out[{waiting.number}].wait(0.5)").kind == "TimeoutError"
    run(front, f"Out[{first}].cancel()")
    assert value(front, "third") == "1"
    run(front, f"Out[{first + 1}].cancel()")


def test_cells_end_with_their_kernel():
    with kernels.kernel() as front:
        run(front, "%load_ext nbscale\nimport ctypes, os, time")
        # It holds the interpreter, so no thread of its own could end it.
        front.start(
            "%%parallel\nimport ctypes\nprint(os.getpid())\ntime.sleep(0.1)\n"
            "ctypes.PyDLL(None).sleep(600)"
        )
        told = front.until(lambda m: m["msg_type"] == "stream")
        pid = int(told["content"]["text"])
        handle = os.pidfd_open(pid)
    assert select.select([handle], [], [], 20)[0], "it lives on"
    os.close(handle)


# In a plain IPython ---------------------------------------------------------------------------


@pytest.fixture
def shell():
    quiet = Config()
    quiet.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=quiet)
    assert shell.run_line_magic("load_ext", "nbscale") is None
    yield shell
    shell.run_line_magic("unload_ext", "nbscale")
    InteractiveShell.clear_instance()


def test_in_a_plain_ipython(shell, capsys):
    shell.run_cell("n = 2").raise_error()
    shell.run_cell(
        "%%parallel\nimport os\nprint('there')\npid = os.getpid()\nm = n + 1"
    ).raise_error()
    assert capsys.readouterr().out == "there\n"
    assert shell.user_ns["m"] == 3
    assert shell.user_ns["pid"] != os.getpid()
    shell.run_cell("%%parallel for x in [1, 2, 3] --gather ys\nx * n").raise_error()
    assert shell.user_ns["ys"] == [2, 4, 6]
    result = shell.run_cell("%%parallel\n\n1 / 0")
    assert isinstance(result.error_in_exec, ZeroDivisionError)
    assert "----> 3 1 / 0" in re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)


def test_the_extension_is_unloaded(shell):
    shell.run_cell("%%parallel\nm = 1").raise_error()
    assert shell.run_line_magic("unload_ext", "nbscale") is None
    assert "parallel" not in shell.magics_manager.magics["cell"]
    assert not shell.ast_transformers
    shell.run_cell("m += 1").raise_error()
    assert shell.run_line_magic("load_ext", "nbscale") is None
    shell.run_cell("%%parallel\nm += 1").raise_error()
    assert shell.user_ns["m"] == 3
