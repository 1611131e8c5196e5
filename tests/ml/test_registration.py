"""The backend is known to joblib whichever is imported first, and nothing else is touched."""

from __future__ import annotations

import subprocess
import sys

import pytest

CHECK = """
with joblib.parallel_config(backend="nbscale"):
    assert joblib.effective_n_jobs(-1) == 3, joblib.effective_n_jobs(-1)
"""


def run(code, **options):
    code = f"import sys\nfound = list(sys.meta_path)\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, **options
    )
    assert not done.returncode, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "imports",
    [
        "import nbscale, joblib",
        "import joblib, nbscale",
        "import nbscale, sklearn.ensemble, joblib",
        "import nbscale.ml.joblib_backend, joblib",
        "import nbscale; from joblib import Parallel; import joblib",
    ],
)
def test_whichever_is_imported_first(imports):
    run(
        f"{imports}\nnbscale.config.set(n_workers=3)\n{CHECK}\nassert [one for one in sys.meta_path if one in found] == found"
    )


def test_importing_nbscale_installs_the_hook_and_nothing_else():
    out = run(
        "before = set(sys.modules)\n"
        "import nbscale\n"
        "print([type(one).__name__ for one in sys.meta_path if one not in found])\n"
        "print(sorted(n for n in set(sys.modules) - before if not n.startswith('importlib')))\n"
    )
    hooks, modules = out.splitlines()
    assert hooks == "['_AfterImport']"
    ours = {"nbscale", "nbscale.ml", "nbscale.ml.registration"}
    assert ours <= set(eval(modules))
    assert {name for name in eval(modules) if name.startswith("nbscale")} == ours


def test_joblib_does_not_get_to_know_of_the_hook():
    loaders = [
        run(
            f"{first}import joblib; print(type(joblib.__loader__), joblib.__spec__.loader is joblib.__loader__)"
        )
        for first in ("", "import nbscale; ")
    ]
    assert loaders[0] == loaders[1]
    assert "True" in loaders[0]


def test_an_import_that_fails_can_be_repeated(tmp_path):
    (tmp_path / "joblib.py").write_text(
        "import pathlib\n"
        "def register_parallel_backend(name, factory): registered.append(name)\n"
        "registered = []\n"
        "if not pathlib.Path('there').exists():\n"
        "    pathlib.Path('there').touch()\n"
        "    raise ImportError('not yet')\n"
    )
    run(
        "import nbscale\n"
        "try: import joblib\n"
        "except ImportError as error: assert str(error) == 'not yet'\n"
        "import joblib\n"
        "assert joblib.registered == ['nbscale']",
        cwd=tmp_path,
    )


def test_without_joblib_its_import_fails_as_ever(tmp_path):
    run(
        "import nbscale\n"
        "sys.path[:] = [p for p in sys.path if 'site-packages' not in p]\n"
        "try: import joblib\n"
        "except ModuleNotFoundError as error: assert error.name == 'joblib'\n"
        "else: raise AssertionError"
    )


def test_a_finder_that_asks_all_finders_does_no_harm():
    run(
        "import importlib.util\n"
        "class Asks:\n"
        "    asking = False\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if self.asking or name != 'joblib': return None\n"
        "        self.asking = True\n"
        "        try: return importlib.util.find_spec(name)\n"
        "        finally: self.asking = False\n"
        "sys.meta_path.insert(0, Asks())\n"
        "import nbscale\n"
        "assert importlib.util.find_spec('joblib').name == 'joblib'\n"
        "import joblib\n"
        "nbscale.config.set(n_workers=3)\n" + CHECK
    )


def test_what_is_still_being_imported_is_waited_for(tmp_path):
    (tmp_path / "joblib.py").write_text(
        "import sys, threading, time\nregistered = []\nbegun.set(); go.wait()\n".replace(
            "begun", "sys.begun"
        ).replace("go.", "sys.go.")
        + "def register_parallel_backend(name, factory): registered.append(name)\n"
    )
    run(
        "import threading, importlib\n"
        "sys.begun, sys.go = threading.Event(), threading.Event()\n"
        "thread = threading.Thread(target=importlib.import_module, args=('joblib',))\n"
        "thread.start(); sys.begun.wait()\n"
        "threading.Timer(0.05, sys.go.set).start()\n"
        "import nbscale\n"
        "assert sys.modules['joblib'].registered == ['nbscale']",
        cwd=tmp_path,
    )
