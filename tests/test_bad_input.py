"""Bad input, in a script: the original type, what, where, what to do, in at most twelve lines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.bad_input import PROGRAMS, SETUP, make_files

ROOT = Path(__file__).parents[1]

# Runs scripts one after the other in one process, each as if it were all there is.
DRIVER = (
    SETUP
    + """
import pathlib, sys, traceback
from tests.bad_input import make_files
for script in sys.argv[1:]:
    path = pathlib.Path(script)
    make_files(path.parent)
    try:
        exec(compile(path.read_text(), script, "exec"), dict(globals(), __name__="__main__"))
        text = "no error"
    except BaseException as error:
        error.__traceback__ = error.__traceback__.tb_next
        text = "".join(traceback.format_exception(error))
    path.with_suffix(".txt").write_text(text)
"""
)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What each program prints when it ends, by name; and where its script is."""
    scripts = {}
    for name, program in PROGRAMS.items():
        here = tmp_path_factory.mktemp("here")
        scripts[name] = here / "script.py"
        scripts[name].write_text(program.lines(here) + "\n")
    command = [sys.executable, "-c", DRIVER, *map(str, scripts.values())]
    subprocess.run(command, cwd=ROOT, check=True, timeout=100)
    return {name: script.with_suffix(".txt").read_text() for name, script in scripts.items()}


@pytest.mark.parametrize("name", PROGRAMS)
def test_errors_say_what_where_and_what_to_do(told, name):
    check(told[name], PROGRAMS[name])


def check(text, program):
    lines = text.rstrip().splitlines()
    assert lines[0] == "Traceback (most recent call last):", text
    assert 'script.py", line' in lines[1]
    # Her own functions have a frame each, of three lines; the first is in the twelve.
    own = sum('script.py", line' in line for line in lines)
    assert len(lines) <= 12 + 3 * max(0, own - 2), text
    assert sum("/nbscale/" in line and "File" in line for line in lines) <= 1, text
    assert "site-packages" not in text
    assert any(line.startswith(f"{program.error}: ") for line in lines), text
    for part in program.says:
        assert part in text


def test_a_script_run_by_itself_says_the_same(told, tmp_path):
    name = "function that raises"
    make_files(tmp_path)
    script = tmp_path / "script.py"
    script.write_text(PROGRAMS[name].lines(tmp_path).join([SETUP, "\n"]))
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        timeout=100,
        check=False,
    )
    assert done.returncode == 1
    check(done.stderr, PROGRAMS[name])
    assert "in part_of" in done.stderr
    assert not done.stdout
