"""The long checks of safety: whether changes of the code are noticed, and many tampered frames."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.registry import Inputs, Measured, peer, workload

_ROOT = Path(__file__).parents[2]


def _said(command: list[str]) -> str:
    """What a command says, or an error with its last lines."""
    done = subprocess.run(
        command,
        cwd=_ROOT,  # each measurement has a folder of its own
        env=os.environ | {"NBSCALE_LONG": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise AssertionError("\n".join((done.stdout + done.stderr).strip().splitlines()[-5:]))
    return done.stdout


@workload("mutations", options={"sample": 300, "seed": 0}, reference="frames")
def mutations(_value: Any) -> dict[str, float]:
    """Of the changes of one place at a time, 85 % must be noticed by tests."""
    return {}


def _of(target: str):
    def prepare(inputs: Inputs):
        def run() -> Measured:
            options = [f"--{name}={inputs[name]}" for name in ("sample", "seed")]
            said = _said([sys.executable, "-m", "benchmarks.mutants", target, *options])
            caught, _, count, *_ = said.strip().splitlines()[-1].split()
            return Measured(None, {"caught": int(caught), "tried": int(count)})

        return run

    return prepare


for _target in ("frames", "scheduler"):
    peer("mutations", _target)(_of(_target))


@workload("tampered_frames", reference="nbscale")
def tampered_frames(_value: Any) -> dict[str, float]:
    """A hundred times as many tampered frames as in the suite, none of which may be read."""
    return {}


@peer("tampered_frames", "nbscale")
def _fuzz(inputs: Inputs):
    del inputs
    command = [sys.executable, "-m", "pytest", "-q", "--timeout", "3000"]

    def run() -> Measured:
        said = _said([*command, "tests/comm/test_frame_fuzz.py"])
        return Measured(None, {"tests": int(said.strip().splitlines()[-1].split()[0])})

    return run
