"""Every notebook runs to its end in a fresh kernel, and is kept without outputs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))


def script(name):
    """A script that lives beside the notebooks, as a module."""
    spec = importlib.util.spec_from_file_location(name, NOTEBOOKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory laid out as the checkout: `notebooks/` beside `data/`."""
    root = tmp_path_factory.mktemp("checkout")
    (root / "notebooks").mkdir()
    script("get_flights").main(root / "data")
    return root / "notebooks"


def test_there_are_notebooks():
    assert PATHS


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_says_something(path, place):
    copy = place / path.name
    copy.write_bytes(path.read_bytes())
    run = script("run")
    results = run.results(run.execute(copy))
    assert results
    assert all(heading and text for heading, text in results)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_the_flights_are_all_there(place):
    files = sorted((place.parent / "data").glob("flights-*.csv"))
    assert len(files) == 12
    headers = {file.read_text().split("\n", 1)[0] for file in files}
    assert len(headers) == 1
    assert sum(file.read_bytes().count(b"\n") - 1 for file in files) == 336_776
