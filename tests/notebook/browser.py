"""JupyterLab and a headless Chromium, for looking at what the kernel shows."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

from nbscale.testing import leaks

FLAGS = (
    "--disable-background-networking --disable-component-update --disable-gpu --disable-quic "
    "--disable-sync --no-first-run --no-sandbox"
).split()


def find_chromium():
    """A Chromium on the path, then Playwright's own, then (as root) Debian's package.

    Skips the test without one; in continuous integration that is a failure.
    """
    found = _on_path() or _playwrights()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["apt-get", "update"], ["apt-get", "install", "-y", "chromium"]):
            env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            options = ["--no-install-recommends"] if "install" in command else []
            subprocess.run([*command, *options, "-q"], env=env, check=False, capture_output=True)
        found = _on_path()
    if found is None:
        message = "there is no Chromium on the path, of Playwright's, or to be installed"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


def _on_path():
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next(filter(None, map(shutil.which, names)), None)


def _playwrights():
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).is_file() else None


@contextlib.contextmanager
def sync_playwright():
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        yield playwright


@contextlib.contextmanager
def jupyterlab(folder):
    """Serve a folder without a token; yield the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = folder / ".jupyter"
    env = {key: value for key, value in os.environ.items() if not key.startswith("JUPYTER")}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    env |= {
        "IPYTHONDIR": str(place / "ipython"),
        "JUPYTER_CONFIG_DIR": str(place / "config"),
        "JUPYTER_DATA_DIR": str(place / "data"),
        "JUPYTER_RUNTIME_DIR": str(place / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(place / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(place / "workspaces"),
    }
    quiet = place / "settings" / "@jupyterlab" / "apputils-extension"
    quiet.mkdir(parents=True)
    (quiet / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    options = {
        "IdentityProvider.token": "",
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        "LabApp.news_url": "",
        "LabApp.expose_app_in_browser": "True",
        "LabApp.extension_manager": "readonly",
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": str(port),
        "ServerApp.port_retries": "0",
        "ServerApp.open_browser": "False",
        "ServerApp.root_dir": str(folder),
    }
    command = [sys.executable, "-m", "jupyterlab", *(f"--{k}={v}" for k, v in options.items())]
    if os.geteuid() == 0:
        command.append("--allow-root")
    log = folder / "jupyterlab.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            command, env=env, stdout=out, stderr=subprocess.STDOUT, cwd=folder
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/api/status", server, log)
        yield address
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for(address, server, log):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
            json.load(answer)
            return
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def write_notebook(path, *cells):
    """Write a notebook of code cells."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(notebook, path)


class Notebook:
    """An open notebook in JupyterLab."""

    def __init__(self, page, address, name):
        self.page, self.address = page, address
        self.console = []
        page.on(
            "console", lambda m: m.type == "error" and self.console.append(f"{m.text} {m.location}")
        )
        page.on("pageerror", lambda error: self.console.append(f"{error} {error.stack}"))
        page.goto(f"{address}/lab/tree/{name}?reset", wait_until="domcontentloaded")
        page.locator(".jp-Notebook:visible .jp-Cell").first.wait_for(timeout=60_000)
        page.evaluate(
            """async () => {
                const panel = window.jupyterapp.shell.currentWidget;
                await panel.revealed;
                await panel.sessionContext.ready;
                await panel.sessionContext.session.kernel.info;
            }"""
        )

    def complaints(self):
        """What the console says of files of ours."""
        return [line for line in self.console if "nbscale" in line or "anywidget" in line]

    def cell(self, number):
        """A cell, counted from 0."""
        return self.page.locator(".jp-Notebook:visible .jp-Cell").nth(number)

    def start(self, number):
        """Run a cell, and do not wait."""
        self.page.evaluate(
            """number => {
                const app = window.jupyterapp;
                app.shell.currentWidget.content.activeCellIndex = number;
                void app.commands.execute("notebook:run-cell");
            }""",
            number,
        )

    def command(self, name, **arguments):
        """Have JupyterLab do something."""
        self.page.evaluate(
            "([name, arguments]) => window.jupyterapp.commands.execute(name, arguments)",
            [name, arguments],
        )

    def run(self, number):
        """Run a cell to its end."""
        self.start(number)
        self.until_done(number)

    def run_all(self, timeout=120_000):
        """Run all cells; return their outputs, by cell of code, when the last has a number."""
        self.command("notebook:run-all-cells")
        # From the model: of a long notebook only what is looked at is on the page.
        cells = """[...window.jupyterapp.shell.currentWidget.content.model.cells]
            .filter(cell => cell.type === "code")"""
        self.page.wait_for_function(
            f"() => {cells}.every(cell => cell.executionCount)", timeout=timeout
        )
        return self.page.evaluate(f"() => {cells}.map(cell => cell.outputs.toJSON())")

    def until_done(self, number, timeout=30_000):
        """Wait until a cell has a number."""
        numbered = re.compile(r"\[\d+\]")
        prompt = self.cell(number).locator(".jp-InputPrompt", has_text=numbered)
        prompt.wait_for(timeout=timeout)


@contextlib.contextmanager
def chromium(executable, folder):
    """A fresh browser; yield its context."""
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(folder / "browser"),
            executable_path=executable,
            headless=True,
            args=FLAGS,
            env=leaks.unmarked(),  # it has helpers that are nobody's children
            viewport={"width": 1100, "height": 760},
        )
        try:
            yield context
        finally:
            context.close()
