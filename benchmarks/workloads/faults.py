"""Workers that are killed at random times, more often than for every change."""

from __future__ import annotations

from typing import Any

from benchmarks.registry import Inputs, Measured, peer, workload


@workload("faults", options={"seeds": 300}, reference="nbscale")
def faults(_value: Any) -> dict[str, float]:
    """Every run whose workers were killed gives the right answer; what is made once is."""
    return {}


@peer("faults", "nbscale")
def _kills(inputs: Inputs):
    import os
    import subprocess
    import sys
    from pathlib import Path

    command = [sys.executable, "-m", "pytest", "-q", "-k", "f1_"]
    seeds = inputs["seeds"]

    def run() -> Measured:
        done = subprocess.run(
            [*command, "tests/faults/test_f01_f07_lost_workers.py"],
            cwd=Path(__file__).parents[2],  # each measurement has a folder of its own
            env=os.environ | {"NBSCALE_FAULT_SEEDS": str(seeds)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise AssertionError(
                f"{done.stdout[-2000:]}\nsee `NBSCALE_FAULT_SEEDS={seeds} {' '.join(command[1:])}`"
            )
        return Measured(None, {"seeds": seeds})

    return run
