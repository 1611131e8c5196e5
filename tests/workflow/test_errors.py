"""What a user sees of an error in a notebook: her line, the message, and no frame of ours."""

from __future__ import annotations

import re

import nbformat
import pytest
from nbclient import NotebookClient

SETUP = """
import pandas as pd
import nbscale.dataframe as nd
df = nd.from_pandas(pd.DataFrame({"x": [3, 1, 2], "s": list("abc")}), npartitions=2)
def broken(part):
    return part.nope
"""
CELLS = {
    "df['xx']": "KeyError",
    "df.s + 1": "TypeError",
    "nd.read_csv('/nowhere/*.csv')": "FileNotFoundError",
    "df.map_partitions(broken).compute()": "AttributeError",
    "df.compute(engine='nope')": "EngineError",
}


@pytest.fixture(scope="module")
def outputs():
    cells = [nbformat.v4.new_code_cell(SETUP), *map(nbformat.v4.new_code_cell, CELLS)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=60, kernel_name="python3", allow_errors=True).execute()
    return dict(zip(CELLS, notebook.cells[1:], strict=True))


@pytest.mark.parametrize("source", CELLS)
def test_errors_in_a_notebook(outputs, source):
    (error,) = [o for o in outputs[source].outputs if o.output_type == "error"]
    text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
    assert error.ename == CELLS[source]
    assert "nbscale/" not in text.replace("nbscale/errors", "") or "File" not in text, text
    assert source in text
    assert len(text.splitlines()) <= 25
