"""The guard of the oracle on rows that merge, too slow for every change."""

from __future__ import annotations

from typing import Any

from benchmarks.registry import Inputs, Measured, peer, workload


@workload("guard_joins", reference="nbscale")
def guard_joins(_value: Any) -> dict[str, float]:
    """No task of a merge or join reads or holds more than its share."""
    return {}


@peer("guard_joins", "nbscale")
def _every_join(inputs: Inputs):
    del inputs
    import os
    import subprocess
    import sys
    from pathlib import Path

    command = [sys.executable, "-m", "pytest", "-q", "--timeout", "300", "-k", "merge or join"]

    def run() -> Measured:
        done = subprocess.run(
            [*command, "tests/oracle/test_guard.py"],
            cwd=Path(__file__).parents[2],  # each measurement has a folder of its own
            env=os.environ | {"NBSCALE_LONG": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        last = done.stdout.strip().splitlines()[-1]
        if done.returncode:
            raise AssertionError(f"{last}; see `NBSCALE_LONG=1 {' '.join(command[1:])}`")
        return Measured(None, {"rows": int(last.split()[0])})

    return run
