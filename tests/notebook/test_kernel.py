"""In a real kernel: a run shows itself, and Stop works while the cell blocks.

The kernel is of the ipykernel that is installed. ``make check-kernels`` names folders of others in
the environment variable ``NBSCALE_KERNELS``, and the same is asked of each.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

# The tests are no package: what they share is loaded by its path.
_spec = importlib.util.spec_from_file_location("kernels", Path(__file__).with_name("kernels.py"))
kernels = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(kernels)

OTHERS = [Path(p) for p in os.environ.get("NBSCALE_KERNELS", "").split(os.pathsep) if p]


@pytest.fixture(
    scope="module", params=[None, *OTHERS], ids=lambda path: path.name if path else "installed"
)
def front(request):
    with kernels.kernel(request.param) as front:
        front.run("import ipykernel; print(ipykernel.__version__)")
        [said] = front.of_type("stream")
        front.version = said["content"]["text"].strip()
        if request.param is None:
            assert front.version == importlib.metadata.version("ipykernel")
        else:
            assert front.version == request.param.name
        yield front


def start(front, path, **options):
    """Run a slow cell until it shows itself; return its request and its display."""
    front.published.clear()
    assert front.run(kernels.slow(path, **options))["status"] == "ok"
    request = front.start('_ = ns.compute(*slow, engine="inline")')
    display = front.until(lambda m: m["msg_type"] == "display_data")
    return request, display


def run_of(front, display):
    """The number of the run that a display shows."""
    view = display["content"]["data"][kernels.WIDGET_VIEW]
    opened = [m for m in front.of_type("comm_open") if m["content"]["comm_id"] == view["model_id"]]
    return opened[0]["content"]["data"]["state"]["telling"]["run"]


def stops(front, request, path):
    """The cell ends soon, cancelled; nothing of it goes on; the next cell works."""
    reply = front.end(request, timeout=5)
    assert reply["ename"] == "RunCancelled"
    size = path.stat().st_size
    assert (
        front.run("print(ns.runs()[-1].outcome, ns.compute(ns.delayed(int)(5)))")["status"] == "ok"
    )
    assert front.of_type("stream")[-1]["content"]["text"] == "cancelled (5,)\n"
    assert path.stat().st_size == size
    assert len(path.read_text().split()) < 100


def test_a_short_run_shows_nothing(front, tmp_path):
    front.published.clear()
    front.run(kernels.slow(tmp_path / "out", count=2, seconds=0))
    assert front.run('_ = ns.compute(*slow, engine="inline")')["status"] == "ok"
    assert not front.of_type("display_data", "comm_open", "stream", "update_display_data")


def test_a_long_run_is_live_and_is_folded_before_its_cell_ends(front, tmp_path):
    request, display = start(front, tmp_path / "out", count=30)
    assert front.end(request)["status"] == "ok"
    tellings = [
        m["content"]["data"]["state"]["telling"]
        for m in front.of_type("comm_msg")
        if "telling" in m["content"]["data"].get("state", {})
    ]
    assert len({telling["fraction"] for telling in tellings}) >= 5
    [folded] = front.of_type("update_display_data")
    assert folded["content"]["transient"] == display["content"]["transient"]
    assert folded["content"]["data"]["text/plain"].startswith("30 × note")
    assert "done in" in folded["content"]["data"]["text/plain"]
    parents = {m["parent_header"]["msg_id"] for m in (display, folded)}
    assert parents == {request}
    opened = {m["content"]["comm_id"] for m in front.of_type("comm_open")}
    assert {m["content"]["comm_id"] for m in front.of_type("comm_close")} == opened


def test_stop_by_the_control_channel(front, tmp_path):
    request, display = start(front, tmp_path / "out")
    content = {"stop": run_of(front, display)}
    assert front.control("nbscale_request", content) == {"status": "ok", "stopped": True}
    stops(front, request, tmp_path / "out")
    assert front.control("nbscale_request", content) == {"status": "ok", "stopped": False}


@pytest.mark.parametrize("content", [{}, {"stop": "x"}, {"stop": 10**9}])
def test_what_is_no_run_stops_nothing(front, content):
    assert front.control("nbscale_request", content) == {"status": "ok", "stopped": False}


def test_stop_by_the_comm_on_a_subshell(front, tmp_path):
    if front.version.startswith("6."):
        pytest.skip(f"ipykernel {front.version} has no subshells; there the control channel serves")
    subshell = front.control("create_subshell_request", {})["subshell_id"]
    request, display = start(front, tmp_path / "out")
    model = display["content"]["data"][kernels.WIDGET_VIEW]["model_id"]
    data = {"method": "custom", "content": {"stop": run_of(front, display)}}
    front.comm(model, data, subshell)
    stops(front, request, tmp_path / "out")


def test_stop_interrupts_a_task_that_does_not_end(front, tmp_path):
    request, display = start(front, tmp_path / "out", count=3, seconds=60)
    assert front.control("nbscale_request", {"stop": run_of(front, display)})["stopped"]
    began = time.monotonic()
    assert front.end(request, timeout=20)["ename"] == "KeyboardInterrupt"
    assert time.monotonic() - began < 20
    assert front.run("print(ns.runs()[-1].outcome)")["status"] == "ok"
    assert front.of_type("stream")[-1]["content"]["text"] == "cancelled\n"


def test_an_executed_notebook_keeps_the_folded_line_and_no_widget(tmp_path):
    cells = [kernels.slow(tmp_path / "out", count=20), '_ = ns.compute(*slow, engine="inline")']
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    [output] = notebook.cells[1].outputs
    assert set(output["data"]) == {"text/html", "text/plain"}
    assert "done in" in output["data"]["text/plain"]
    assert "<details" in output["data"]["text/html"]
