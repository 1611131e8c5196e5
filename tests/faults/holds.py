"""What must hold after every fault.

1. The answer is right, or it is the named error: each test says which.
2. The same pool computes, within seconds.
3. The text of an error is short, and shows no frame of nbscale's.
4. Nothing is left over: processes, threads, descriptors, shared memory, folders, memory of the kernel.
5. It takes bounded time: every test has a timeout, and what is waited for has one.
6. The scheduler's counts are right, and no thread has raised what nobody caught.

Part of 4, and 6, are checked after every test of any kind: see ``tests/pools.py``.
"""

from __future__ import annotations

import gc
import time
import traceback
from pathlib import Path

import pytest

import nbscale
from nbscale.testing import leaks
from nbscale.testing.board import wait_until
from nbscale.testing.jobs import plain, run, stage
from tests import pools
from tests.engines.local.pooled import SLACK

LINES = 12
"""Lines that an error may take, beside the frames of the user's own functions."""

GROWTH = 8 << 20
"""Bytes that the kernel may have more in use afterwards: what libraries keep, not values."""

_HOME = str(Path(nbscale.__file__).parent)


class Whole:
    """A pool as it was before a fault."""

    def __init__(self, engine):
        self.engine = engine
        engine.wait_ready()
        self.compute()
        self.driver = engine.driver
        gc.collect()
        self.descriptors = held()
        self.memory = leaks.allocated()

    def compute(self):
        assert run(self.engine, plain(stage(0, 3, lambda index: index[0], result=0))) == [0, 1, 2]

    def check(self):
        """Fail if the pool is not as it was."""
        begun = time.monotonic()
        self.compute()
        assert time.monotonic() - begun < 5 * SLACK
        assert self.engine.driver is self.driver
        self.engine.wait_ready()
        end = time.monotonic() + pools.PATIENCE
        while (more := self.more()) and time.monotonic() < end:
            gc.collect()
            time.sleep(0.005)
        assert not more, more

    def more(self):
        """What there is more than before."""
        now = held()
        found = {
            kind: count - self.descriptors[kind]
            for kind, count in now.items()
            if count > self.descriptors[kind] and not kind.startswith("/")
        }
        if self.driver.segments.nbytes:
            found["bytes of values"] = self.driver.segments.nbytes
        # Spare segments lie in memory that is shared, which this does not count.
        grown = leaks.allocated() - self.memory
        if grown > GROWTH:
            found["bytes of memory"] = grown
        return found


def held():
    """The descriptors of this process, but for memory that the store answers for."""
    found = leaks.holdings().descriptors
    found["memory"] -= pools.known_memory()
    return found


def fails(kind, call, *says):
    """Make a call that must fail; check what the user is shown, and return the error."""
    with pytest.raises(kind) as raised:
        call()
    error = raised.value
    assert type(error) is kind, f"{type(error)}: {error}"
    text = said(error)
    for word in says:
        assert word in text, text
    assert len(text.splitlines()) <= LINES, text
    return error


def said(error):
    """What is said of an error and its causes, beside frames, none of which is nbscale's own.

    But the last that every error passes through, which a notebook does not show.
    """
    told = traceback.TracebackException.from_exception(error)
    seen = one = told
    allowed = 1
    while one is not None:
        ours = [frame for frame in one.stack if frame.filename.startswith(_HOME)]
        assert len(ours) <= allowed, ours
        one.stack.clear()
        allowed, seen = 0, one
        one = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "".join(told.format())


def is_usable(engine):
    """Whether the pool computes."""
    wanted = list(range(9))
    return run(engine, plain(stage(0, 9, lambda index: index[0], result=0))) == wanted


def all_dead(pids, alive):
    wait_until(lambda: not any(map(alive, pids)), "the end of processes")
