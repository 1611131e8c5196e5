"""Inputs: made once, into a cache outside the checkout, the same everywhere from fixed seeds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

__all__ = ["cache", "csv_files", "folder", "found_files", "parquet_files"]

_NAMES = 32


def cache() -> Path:
    """Return the folder of all inputs: ``$XDG_CACHE_HOME/nbscale-bench``."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "nbscale-bench"


def folder(name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder of that name, made first if it is not there.

    It appears whole or not at all: it is filled under another name and renamed.
    """
    wanted = cache() / name
    if wanted.exists():
        return wanted
    filling = wanted.with_name(f"{name}.{os.getpid()}.part")
    shutil.rmtree(filling, ignore_errors=True)
    filling.mkdir(parents=True)
    make(filling)
    filling.rename(wanted)
    return wanted


def _table(rows: int, seed: int):
    """A piece of the usual table: a name of 32, an integer, and four numbers."""
    import numpy as np
    import pyarrow as pa

    rng = np.random.default_rng(seed)
    names = pa.array([f"name-{i:02d}" for i in range(_NAMES)])
    columns = {
        "name": names.take(pa.array(rng.integers(0, _NAMES, rows))),
        "id": pa.array(rng.integers(0, 1_000_000, rows)),
        "value": pa.array(rng.normal(10.0, 3.0, rows)),
    }
    columns |= {name: pa.array(rng.uniform(-1, 1, rows)) for name in ("x", "y", "z")}
    return pa.table(columns)


def _warm(path: Path) -> str:
    """Read files once, so that the first peer does not fetch them from the disk for the others."""
    for file in sorted(path.iterdir()):
        with file.open("rb", buffering=0) as stream:
            while stream.read(1 << 24):
                pass
    return str(path)


def csv_files(megabytes: int, files: int, *, quoted: bool) -> str:
    """Return a folder with ``part-*.csv``, about so many megabytes together.

    ``quoted`` says whether names stand in quotes: as R writes them, and pandas does not. It
    matters to whoever cuts a file, since a quote may hide the end of a line.
    """

    def make(path: Path) -> None:
        from pyarrow import csv

        options = csv.WriteOptions(
            include_header=False, quoting_style="needed" if quoted else "none"
        )
        for number in range(files):
            with (path / f"part-{number:03d}.csv").open("wb") as stream:
                stream.write(b"name,id,value,x,y,z\n")
                piece = 0
                while stream.tell() < megabytes * 1e6 / files:
                    left = megabytes * 1e6 / files - stream.tell()
                    table = _table(max(1000, min(200_000, int(left / 96))), 1000 * number + piece)
                    csv.write_csv(table, stream, options)
                    piece += 1

    kind = "quoted" if quoted else "plain"
    return _warm(folder(f"csv-{kind}-{megabytes}mb-{files}", make))


def parquet_files(rows: int, files: int) -> str:
    """Return a folder with ``part-*.parquet``, so many rows together."""

    def make(path: Path) -> None:
        from pyarrow import parquet

        for number in range(files):
            table = _table(rows // files, number)
            parquet.write_table(table, path / f"part-{number:03d}.parquet", row_group_size=250_000)

    return _warm(folder(f"parquet-{rows}-{files}", make))


def found_files(pattern: str) -> list[str]:
    """Return the files of a pattern in a folder, in the order of their names."""
    path = Path(pattern)
    return sorted(str(file) for file in path.parent.glob(path.name))
