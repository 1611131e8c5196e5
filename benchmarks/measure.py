"""Run one peer once, in a fresh process, and measure it from outside while it runs.

The parent imports nothing heavy: it only waits, and reads memory from /proc now and then. Wall
and CPU seconds of a function peer are its own report; those of a script are taken here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from typing import Any

from benchmarks.proctree import descendants, memory_mb, pss_mb
from benchmarks.registry import Inputs, Peer, Workload
from benchmarks.rows import ROOT, Row

__all__ = ["REMOVED", "BrokenSetup", "environment", "run", "set_up"]

REMOVED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTHONDONTWRITEBYTECODE")
"""What no user sets: OpenBLAS taking this processor for another, and Python compiling what was
not installed by pip at every start, which only a checkout pays for."""

_PERIOD = 0.02
_TREE_PERIOD = 0.2
"""Seconds between samples, and between looks for new processes and at shared pages: both read
the page tables or every process of the machine, so they would slow what is measured."""


class BrokenSetup(RuntimeError):
    """The inputs of a workload could not be made."""


def environment(*, path: bool) -> tuple[dict[str, str], list[str]]:
    """Return the environment of a run, and which variables were taken out of it.

    Parameters
    ----------
    path
        Whether the run finds this checkout's ``benchmarks``; a script does not.
    """
    variables = dict(os.environ)
    removed = [name for name in REMOVED if variables.pop(name, None) is not None]
    if path:
        variables["PYTHONPATH"] = str(ROOT)
    return variables, removed


@dataclasses.dataclass(slots=True)
class _Peaks:
    """The most memory that was seen."""

    rss: float = 0.0
    pss: float = 0.0
    tree: tuple[int, ...] = ()
    looked: float = -1.0

    def sample(self, root: int, now: float) -> None:
        look = now - self.looked >= _TREE_PERIOD
        if look:
            self.looked = now
            self.tree = tuple(descendants(root))
        rss, most = memory_mb(root)
        if not self.tree:
            # Alone, a process knows its own peak exactly, and next to nothing of it is shared.
            self.rss = max(self.rss, most)
            self.pss = max(self.pss, most)
            return
        self.rss = max(self.rss, rss + sum(memory_mb(pid)[0] for pid in self.tree))
        if look:
            self.pss = max(self.pss, sum(pss_mb(pid) for pid in (root, *self.tree)))


@dataclasses.dataclass(slots=True)
class _Outcome:
    """What came of a process."""

    messages: dict[str, dict[str, Any]]
    peaks: _Peaks
    wall: float
    cpu: float
    code: int
    output: str
    timed_out: bool


def _watch(words: list[str], order: dict[str, Any] | None, timeout: float) -> _Outcome:
    """Start a process, watch it to its end, and stop it with all below it when it takes too long."""
    variables, _ = environment(path=order is not None)
    reading, writing = os.pipe()
    peaks = _Peaks()
    messages: dict[str, dict[str, Any]] = {}
    buffer = b""
    timed_out = False
    with tempfile.TemporaryFile() as output, tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        process = subprocess.Popen(
            words,
            env=variables,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(writing,),
            start_new_session=True,
        )
        os.close(writing)
        assert process.stdin is not None
        if order is not None:
            process.stdin.write(json.dumps({**order, "report": writing}).encode())
        process.stdin.close()
        ended = os.pidfd_open(process.pid)
        sources = [ended, reading]
        while True:
            ready, _, _ = select.select(sources, [], [], _PERIOD)
            now = time.perf_counter()
            if reading in ready:
                piece = os.read(reading, 65536)
                buffer += piece
                if not piece:
                    sources.remove(reading)
                *lines, buffer = buffer.split(b"\n")
                for line in lines:
                    message = json.loads(line)
                    messages[message["event"]] = message
                    if message["event"] == "begin":
                        peaks = _Peaks()
                continue
            if ended in ready:
                break
            if order is None or ("begin" in messages and "end" not in messages):
                peaks.sample(process.pid, now)
            if now - began > timeout:
                timed_out = True
                break
        if timed_out:
            # Pools put processes into sessions of their own, where the signal below finds none.
            for pid in descendants(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        # Not yet waited for, the process still holds its number: the group can be no other's.
        os.killpg(process.pid, signal.SIGKILL)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        os.close(ended)
        os.close(reading)
        output.seek(0)
        text = output.read().decode(errors="replace")
    cpu = used.ru_utime + used.ru_stime
    return _Outcome(messages, peaks, wall, cpu, process.returncode, text, timed_out)


def _order(workload: Workload, do: str, peer: str, inputs: Inputs) -> dict[str, Any]:
    return {
        "do": do,
        "module": workload.module,
        "workload": workload.name,
        "peer": peer,
        "inputs": inputs,
    }


def set_up(workload: Workload, options: dict[str, int], timeout: float = 3600) -> Inputs:
    """Make the inputs of a workload, in a process of its own: this one is to stay small.

    Raises
    ------
    BrokenSetup
        If that process fails.
    """
    words = [sys.executable, "-m", "benchmarks.child"]
    outcome = _watch(words, _order(workload, "setup", "", options), timeout)
    if "done" not in outcome.messages:
        msg = f"the inputs of {workload.name} could not be made:\n{outcome.output[-2000:]}"
        raise BrokenSetup(msg)
    inputs: Inputs = outcome.messages["done"]["inputs"]
    return inputs


def run(
    workload: Workload,
    peer: Peer,
    inputs: Inputs,
    *,
    options: dict[str, int],
    number: int,
    session: int,
    timeout: float = 600,
) -> Row:
    """Run a peer once and return its row, whatever happens to it."""
    load = os.getloadavg()[0]
    when = datetime.now(UTC).isoformat(timespec="seconds")
    words = [sys.executable, "-m", "benchmarks.child"]
    if peer.script is not None:
        outcome = _watch([sys.executable, "-c", peer.script], None, timeout)
        done = _script_done(outcome)
    else:
        outcome = _watch(words, _order(workload, "run", peer.name, inputs), timeout)
        done = outcome.messages.get("done") if outcome.code == 0 else None
    status, error = _status(outcome, done is not None, timeout)
    measures: dict[str, float] = {}
    if done is not None:
        measures = dict(done["measures"])
        peak = max(measures.get("peak_mb", 0.0), outcome.peaks.rss)
        if peak:  # else it was over before it could be looked at
            measures["peak_mb"] = peak
            measures["peak_pss_mb"] = outcome.peaks.pss if outcome.peaks.tree else peak
        measures = {name: _rounded(value) for name, value in measures.items()}
    return Row(
        workload=workload.name,
        peer=peer.name,
        round=number,
        options=options,
        session=session,
        status=status,
        measures=measures,
        answer=done["answer"] if done is not None else {},
        error=error,
        load=round(load, 2),
        when=when,
    )


def _script_done(outcome: _Outcome) -> dict[str, Any] | None:
    """What a script would have reported, had it known of us; its output is its answer."""
    if outcome.code != 0:
        return None
    lines = [line for line in outcome.output.splitlines() if line.startswith("{")]
    answer = json.loads(lines[-1]) if lines else {}
    return {"answer": answer, "measures": {"wall_s": outcome.wall, "cpu_s": outcome.cpu}}


def _status(outcome: _Outcome, done: bool, timeout: float) -> tuple[str, str]:
    if done:
        return "ok", ""
    if "missing" in outcome.messages:
        return "missing", outcome.messages["missing"]["error"]
    if outcome.timed_out:
        return "timeout", f"stopped after {timeout:g} s"
    lines = [line for line in outcome.output.splitlines() if line.strip()]
    # The end of a traceback: what follows its last indented line, notes included.
    tail: list[str] = []
    for line in reversed(lines):
        if line.startswith(" "):
            break
        tail.insert(0, line)
    said = " / ".join(tail) or "no output"
    return "failed", f"exit code {outcome.code}: {said[:600]}"


def _rounded(value: float) -> float:
    """Six digits: more than any clock here is good for, fewer than a row is wide."""
    return float(f"{value:.6g}")
