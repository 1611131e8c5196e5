"""Execute notebooks without a browser and print what their cells tagged ``result`` say.

Run as ``python notebooks/run.py notebooks/01-flights.ipynb``. A cell that raises ends the run with
its traceback and exit status 1. The notebook on disk stays as it is.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nbclient
import nbformat
from traitlets.config import Config

SECONDS_PER_CELL = 300


def execute(path: Path) -> nbformat.NotebookNode:
    """Run every cell of the notebook in a kernel of its own, in the notebook's directory.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell raises; the message holds the cell and the traceback.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory(prefix="nb") as place:
        # Over sockets in a directory of its own that nobody else may enter: no port is opened.
        sockets = {"transport": "ipc", "ip": f"{place}/kernel"}
        nbclient.NotebookClient(
            notebook,
            timeout=SECONDS_PER_CELL,
            kernel_name="python3",  # the one of the environment that runs this
            config=Config(KernelManager=sockets),
            resources={"metadata": {"path": str(path.resolve().parent)}},
        ).execute()
    return notebook


def text_of(output: nbformat.NotebookNode) -> str:
    """What a terminal shows of one output of a cell."""
    if output.output_type == "stream":
        return output.text.rstrip()
    return output.get("data", {}).get("text/plain", "")


def results(notebook: nbformat.NotebookNode) -> list[tuple[str, str]]:
    """The tagged cells' outputs as text, each under the heading it stands under."""
    found = []
    heading = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            titles = [line for line in cell.source.splitlines() if line.startswith("#")]
            heading = titles[-1].lstrip("# ") if titles else heading
        elif "result" in cell.metadata.get("tags", []):
            texts = [text for text in map(text_of, cell.outputs) if text]
            found.append((heading, "\n".join(texts)))
    return found


def main(paths: list[Path]) -> int:
    """Execute the notebooks in turn; 1 if a cell of one raised, else 0."""
    for path in paths:
        try:
            notebook = execute(path)
        except nbclient.exceptions.CellExecutionError as error:
            print(f"{path} did not run to its end:\n{error}", file=sys.stderr)
            return 1
        for heading, text in results(notebook):
            print(f"\n== {heading}\n\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main([Path(argument) for argument in sys.argv[1:]]))
