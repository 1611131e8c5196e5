"""Real processes, small ones: what is reported must be what the process did."""

from __future__ import annotations

import os
import sys

import pytest

from benchmarks import measure
from benchmarks.measure import environment, run
from benchmarks.registry import Peer, Workload

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

MODULE = """
from benchmarks.registry import Measured, peer, workload

@workload("tiny", reference="grow", setup=lambda options: {"mb": options["mb"]}, options={"mb": 60})
def tiny(value):
    return {"length": len(value)}

@peer("tiny", "grow")
def grow(inputs):
    before = bytearray(inputs["mb"] * 1_000_000)
    for i in range(0, len(before), 4096):
        before[i] = 1
    del before
    def run():
        value = bytearray(inputs["mb"] * 500_000)
        for i in range(0, len(value), 4096):
            value[i] = 1
        return Measured(value, {"mine": 7})
    return run

@peer("tiny", "fork")
def fork(inputs):
    import subprocess, sys
    code = "x = bytearray(80_000_000)\\nfor i in range(0, len(x), 4096): x[i] = 1\\n" \\
        "import time\\nwhile time.process_time() < 0.5: pass"
    return lambda: (subprocess.run([sys.executable, "-c", code], check=True), b"")[1]

@peer("tiny", "broken")
def broken(inputs):
    def run():
        raise ValueError("no such luck")
    return run

@peer("tiny", "absent")
def absent(inputs):
    import a_library_nobody_has

@peer("tiny", "unable")
def unable(inputs):
    from benchmarks.registry import Missing
    raise Missing("it has no feet")

@peer("tiny", "endless")
def endless(inputs):
    def run():
        while True:
            pass
    return run
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    (tmp_path / "tiny_workload.py").write_text(MODULE)
    monkeypatch.setattr(
        measure,
        "environment",
        lambda *, path: (
            {**os.environ, "PYTHONPATH": f"{measure.ROOT}{os.pathsep}{tmp_path}"},
            [],
        ),
    )
    return Workload("tiny", "", dict, None, {"mb": 60}, "grow", 1e-9, "tiny_workload")


def row(tiny, name, timeout=60):
    peer = Peer(name, prepare=lambda inputs: print)
    return run(tiny, peer, {"mb": 60}, options={}, number=1, session=0, timeout=timeout)


def test_inputs_are_made_in_a_process_of_their_own(tiny):
    assert measure.set_up(tiny, {"mb": 5}) == {"mb": 5}


def test_memory_is_that_of_the_timed_part(tiny):
    found = row(tiny, "grow")
    assert found.status == "ok"
    assert found.answer == {"length": 30_000_000}
    assert found.measures["mine"] == 7
    # 30 MB in the timed part; the 60 MB before it are no longer there and do not count.
    assert 29 < found.measures["grown_mb"] < 40
    assert found.measures["peak_mb"] == found.measures["peak_pss_mb"]


def test_processes_below_count(tiny):
    found = row(tiny, "fork")
    assert found.status == "ok", found.error
    assert found.measures["cpu_s"] > 0.5
    assert found.measures["peak_mb"] > 80
    assert found.measures["peak_pss_mb"] < found.measures["peak_mb"]


def test_a_peer_that_raises_gives_a_row_that_says_so(tiny):
    found = row(tiny, "broken")
    assert found.status == "failed"
    assert found.error == "exit code 1: ValueError: no such luck"


def test_a_missing_library_is_not_a_failure(tiny):
    found = row(tiny, "absent")
    assert found.status == "missing"
    assert "a_library_nobody_has" in found.error


def test_a_pool_that_does_not_start_is_not_a_failure(tiny):
    found = row(tiny, "unable")
    assert (found.status, found.error) == ("missing", "it has no feet")


def test_what_takes_too_long_is_stopped(tiny):
    found = row(tiny, "endless", timeout=0.5)
    assert (found.status, found.error) == ("timeout", "stopped after 0.5 s")


def test_a_script_is_timed_as_a_whole():
    script = Peer(
        "s",
        script="import time\nwhile time.process_time() < 0.2: pass\nprint('{\"a\": 1}')",
    )
    found = run(
        Workload("w", "", dict, None, {}, "s", 1e-9, "m"),
        script,
        {},
        options={},
        number=1,
        session=0,
    )
    assert found.answer == {"a": 1}
    assert found.measures["cpu_s"] >= 0.2
    assert found.measures["wall_s"] >= 0.2


def test_runs_do_without_what_misleads_openblas(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    variables, removed = environment(path=True)
    assert "OPENBLAS_CORETYPE" not in variables
    assert "OPENBLAS_CORETYPE" in removed
