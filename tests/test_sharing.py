"""Shared memory: copied once, seen by all, changed by none, and given back."""

from __future__ import annotations

import builtins
import gc
import os
import re
import signal
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import nbscale as ns
from nbscale.session import current
from nbscale.store.shared import trim
from nbscale.testing.board import Board, wait_until

MB = 1 << 20


def copied():
    """Bytes of this process that no file and nobody else has: what it made or has changed."""
    text = Path("/proc/self/smaps_rollup").read_text()
    return 1024 * int(re.search(r"^Anonymous: +(\d+) kB", text, re.MULTILINE)[1])


def inode(array):
    """The file that the memory of an array is mapped from."""
    address = array.__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(part, 16) for part in line.split()[0].split("-"))
        if start <= address < end:
            return line.split()[4]
    return None


def segments():
    """Shared memory that this process or one of the pool's has open: those that last alone."""
    found = set()
    for fd in Path("/proc/self/fd").iterdir():
        try:
            if str(fd.readlink()).startswith("/memfd:nbscale"):
                found.add(fd.stat().st_ino)
        except OSError:
            continue
    return found


def look(array):
    before = copied()
    total = float(array.sum())
    return os.getpid(), inode(array), total, copied() - before


def test_tasks_see_one_memory_and_copy_nothing():
    array = np.ones(64 * MB // 8)
    put = ns.put(array)
    looks = ns.gather([ns.submit(look, put) for _ in range(20)])
    assert len({one[1] for one in looks}) == 1
    assert looks[0][1] == inode(put.result()) != inode(array)
    assert {one[2] for one in looks} == {float(array.size)}
    assert max(one[3] for one in looks) < 8 * MB


def test_what_one_changes_no_other_sees():
    array = np.arange(100_000.0)
    put = ns.put(array)

    def change(mine):
        first = mine[0]
        mine[:] = -1
        return first, mine[0]

    array[0] = 7
    put.result()[0] = 5
    assert set(ns.gather(ns.map(change, [put] * 20))) == {(0, -1)}
    assert put.result()[0] == 0


def test_in_every_place_of_arguments():
    array = np.arange(50_000.0)
    put = ns.put(array)

    def total(first, *, more, deep):
        assert first is more["a"][0]
        return first.sum() + more["a"][1] + deep[0].sum()

    future = ns.submit(total, put, more={"a": [put, ns.submit(abs, -1)]}, deep=(put,))
    assert future.result() == 2 * array.sum() + 1
    assert ns.submit(lambda: put.result().sum()).result() == array.sum()
    assert (ns.gather({"a": put})["a"] == array).all()
    assert put.done()
    assert not put.cancel()
    assert next(ns.as_completed([put])) is put


def test_frames_and_small_values():
    frame = pd.DataFrame({"x": range(50_000), "s": ["a", "b"] * 25_000})
    scattered = ns.scatter({"frame": frame, "n": 3}, broadcast=True, hash=False)
    assert ns.submit(lambda d: d["frame"].x.sum() + d["n"], scattered).result() == frame.x.sum() + 3
    pd.testing.assert_frame_equal(scattered["frame"].result(), frame)
    assert ns.gather(ns.map(len, ns.scatter([[1], [1, 2], list(range(10_000))]))) == [1, 2, 10_000]
    assert type(ns.scatter((1, 2))) is tuple
    with pytest.raises(TypeError, match="'colour'"):
        ns.scatter([1], colour=2)


def test_the_values_of_a_list_share_memory():
    parts = ns.scatter([np.full(10_000, i) for i in range(50)])
    assert len({part.kept._memory for part in parts}) == 1
    assert ns.gather(ns.map(np.max, parts)) == list(range(50))


def reader(put):
    return lambda: put.result().sum()


def test_it_is_given_back_when_nobody_has_it():
    gc.collect()
    trim(0)
    put = ns.put(np.ones(MB))
    there, mine = weakref.ref(put.kept._memory), os.fstat(put.kept._memory.fd).st_ino
    results = [ns.submit(np.sum, put), ns.submit(reader(put))]
    assert ns.gather(results) == [MB, MB]
    assert mine in segments()
    del put  # the results are kept, and nothing is collected
    wait_until(lambda: there() is None)

    def worker_has(number):
        return number in segments()

    wait_until(lambda: mine not in segments() or trim(0))
    wait_until(lambda: not any(ns.gather(ns.map(worker_has, [mine] * 8))))


def test_closing_gives_back_what_nobody_has():
    current().close()
    gc.collect()
    before = segments()
    put = ns.put(np.ones(MB))
    ns.gather(ns.map(np.sum, [put] * 4))
    del put
    current().close()
    wait_until(lambda: segments() <= before)


KILLED = """
import os, sys, time
import numpy as np
import nbscale as ns

if __name__ == "__main__":
    put = ns.put(np.ones(1 << 20))
    ns.gather(ns.map(np.sum, [put] * 4))
    running = ns.map(lambda array: time.sleep(600), [put] * 2)
    ns.wait(running, timeout=0)
    print(os.fstat(put.kept._memory.fd).st_ino, flush=True)
    time.sleep(600)
"""


def who_has(number):
    """Processes that have a descriptor or a map of that shared memory."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            maps = [line.split() for line in (process / "maps").read_text().splitlines()]
            if any(
                f"{number}" == line[4] and "memfd:nbscale" in line[5] for line in maps if line[5:]
            ):
                found.add(process.name)
            for fd in (process / "fd").iterdir():
                if "memfd:nbscale" in str(fd.readlink()) and fd.stat().st_ino == number:
                    found.add(process.name)
        except OSError:
            continue
    return found


def test_nothing_is_left_of_it_when_the_kernel_is_killed():
    kernel = subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True)
    try:
        number = int(kernel.stdout.readline())
        wait_until(lambda: len(who_has(number)) > 1)  # a worker has it, too
    finally:
        kernel.kill()
        kernel.wait()
        kernel.stdout.close()
    wait_until(lambda: not who_has(number))


def hold(array):
    builtins.held_by_a_test = array


def held():
    array = vars(builtins).pop("held_by_a_test", None)
    return None if array is None else int(array.sum())


def test_a_task_may_keep_what_it_got():
    put = ns.put(np.arange(100_000))
    there = weakref.ref(put.kept._memory)
    ns.gather(ns.map(hold, [put] * 20))
    del put
    wait_until(lambda: there() is None)
    found = [ns.submit(held).result() for _ in range(20)]
    assert np.arange(100_000).sum() in found


def test_a_worker_that_dies_has_lost_nothing(tmp_path):
    board = Board(tmp_path)
    put = ns.put(np.ones(100_000))

    def die_once(array):
        if not board.count("died"):
            board.mark("died")
            os.kill(os.getpid(), signal.SIGKILL)
        return array.sum()

    assert ns.gather(ns.map(die_once, [put] * 5)) == [100_000.0] * 5


def test_it_outlives_the_pool():
    put = ns.put(np.ones(100_000))
    assert ns.submit(np.sum, put).result() == 100_000
    current().close()
    assert put.result().sum() == 100_000
    assert ns.submit(np.sum, put).result() == 100_000


@pytest.mark.parametrize("engine", ["inline", "threads"])
def test_on_other_engines(engine):
    ns.config.set(engine=engine)
    put = ns.put(np.zeros(100_000))
    ns.submit(np.ndarray.fill, put, 3).result()
    assert ns.submit(np.sum, [put, put]).result() == 0
    assert ns.submit(np.sum, ns.submit(np.add, put, 1)).result() == 100_000


def test_inside_a_task_and_out_of_it():
    def inner():
        put = ns.put(np.ones(100_000))
        return put, ns.submit(np.sum, [put, put]).result()

    put, total = ns.submit(inner).result()
    assert (total, put.result().sum()) == (200_000, 100_000)
    assert ns.submit(np.sum, put).result() == 100_000


def test_in_collections_and_delayed_it_goes_by_value():
    put = ns.put(np.ones(100_000))
    assert ns.delayed(lambda: put.result().sum())().compute() == 100_000


def test_what_cannot_be_put_is_named():
    with pytest.raises(TypeError, match=r"value\['a'\]\[0\]: _thread.lock"):
        ns.put({"a": [threading.Lock()]})
    with pytest.raises(TypeError, match=r"data\[1\]: _thread.lock"):
        ns.scatter([1, threading.Lock()])
    with pytest.raises(
        TypeError, match=r"value\[0\]: nbscale.futures.future.Future; give it as an argument"
    ):
        ns.put([ns.submit(abs, -1)])


def test_what_does_not_fit_is_refused_before_it_is_copied():
    ns.config.set(memory_limit="8 MB")
    with pytest.raises(MemoryError, match="memory_limit"):
        ns.put(np.ones(2 * MB))
