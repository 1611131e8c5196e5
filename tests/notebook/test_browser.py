"""In JupyterLab, as a user sees it: progress is live while the cell blocks, and Stop stops."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def beside(name, folder=Path(__file__).parent):
    """A module beside this one, or in a folder of scripts: neither is a package."""
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


browser, kernels = beside("browser"), beside("kernels")

MANY = 300

HELD = """
from pathlib import Path

@ns.delayed
def held():
    while not Path({path!r}).exists():
        time.sleep(0.05)
"""
"""A task that ends when a file is there: a slow browser must not miss what the cell shows."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A notebook open in a browser, and the folder it is in."""
    executable = browser.find_chromium()
    folder = tmp_path_factory.mktemp("lab")
    cells = [
        kernels.slow(folder / "out", MANY) + HELD.format(path=str(folder / "go")),
        "_ = ns.compute(*slow)",
        "ns.runs()[-1].outcome",
        "_ = ns.compute(*slow[:20], held())",
    ]
    browser.write_notebook(folder / "progress.ipynb", *cells)
    with browser.jupyterlab(folder) as address, browser.chromium(executable, folder) as context:
        page = context.new_page()
        yield browser.Notebook(page, address, "progress.ipynb"), folder


def test_a_run_is_seen_and_stopped(lab):
    notebook, folder = lab
    out = folder / "out"
    notebook.run(0)
    notebook.start(1)
    shown = notebook.cell(1).locator(".nbscale-progress")
    shown.wait_for()
    seen = set()
    while len(seen) < 5:  # the test's own time is the limit
        seen.add(shown.locator("[role=progressbar]").get_attribute("aria-valuenow"))
        notebook.page.wait_for_timeout(40)
    assert "cell 1, line" in shown.locator(".nbscale-row").first.inner_text()
    notebook.page.screenshot(path=folder / "light.png")

    shown.get_by_role("button", name="Stop").click()
    notebook.page.wait_for_timeout(2000)
    lines = len(out.read_text().split())
    notebook.until_done(1, timeout=5000)
    folded = notebook.cell(1).locator("details summary")
    assert "stopped after" in folded.inner_text()
    assert shown.count() == 0
    assert "RunCancelled" in notebook.cell(1).inner_text()

    notebook.run(2)
    assert "cancelled" in notebook.cell(2).locator(".jp-OutputArea-output").inner_text()
    assert len(out.read_text().split()) == lines < MANY
    notebook.page.screenshot(path=folder / "stopped.png")


def test_it_fits_a_dark_theme_and_a_narrow_window(lab):
    notebook, folder = lab
    page = notebook.page
    notebook.command("application:toggle-left-area")
    notebook.command("apputils:change-theme", theme="JupyterLab Dark")
    page.locator("body[data-jp-theme-light=false]").wait_for(state="attached")
    page.set_viewport_size({"width": 560, "height": 700})
    notebook.start(3)
    shown = notebook.cell(3).locator(".nbscale-progress")
    shown.wait_for()
    shown.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    page.screenshot(path=folder / "dark.png")
    wide = shown.evaluate("element => element.scrollWidth - element.clientWidth")
    red, green, blue = shown.evaluate(
        "element => getComputedStyle(element).color.match(/[0-9.]+/g).slice(0, 3).map(Number)"
    )
    assert wide <= 0
    assert min(red, green, blue) > 150  # light on dark
    (folder / "go").touch()
    notebook.until_done(3)
    folded = notebook.cell(3).locator("details summary")
    folded.click()
    assert "done in" in folded.inner_text()
    assert notebook.cell(3).locator("details table tbody tr").count() == 2
    page.screenshot(path=folder / "unfolded.png")


def test_the_console_names_no_file_of_ours(lab):
    notebook, _ = lab
    assert not notebook.complaints()


def test_the_tutorial(lab):
    opened, folder = lab
    (folder / "notebooks").mkdir()
    path = folder / "notebooks" / "01-flights.ipynb"
    path.write_bytes((NOTEBOOKS / path.name).read_bytes())
    beside("get_flights", NOTEBOOKS).main(folder / "data")
    page = opened.page.context.new_page()
    notebook = browser.Notebook(page, opened.address, f"notebooks/{path.name}")
    outputs = [output for cell in notebook.run_all() for output in cell]
    kinds = {output["output_type"] for output in outputs}
    assert {"execute_result", "stream"} <= kinds <= {"execute_result", "stream", "display_data"}
    assert not [output for output in outputs if output.get("name") == "stderr"]
    page.screenshot(path=folder / "tutorial.png")
    assert not notebook.complaints()
