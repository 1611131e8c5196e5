"""``%%parallel`` in a real kernel, as a front end sees it."""

from __future__ import annotations

import importlib.util
import re
import time
from pathlib import Path

import pytest

# The tests are no package: what they share is loaded by its path.
_spec = importlib.util.spec_from_file_location("kernels", Path(__file__).with_name("kernels.py"))
kernels = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(kernels)

SLACK = 1.3
"""What a machine with other work may take longer."""


@pytest.fixture(scope="module")
def front():
    with kernels.kernel() as front:
        start = "%load_ext nbscale\nimport os, time\nimport nbscale as ns\n_ = ns.config.set(n_workers=2)"
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
    assert not told.data("text/html")


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
    front.until(lambda m: m["msg_type"] == "error")
    told = Told(front, request, {})
    assert told.kind == "ZeroDivisionError"
    assert "----> 3 1 / x" in told.trace
