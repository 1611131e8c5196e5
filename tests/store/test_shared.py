"""Memory that outlives runs: used again when nobody reads it, and by nobody but who made it."""

from __future__ import annotations

import gc
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from nbscale.errors import NbscaleError, Stuck
from nbscale.store import shared
from nbscale.store.shared import accept, held, keep, keep_all, naming, offer, trim

MB = 1 << 20


@pytest.fixture(autouse=True)
def nothing_spare():
    """Start from nothing, whatever was tested before in this process."""
    gc.collect()
    trim(0)
    before = held()
    yield
    gc.collect()
    trim(0)
    assert held() <= before


def ones(n=2 * MB):
    return np.ones(n, np.uint8)


def inode(kept):
    return os.fstat(kept._memory.fd).st_ino


def test_memory_that_nobody_has_is_used_for_the_next_value():
    first = keep(ones())
    there = inode(first)
    assert first.value()[0] == 1
    del first
    second = keep(ones(3 * MB) * 2)  # it grows
    assert inode(second) == there
    assert set(second.value()) == {2}
    del second
    third = keep(ones() * 3)  # and shrinks
    assert inode(third) == there
    assert os.fstat(third._memory.fd).st_size < 2 * MB + 4096


def test_what_is_still_read_here_is_not():
    first = keep(ones())
    there, read = inode(first), first.value()
    part = read[5:]
    del first, read
    assert inode(keep(ones() * 2)) != there
    assert set(part) == {1}
    del part
    again = keep(ones() * 3), keep(ones() * 4)
    assert there in map(inode, again)


def forked(run):
    """Have a forked child run something after a word; returns what has it run and end."""
    (wait, go), (done, tell) = os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(tell, b"1")
            os.read(wait, 1)
            os.write(tell, b"y" if run() else b"n")
        finally:
            os._exit(0)
    assert os.read(done, 1) == b"1"

    def end():
        os.write(go, b"1")
        said = os.read(done, 1)
        os.waitpid(pid, 0)
        for fd in (wait, go, done, tell):
            os.close(fd)
        return said == b"y"

    return end


def test_what_is_read_by_another_process_is_not():
    first = keep(ones())
    there, read = inode(first), [first.value()]
    end = forked(lambda: set(read[0]) == {1})
    del first
    read.clear()
    assert inode(keep(ones() * 2)) != there
    assert end()
    both = keep(ones() * 3), keep(ones() * 4)
    assert there in map(inode, both)


def test_a_forked_process_does_not_use_its_parents():
    first = keep(ones())
    there, name = inode(first), first._memory.name
    spare = keep(ones())
    also = inode(spare)
    del spare

    def run():
        nonlocal first
        first = None
        return inode(keep(ones() * 2)) not in (there, also)

    assert forked(run)()
    assert first._memory.name == name
    assert set(first.value()) == {1}


def test_spare_memory_is_bounded_and_counted(monkeypatch):
    monkeypatch.setattr(shared, "_SPARE", 5 * MB)
    before = held()
    kept = [keep(ones()) for _ in range(4)]
    small = keep(np.ones(20_000))
    assert held() - before > 8 * MB
    del kept, small
    assert 4 * MB < held() - before < 5 * MB
    trim(3 * MB)
    assert 2 * MB < held() - before < 3 * MB


def test_what_is_not_what_was_told_is_an_error(monkeypatch):
    first = keep(ones())
    make, args = naming(first.__reduce_ex__, 5)[0]
    other = keep(ones())
    fd = other._memory.fd
    monkeypatch.setattr(shared, "_fetch", lambda name: fd)
    assert set(make(*args).value()) == {1}  # it is known here
    del first
    with pytest.raises(Stuck, match="while it was in use"):
        make(*args)
    monkeypatch.setattr(shared, "_fetch", None)
    with pytest.raises(NbscaleError, match="does not share it"):
        make(*args)


def test_small_values_need_no_memory_and_middling_ones_share_it():
    kept = keep_all([1, np.ones(10_000), "a", np.zeros(10_000), ones(5 * MB)])
    values = [one.value() for one in kept]
    assert (values[0], values[2]) == (1, "a")
    assert (values[1].sum(), values[3].sum(), values[4].sum()) == (10_000, 0, 5 * MB)
    memories = [one._memory for one in kept]
    assert memories[0] is memories[2] is None
    assert memories[1] is memories[3] is not memories[4]


def test_without_a_descriptor_it_says_what_to_do(monkeypatch):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = os.open("/dev/null", os.O_RDONLY)
    os.close(used)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1, hard))
        with pytest.raises(OSError, match="scatter a list"):
            keep(ones())  # one for the memory, none for the lock
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    again = os.open("/dev/null", os.O_RDONLY)
    os.close(again)
    assert again == used


def test_memory_is_offered_to_another_process_and_is_never_pickled():
    kept = keep(np.arange(100_000))
    memory = kept._memory
    with pytest.raises(TypeError, match="offer"):
        pickle.dumps(memory)
    code = (
        "import sys, json; from nbscale.store.shared import Kept, accept\n"
        "memory = accept(json.loads(sys.argv[1]))\n"
        "print(Kept(memory, b'', *map(int, sys.argv[2:])).value()[7])"
    )
    sent = [json.dumps(offer(memory)), str(kept._start), str(kept.nbytes)]
    done = subprocess.run(
        [sys.executable, "-c", code, *sent], capture_output=True, text=True, check=True
    )
    assert done.stdout == "7\n"
    assert accept(offer(memory)) is memory
