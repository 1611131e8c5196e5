"""What a notebook tells of a task that failed and of a run that was done, cell by cell."""

from __future__ import annotations

import re

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

CELLS = [
    """
import nbscale as ns
import nbscale.dataframe as nd
""",
    """
def clean(part):
    worst = part.x.max()
    if worst > 10_900:
        raise ValueError(f"{worst} is too large")
    return part
""",
    """
df = nd.read_csv("trips.csv", blocksize=1000)
df["twice"] = df.x * 2
""",
    """
bad = df.map_partitions(clean)
total = bad.twice.sum()
""",
    "total.compute(engine='local')",
    "ns.debug()",
    "ns.why(total)",
    "df.twice.sum().compute(engine='local')",
    "print(ns.runs()[-1].account)",
    "ns.submit(clean, df.compute()).result()",
]


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """The text that each cell has put out, by its number in the notebook."""
    folder = tmp_path_factory.mktemp("notebook")
    frame = pd.DataFrame({"x": range(10_000, 11_000), "y": "abc"})
    frame.to_csv(folder / "trips.csv", index=False)
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(text.strip()) for text in CELLS]
    )
    NotebookClient(
        notebook,
        timeout=60,
        kernel_name="python3",
        allow_errors=True,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    told = {}
    for cell in notebook.cells:
        parts = []
        for output in cell.outputs:
            if output.output_type == "error":
                parts += output.traceback
            elif output.output_type == "stream":
                parts.append(output.text)
            elif "text/plain" in output.get("data", {}):
                parts.append(output.data["text/plain"])
        told[cell.execution_count] = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(parts))
    return told


def test_the_error_shows_her_frames_and_where_in_her_data_it_was(cells):
    text = cells[5]
    assert "/nbscale/" not in text
    assert "site-packages" not in text
    assert 'raise ValueError(f"{worst} is too large")' in text
    assert (
        "while running map_partitions(clean) (cell 4, line 1), on rows ~900-1000 of trips.csv "
        "(bytes 9,003-10,003), partition 9 of 0 to 9"
    ) in text


def test_debug_tells_the_variables_where_nobody_can_answer(cells):
    assert "ValueError: 10999 is too large" in cells[6]
    assert "in clean:" in cells[6]
    assert "worst = np.int64(10999)" in cells[6]
    assert "cell 4, line 1" in cells[6]


def test_why_knows_the_cells(cells):
    lines = cells[7].splitlines()
    assert lines[:2] == ["sum", "made at cell 4, line 2"]
    assert "  cell 4, line 1: map_partitions(clean)" in lines
    assert any(line.startswith("  cell 3, line 1: read_csv") for line in lines)
    assert any(line.startswith("ended by task 9 of stage ") for line in lines)


def test_the_account_is_by_cell_and_line(cells):
    text = cells[9]
    assert re.search(r"cell 3, line 1: read_csv.*of it parse", text)
    assert "cell 3, line 2: " in text
    assert "cell 8, line 1: " in text
    shares = [int(share) for share in re.findall(r"^ *(\d+) %", text, re.MULTILINE)]
    assert sum(shares) == 100


def test_a_future_shows_her_frames(cells):
    text = cells[10]
    assert "/nbscale/" not in text
    assert "concurrent" not in text
    assert "Cell In[2], line 4" in text
    assert "while running clean (cell 10, line 1)" in text
