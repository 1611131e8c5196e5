"""Interrupts in a real kernel: the prompt is back, the workers are idle, the next cell works."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from jupyter_client.manager import KernelManager

from nbscale.testing.board import PATIENCE, Board, wait_until
from tests import pools
from tests.engines.local.pooled import SLACK, alive, ticks

SETUP = """
import sys, time, hashlib
sys.path.insert(0, {root!r})
try:
    import sklearn.linear_model
except ImportError:
    pass
import numpy as np
import pandas as pd
import nbscale as ns
import nbscale.dataframe as nd
from pathlib import Path
from nbscale.testing.board import Board
from nbscale.testing.jobs import plain, stage, run
from nbscale.engines.local import LocalEngine

board = Board(Path({folder!r}))
engine = LocalEngine()
engine.scale(2)
df = nd.from_pandas(pd.DataFrame({{"x": np.arange(100_000)}}), npartitions=20)

def spin(index):
    board.mark("begun")
    n = 0
    while True:
        n += 1

def sleep(index):
    board.mark("begun")
    time.sleep(600)

def sort(index):
    board.mark("begun")
    values = np.random.rand(500_000)
    while True:
        np.sort(values)

def slow(part):
    if len(part) > 1000:  # no sample
        board.mark("begun")
        time.sleep(0.2)
    return part

def swallow(index):
    board.mark("begun")
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass

def stubborn(index):
    board.mark("begun")
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)

def tasks(kernel):
    return run(engine, plain(stage(0, 6, kernel, result=0)))

assert tasks(lambda index: index[0]) == list(range(6))
assert int(df.x.sum().compute(engine="local")) == 4999950000
"""

CELLS = {
    "spin": "tasks(spin)",
    "sleep": "tasks(sleep)",
    "sort": "tasks(sort)",
    "frame": "df.map_partitions(slow).x.sum().compute(engine='local')",
}

NEXT = """
assert tasks(lambda index: index[0]) == list(range(6))
assert int(df.x.sum().compute(engine="local")) == 4999950000
"""


class Kernel:
    def __init__(self, folder):
        self.board = Board(folder)
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel()
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)
        self.pid = self.manager.provisioner.pid

    def begin(self, code):
        # A kernel drops what it was sent just after an error, unless it is told not to.
        self.asked = self.client.execute(code, store_history=False, stop_on_error=False)

    def end(self):
        """The name of the error that the cell ended in, or ''."""
        while True:  # there may be late answers to whether the kernel is ready
            message = self.client.get_shell_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") == self.asked:
                break
        reply = message["content"]
        return "" if reply["status"] == "ok" else reply["ename"]

    def processes(self):
        """Process numbers of the workers."""
        parents = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
        children = {pid for pid, parent in parents.items() if parent == self.pid}
        return {pid for pid, parent in parents.items() if parent in children}

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    kernel = Kernel(folder)
    kernel.begin(SETUP.format(root=str(Path(__file__).parents[3]), folder=str(folder)))
    assert kernel.end() == ""
    yield kernel
    kernel.close()


def are_idle(pids):
    """Whether processes use no processor for a while; those that were killed do not."""

    def used():
        found = {}
        for pid in pids:
            try:
                found[pid] = ticks(pid)
            except OSError:
                continue
        return found

    before = used()
    time.sleep(0.05)
    after = used()
    return all(before[pid] == used for pid, used in after.items())


def interrupt(kernel, code, mark, delay, count=1):
    """Interrupt a cell so long after a mark; return the error and what took how long."""
    for name in ("here", "begun"):
        (kernel.board._folder / name).unlink(missing_ok=True)
    pids = kernel.processes()
    kernel.begin(f"board.mark('here')\n{code}")
    kernel.board.wait(mark, count)
    time.sleep(delay)
    start = time.monotonic()
    kernel.manager.interrupt_kernel()
    error = kernel.end()
    prompt = time.monotonic() - start
    wait_until(lambda: are_idle(pids), "idle workers")
    idle = time.monotonic() - start
    start = time.monotonic()
    kernel.begin(NEXT)
    assert kernel.end() == "", (code, mark, delay, error)
    return error, prompt, idle, time.monotonic() - start


def test_an_interrupt_at_any_time(kernel):
    slow = []
    for seed in range(30):
        chance = random.Random(seed)
        name = chance.choice(list(CELLS))
        # Some while it is planned and sent, some while it runs.
        when = ("here", chance.uniform(0, 0.01)) if seed % 2 else ("begun", chance.uniform(0, 0.1))
        error, *took = interrupt(kernel, CELLS[name], *when)
        assert error == "KeyboardInterrupt", (seed, name)
        prompt, idle, following = took
        if prompt > 0.5 * SLACK or idle > 2 * SLACK or following > 1 * SLACK:
            slow.append((seed, name, *took))
    assert not slow


@pytest.mark.parametrize("name", ["swallow", "stubborn"])
def test_a_task_that_does_not_stop_is_killed(kernel, name):
    before = kernel.processes()
    error, prompt, _, following = interrupt(kernel, f"tasks({name})", "begun", 0.05, 2)
    assert error == "KeyboardInterrupt"
    assert prompt < 0.5 * SLACK
    assert following < 2 * SLACK
    wait_until(lambda: sum(map(alive, before)) <= len(before) - 2, "the end of the stubborn ones")


def test_two_interrupts_at_once(kernel):
    kernel.board._folder.joinpath("begun").unlink(missing_ok=True)
    kernel.begin("tasks(sleep)")
    kernel.board.wait("begun", 1)
    kernel.manager.interrupt_kernel()
    kernel.manager.interrupt_kernel()
    assert kernel.end() == "KeyboardInterrupt"
    kernel.begin(NEXT)
    # The second may hit the next cell.
    if kernel.end():
        kernel.begin(NEXT)
        assert kernel.end() == ""


def test_prints_come_to_the_cell(kernel):
    kernel.begin("tasks(lambda index: print('hello', index[0]))")
    assert kernel.end() == ""
    text = ""

    def printed():
        nonlocal text
        message = kernel.client.get_iopub_msg(timeout=PATIENCE)
        text += message["content"].get("text", "")
        return sum(map(str.isdigit, text)) >= 6 and text.count("hello") >= 6

    wait_until(printed)
    # Of two workers that print at once the parts of a line may come mixed.
    assert sorted(filter(str.isdigit, text)) == list("012345")


def test_an_exception_of_the_notebook_is_caught(kernel):
    kernel.begin(
        "class Mine(Exception): pass\n"
        "def fails(index): raise Mine('mine')\n"
        "from nbscale.expr.function import capture\n"
        "try:\n    tasks(capture(fails))\nexcept Mine as error:\n    assert str(error) == 'mine'\n"
        "else:\n    assert False"
    )
    assert kernel.end() == ""
    kernel.begin("tasks(capture(fails))")
    assert kernel.end() == "Mine"


def test_a_kernel_that_is_restarted_leaves_nothing(kernel):
    before = kernel.processes()
    assert before
    kernel.manager.restart_kernel(now=True)
    pools.fixtures.add(kernel.manager.provisioner.pid)
    wait_until(lambda: not any(map(alive, before)), "the end of the workers")
