"""Outside a notebook: one line in a terminal of IPython's, and nothing elsewhere."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

CODE = """
import time
import nbscale as ns
ns.compute(*[ns.delayed(time.sleep)(0.1) for i in range(10)], engine="inline")
print("ended")
"""

NOTHING_OF_OURS = """
import sys
print([name for name in sys.modules if name.startswith("nbscale.notebook")])
"""


def ipython(tmp_path, **streams):
    env = {**os.environ, "IPYTHONDIR": str(tmp_path), "COLUMNS": "100", "TERM": "xterm"}
    command = [sys.executable, "-m", "IPython", "--no-banner", "--colors=nocolor", "-c", CODE]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, **streams)


def test_a_terminal_of_ipythons_shows_one_line(tmp_path):
    master, slave = pty.openpty()
    process = ipython(tmp_path, stderr=slave, stdin=slave)
    os.close(slave)
    said = b""
    while True:
        try:
            some = os.read(master, 1 << 16)
        except OSError:  # the other side was closed
            break
        if not some:
            break
        said += some
    out, _ = process.communicate(timeout=60)
    os.close(master)
    assert b"ended" in out
    lines = [line.strip() for line in said.decode().replace("\n", "\r").split("\r") if line.strip()]
    assert len(lines) >= 4, said
    assert all(line.startswith("10 × sleep") for line in lines), said
    assert "so far" in said.decode() or "%" in lines[0]
    assert "done in" in lines[-1]
    assert said.decode().count("\n") == 1


def test_ipython_without_a_terminal_shows_nothing(tmp_path):
    process = ipython(tmp_path, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    out, err = process.communicate(timeout=60)
    assert b"ended" in out
    assert b"sleep" not in err


def test_a_script_loads_nothing_of_the_notebook():
    done = subprocess.run(
        [sys.executable, "-c", CODE + NOTHING_OF_OURS], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-2:] == ["ended", "[]"]
    assert done.stderr == ""
