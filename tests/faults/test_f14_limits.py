"""F14: too few descriptors, processes or bytes to start: a named error, or fewer of them."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from nbscale.engines.local import forkserver
from nbscale.errors import EngineError
from nbscale.testing.jobs import plain, run, stage
from tests.engines.local.pooled import Pooled

pytestmark = pytest.mark.timeout(60)

START = """
import os, resource, sys, time
import numpy as np
from nbscale.errors import EngineError, NbscaleError
from nbscale.testing.jobs import each, everything, plain, run, stage
from tests.engines.local.pooled import Pooled

def limit(most):
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

engine = Pooled()
engine.scale(2)
def small():
    return plain(stage(0, 20, lambda index: index[0], result=0))
"""


def script(text):
    """What a process with limits of its own prints; it must end by itself, and in order."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(START) + textwrap.dedent(text)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout.strip()


def test_f14_64_descriptors_are_enough_for_a_pool():
    assert script("limit(64); print(sum(run(engine, small())))") == "190"


@pytest.mark.parametrize("more", range(1, 14, 3))
def test_f14_too_few_descriptors_to_start_are_a_named_error(more):
    said = script(
        f"""
        limit(len(os.listdir("/proc/self/fd")) + {more})
        try:
            print(sum(run(engine, small())))
        except EngineError as error:
            print("EngineError", error)
        """
    )
    assert said == "190" or said.startswith("EngineError")
    assert said == "190" or "open files" in said


def test_f14_more_large_values_than_descriptors_are_a_named_error_and_the_pool_goes_on():
    said = script(
        """
        limit(96)
        def values(n):
            a = stage(0, n, lambda index: np.full(5 << 20, index[0], np.uint8))
            b = stage(1, 1, lambda index, values: sum(int(v[0]) for v in values), everything(a), result=0)
            return plain(a, b)
        try:
            print(run(engine, values(60)))
        except Exception as error:
            print(type(error).__name__, error)
        for attempt in range(100):
            try:
                print(sum(run(engine, small())))
                break
            except EngineError:  # descriptors of dead workers come back when they are dead
                time.sleep(0.05)
        """
    )
    first, last = said.splitlines()
    assert last == "190"
    assert first == "[1770]" or (first.startswith("EngineError") and "descriptors" in first)


def test_f14_a_process_that_cannot_be_forked_is_a_named_error(monkeypatch):
    refuse = (
        "import os, errno\n"
        "def fork():\n    raise BlockingIOError(errno.EAGAIN, 'Resource temporarily unavailable')\n"
        "os.fork = fork\n"
    )
    engine = Pooled()
    engine.scale(2)
    with monkeypatch.context() as patch:
        start = f"exec({refuse!r}); {forkserver._START}"
        patch.setattr(forkserver, "_START", start)
        with pytest.raises(EngineError, match="Resource temporarily unavailable"):
            run(engine, plain(stage(0, 3, lambda index: index[0], result=0)))
        engine.close()
    assert run(engine, plain(stage(0, 3, lambda index: index[0], result=0))) == [0, 1, 2]
    engine.close()
