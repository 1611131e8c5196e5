"""``python -m benchmarks.peers_faults``: do the same to every pool, and print who survives what.

Each cell is a process of its own, in a folder of its own, which is given up after a while. The table
goes to ``benchmarks/results/peers-faults/``.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.peers_faults.faults import FAULTS
from benchmarks.peers_faults.pools import PEERS
from benchmarks.rows import RESULTS, ROOT

__all__ = ["main", "run_cell", "table"]

DEADLINE = 120.0
"""Seconds that a cell may take."""

_PACKAGES = {"loky": "joblib"}


def run_cell(peer: str, fault: str, deadline: float = DEADLINE) -> dict[str, Any]:
    """Run one cell and say what came of it; its processes are ended, whatever it was."""
    with tempfile.TemporaryDirectory(prefix="fault-", ignore_cleanup_errors=True) as folder:
        read, write = os.pipe()
        mark = uuid.uuid4().hex
        told = {"PYTHONPATH": str(ROOT), "NBSCALE_CELL": str(write), "CELL": mark}
        cell = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.peers_faults.cell", peer, fault],
            cwd=folder,
            env=os.environ | told | {"TMPDIR": folder},  # what is killed cannot tidy up
            pass_fds=[write],
            stdout=subprocess.DEVNULL,
            stderr=(Path(folder) / "stderr").open("w"),
            start_new_session=True,
        )
        os.close(write)
        said: dict[str, Any] = {"survived": False, "text": f"no answer in {deadline:.0f} s"}
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                cell.wait(deadline)
                with os.fdopen(os.dup(read)) as file:
                    text = file.read()
                last = (Path(folder) / "stderr").read_text().strip().splitlines()[-1:]
                said = json.loads(text) if text else {"survived": False, "text": f"broke: {last}"}
        finally:
            os.close(read)
            _end_all(mark)
            cell.wait()
    return {"peer": peer, "fault": fault, **said}


def _end_all(mark: str) -> None:
    """End every process of a cell: some are nobody's children by then, but all have its mark."""
    found = True
    while found:
        found = False
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if f"CELL={mark}\0".encode() in path.read_bytes():
                    os.kill(int(path.parent.name), signal.SIGKILL)
                    found = True


def table(cells: Iterable[dict[str, Any]], peers: Iterable[str]) -> str:
    """The cells as Markdown: a row a fault, a column a pool."""
    known = {(cell["fault"], cell["peer"]): cell for cell in cells}
    peers = list(peers)
    lines = [
        "| fault | " + " | ".join(map(_with_version, peers)) + " |",
        "|---" * (len(peers) + 1) + "|",
    ]
    for name, fault in FAULTS.items():
        row = [known.get((name, peer)) for peer in peers]
        if any(row):
            lines.append(f"| {fault.title} | " + " | ".join(map(_shown, row)) + " |")
    count = [
        sum(bool(known.get((name, peer), {}).get("survived")) for name in FAULTS) for peer in peers
    ]
    lines.append("| **survived** | " + " | ".join(f"**{n}**" for n in count) + " |")
    return "\n".join(lines)


def _with_version(peer: str) -> str:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        package = _PACKAGES.get(peer, peer)
        version = importlib.metadata.version(package)
        return f"{peer} ({package} {version})" if package != peer else f"{peer} {version}"
    return peer


def _shown(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return ""
    mark = {True: "✓ ", False: "✗ ", None: ""}[cell["survived"]]
    return mark + cell["text"].replace("|", "\\|")


def main(words: list[str] | None = None) -> int:
    """Run the table, or a part of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers_faults", description=__doc__)
    parser.add_argument("faults", nargs="*", help=f"default: all of {', '.join(FAULTS)}")
    parser.add_argument("--peers", default=",".join(PEERS), help="separated by commas")
    parser.add_argument("--results", type=Path, default=RESULTS / "peers-faults")
    args = parser.parse_args(words)
    peers = args.peers.split(",")
    args.results.mkdir(parents=True, exist_ok=True)
    file = args.results / "cells.jsonl"
    known = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    cells = {(cell["fault"], cell["peer"]): cell for cell in known}
    for name in args.faults or FAULTS:
        for peer in peers:
            cell = cells[name, peer] = run_cell(peer, name)
            print(f"{name:<22} {peer:<12} {_shown(cell)}", flush=True)
            file.write_text("".join(json.dumps(one) + "\n" for one in cells.values()))
    shown = table(cells.values(), [p for p in PEERS if any(p == peer for _, peer in cells)])
    where = (
        f"{platform.system()} {platform.release()}, {len(os.sched_getaffinity(0))} cores, Python "
        f"{platform.python_version()}. Two workers each; ✓ survived, ✗ not, neither: a figure, or "
        f"nothing to survive. Each cell is a process of its own and may take {DEADLINE:.0f} s."
    )
    text = f"# The same faults, pool by pool\n\n{where}\n\n{shown}\n"
    (args.results / "summary.md").write_text(text)
    print("\n" + shown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
