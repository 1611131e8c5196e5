"""What a user sees of an error in a notebook: her line, the message, and no frame of ours."""

from __future__ import annotations

import re

import nbformat
import pytest
from nbclient import NotebookClient

from tests.bad_input import PROGRAMS, SETUP, make_files


@pytest.fixture(scope="module")
def errors(tmp_path_factory):
    """By name of a program, the error of its cell, as plain text."""
    root = tmp_path_factory.mktemp("notebook")
    cells = [nbformat.v4.new_code_cell(SETUP)]
    for name, program in PROGRAMS.items():
        here = root / name.replace(" ", "_")
        here.mkdir()
        make_files(here)
        cells.append(nbformat.v4.new_code_cell(program.lines(here)))
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=60, kernel_name="python3", allow_errors=True).execute()
    found = {}
    for name, cell in zip(PROGRAMS, notebook.cells[1:], strict=True):
        (error,) = [o for o in cell.outputs if o.output_type == "error"]
        text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
        found[name] = error.ename, text, cell.source
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_errors_in_a_notebook(errors, name):
    kind, text, source = errors[name]
    program = PROGRAMS[name]
    assert kind == program.error.rpartition(".")[2]
    assert "/nbscale/" not in text, text
    assert "site-packages" not in text, text
    assert source.splitlines()[-1] in text
    for part in program.says:
        assert part in text.replace("in work(part)", "in work"), text
    # IPython shows lines of her cell above the one that is meant.
    told = [line for line in text.splitlines() if not re.match(r"\s+\d+ ", line)]
    assert len(told) <= 12, text
