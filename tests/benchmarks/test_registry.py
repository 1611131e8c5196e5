from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks import registry
from benchmarks.registry import load_workloads, peer, script, workload


@pytest.fixture
def empty(monkeypatch):
    monkeypatch.setattr(registry, "WORKLOADS", {})
    return registry.WORKLOADS


def make():
    @workload("adding", reference="plain", options={"n": 3})
    def adding(value):
        """Add numbers.

        More about it.
        """
        return {"sum": value}

    @peer("adding", "plain")
    def plain(inputs):
        return lambda: sum(range(inputs["n"]))

    script("adding", "process", "pass")


def test_what_is_registered_is_found(empty):
    make()
    found = empty["adding"]
    assert found.summary == "Add numbers."
    assert list(found.peers) == ["plain", "process"]
    assert found.peers["plain"].prepare({"n": 4})() == 6
    assert [p.name for p in found.choose(["process"])] == ["process"]
    assert found.with_options({"n": 9}) == {"n": 9}


def test_unknown_names_are_answered_with_the_known_ones(empty):
    make()
    with pytest.raises(ValueError, match="no peer dask; it has: plain, process"):
        empty["adding"].choose(["dask"])
    with pytest.raises(ValueError, match="no option m; it has: n"):
        empty["adding"].with_options({"m": 1})


def test_a_name_is_registered_once(empty):
    make()
    with pytest.raises(ValueError, match="two workloads named 'adding'"):
        make()
    with pytest.raises(ValueError, match="two peers named 'plain'"):
        peer("adding", "plain")(lambda inputs: print)


def test_gates_and_references_name_peers_there_are():
    for found in load_workloads().values():
        assert found.reference in found.peers
        for gate in found.gates:
            assert gate.peer in found.peers
            assert gate.baseline is None or gate.baseline in found.peers


def test_loading_the_workloads_imports_no_peer():
    code = (
        "import sys; from benchmarks.registry import load_workloads; load_workloads(); "
        "import benchmarks.runner, benchmarks.long; "
        "print(sorted({'numpy', 'pandas', 'dask', 'polars', 'nbscale', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
