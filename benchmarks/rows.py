"""Rows: one for each run of a peer, kept for good as lines of JSON, with what they were run on."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["RESULTS", "Row", "append", "comparable", "machine", "read"]

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"

_PACKAGES = (
    "nbscale",
    "numpy",
    "pandas",
    "pyarrow",
    "pyzmq",
    "scikit-learn",
    "polars",
    "dask",
    "distributed",
    "ipyparallel",
    "joblib",
    "ray",
)
_THREADS = ("OMP_", "OPENBLAS_", "MKL_", "BLIS_", "POLARS_", "MALLOC_", "NBSCALE_")


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One run of one peer.

    Attributes
    ----------
    round
        Rows of one round were run one after the other; only they are compared.
    session
        Number of the machine record, in the same file, that they were run on.
    measures
        ``wall_s`` and ``cpu_s`` (of the whole process tree) of the timed part, ``peak_mb`` (summed
        resident memory), ``peak_pss_mb`` (shared pages counted once), ``grown_mb`` (peak above
        what was resident when the timed part began), and what the peer reports itself.
    answer
        What the workload makes of the peer's value.
    status
        ``"ok"``, ``"failed"``, ``"missing"`` (a library is not installed, or its
        pool does not start) or ``"timeout"``.
    load
        The machine's load average of a minute, before the run.
    """

    workload: str
    peer: str
    round: int
    options: dict[str, int]
    session: int
    status: str
    measures: dict[str, float] = dataclasses.field(default_factory=dict)
    answer: dict[str, float] = dataclasses.field(default_factory=dict)
    error: str = ""
    load: float = 0.0
    when: str = ""


def append(path: Path, record: Row | dict[str, Any]) -> None:
    """Add a line to a file of rows; a machine record is a dictionary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = dataclasses.asdict(record) if isinstance(record, Row) else record
    with path.open("a") as file:
        file.write(json.dumps(plain) + "\n")


def read(path: Path) -> tuple[list[Row], list[dict[str, Any]]]:
    """Return the rows of a file, and its machine records; a row's session is the number of one."""
    rows: list[Row] = []
    sessions: list[dict[str, Any]] = []
    if path.exists():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            try:
                record = json.loads(line)
                if "machine" in record:
                    sessions.append(record)
                else:
                    rows.append(Row(**record))
            except (ValueError, TypeError) as error:
                msg = f"{path}, line {number} is no row: {error}; remove the line to go on"
                raise ValueError(msg) from error
    return rows, sessions


def machine(session: int, removed: Iterable[str] = ()) -> dict[str, Any]:
    """Describe the machine, the versions and the code, without naming either host or user.

    Parameters
    ----------
    session
        Number of this record in its file.
    removed
        Environment variables that the runs do without though they are set here.
    """
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
            "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
            "libc": " ".join(platform.libc_ver()),
        },
        "session": session,
        "versions": versions,
        "commit": _commit(),
        "code": _code(),
        "environment": {k: v for k, v in sorted(os.environ.items()) if k.startswith(_THREADS)},
        "removed": sorted(removed),
    }


def comparable(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether rows of two machine records may be put together: same machine, versions, code."""
    return all(one[key] == other[key] for key in ("machine", "versions", "code", "environment"))


def _code() -> str:
    """A digest of the package as it is, committed or not."""
    digest = hashlib.sha256()
    for file in sorted((ROOT / "nbscale").rglob("*.py")):
        digest.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    """The commit measured, with a plus sign if the package differs from it."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "nbscale")
    return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
