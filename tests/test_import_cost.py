"""Importing nbscale loads nothing heavy and changes nothing outside itself."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = {
    "IPython",
    "asyncio",
    "cloudpickle",
    "dask",
    "fsspec",
    "ipykernel",
    "joblib",
    "matplotlib",
    "numpy",
    "pandas",
    "polars",
    "psutil",
    "pyarrow",
    "s3fs",
    "sklearn",
    "zmq",
}

REPORT = """
import json, os, signal, sys, threading, warnings
def outside():
    return [
        dict(os.environ),
        threading.active_count(),
        repr(signal.getsignal(signal.SIGINT)),
        len(warnings.filters),
        repr(sys.excepthook),
    ]
before = outside()
{statement}
print(json.dumps([sorted(sys.modules), before == outside()]))
"""


def after(statement):
    """Names of the modules a fresh interpreter holds after the statement, and if all else is same."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT.format(statement=statement)],
        capture_output=True,
        text=True,
        check=True,
    )
    modules, unchanged = json.loads(done.stdout)
    return set(modules), unchanged


def test_importing_nbscale_loads_nothing_heavy():
    modules, unchanged = after("import nbscale")
    assert "nbscale" in modules
    assert not modules & HEAVY
    assert unchanged


def test_the_settings_load_nothing_heavy():
    modules, unchanged = after("import nbscale; nbscale.config.set(engine='inline')")
    assert "nbscale.config" in modules
    assert not modules & HEAVY
    assert unchanged


def test_a_heavy_import_would_be_seen():
    modules, _ = after("import numpy")
    assert modules & HEAVY == {"numpy"}
