"""The fresh process in which one peer runs once; started by ``measure``, never by hand.

Reads what to do from standard input as JSON, and reports on the file descriptor it is told, a
line of JSON at a time: that the timed part begins, that it has ended, and what came of it. The
clock is read here, so that neither the start of the process nor the way to the parent counts.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.proctree import cpu_seconds, descendants, memory_mb
from benchmarks.registry import WORKLOADS, Measured, Missing, Workload


def _tree_cpu() -> float:
    """CPU seconds of this process, of children waited for, and of all that live below it."""
    waited = resource.getrusage(resource.RUSAGE_CHILDREN)
    living = cpu_seconds(descendants(os.getpid()))
    return time.process_time() + waited.ru_utime + waited.ru_stime + living


def _forget_peak() -> None:
    """Let the kernel count the peak of resident memory from here on."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")


def _run(workload: Workload, peer: str, inputs: dict[str, Any], report: Any) -> dict[str, Any]:
    prepare = workload.peers[peer].prepare
    assert prepare is not None, f"{peer} is a script, which runs without this module"
    timed = prepare(inputs)
    gc.collect()
    _forget_peak()
    before_mb, _ = memory_mb(os.getpid())
    report({"event": "begin"})
    cpu = _tree_cpu()
    began = time.perf_counter()
    value = timed()
    wall = time.perf_counter() - began
    cpu = _tree_cpu() - cpu
    _, peak_mb = memory_mb(os.getpid())
    report({"event": "end"})
    measures = {
        "wall_s": wall,
        "cpu_s": cpu,
        "peak_mb": peak_mb,
        "grown_mb": max(peak_mb - before_mb, 0.0),
    }
    if isinstance(value, Measured):
        measures.update(value.measures)
        value = value.value
    answer = {key: float(number) for key, number in workload.answer(value).items()}
    return {"event": "done", "measures": measures, "answer": answer}


def main() -> None:
    """Do what standard input says."""
    order = json.load(sys.stdin)
    importlib.import_module(order["module"])
    workload = WORKLOADS[order["workload"]]
    with os.fdopen(order["report"], "w") as pipe:

        def report(message: dict[str, Any]) -> None:
            pipe.write(json.dumps(message) + "\n")
            pipe.flush()

        try:
            if order["do"] == "setup":
                inputs = workload.setup(order["inputs"]) if workload.setup else order["inputs"]
                report({"event": "done", "inputs": inputs})
            else:
                report(_run(workload, order["peer"], order["inputs"], report))
        except (ImportError, Missing) as error:
            report({"event": "missing", "error": str(error)})
            raise


if __name__ == "__main__":
    main()
