"""Every public operation and every node has a row: one that has none fails the build."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

import nbscale.dataframe as nd
from nbscale.dataframe.node import Frame
from nbscale.expr.node import walk
from tests.oracle.frames import cut, standard
from tests.oracle.test_frames import CASES

# What is no operation on data, or is tested where its effect can be seen: with the reason.
ELSEWHERE = {
    "compute": "every row computes",
    "persist": "tests/test_collection.py",
    "explain": "tests/test_collection.py",
    "visualize": "tests/test_collection.py",
    "to_parquet": "tests/dataframe/test_write.py",
    "name": "a fact of the schema, compared in every row",
    "dtype": "a fact of the schema, compared in every row",
    "dtypes": "a fact of the schema: tests/dataframe/test_dataframe.py",
    "columns": "a fact of the schema, compared in every row",
    "ndim": "tests/dataframe/test_dataframe.py",
    "shape": "tests/dataframe/test_dataframe.py",
    "empty": "tests/dataframe/test_dataframe.py",
    "size": "tests/dataframe/test_dataframe.py",
    "npartitions": "tests/dataframe/test_rows.py",
    "partitions": "tests/dataframe/test_rows.py",
    "get_partition": "tests/dataframe/test_rows.py",
    "divisions": "tests/dataframe/test_rows.py",
    "known_divisions": "tests/dataframe/test_rows.py",
    "head": "computes at once: tests/dataframe/test_rows.py",
    "tail": "computes at once: tests/dataframe/test_rows.py",
}
ABSTRACT = {"FrameSource", "FrameMap", "FrameReduce", "FrameScan", "FrameExchange", "FrameAdaptive"}
NODES_ELSEWHERE = {
    "FrameHeld": "tests/test_collection.py",
    "ReadCsv": "tests/dataframe/read/test_csv.py",
    "ReadParquet": "tests/dataframe/read/test_parquet.py",
    "NumberRows": "tests/dataframe/test_source.py",
    "WriteParts": "tests/dataframe/test_write.py",
    "Commit": "tests/dataframe/test_write.py",
    "CountRows": "tests/dataframe/test_rows.py",
    "FirstRows": "tests/dataframe/test_rows.py",
    "FirstOfEach": "tests/dataframe/test_rows.py",
    "Partitions": "tests/dataframe/test_rows.py",
}


@pytest.fixture(scope="module")
def seen():
    """Names used and node classes made while all rows are made once."""
    used: set[str] = set()
    made: set[str] = set()
    patch = pytest.MonkeyPatch()
    for cls in (nd.DataFrame, nd.Series, nd.Index, nd.Scalar):
        for name in public_names(cls):
            patch.setattr(cls, name, recorded(getattr(cls, name), name, used))
    try:
        for frame in ("range", "sorted"):
            for case in CASES:
                lazy = cut(standard(frame), "five")[1]
                others = [cut(standard(frame, 20, 1), "five")[1]] if case.two else []
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    try:
                        collection = case.run(lazy, *others)
                        node = collection._node
                    except Exception:  # noqa: BLE001 - rows that pandas refuses, too
                        continue
                made.update(type(n).__name__ for n in walk((node,)))
    finally:
        patch.undo()
    return used, made


def public_names(cls: type) -> list[str]:
    return [name for name in dir(cls) if not name.startswith("_")]


def recorded(member: Any, name: str, used: set[str]) -> Any:
    if isinstance(member, property):

        def get(self: Any) -> Any:
            used.add(name)
            return member.fget(self)

        return property(get)

    def call(*args: Any, **kwargs: Any) -> Any:
        used.add(name)
        return member(*args, **kwargs)

    return call if isinstance(member, Callable) else member


@pytest.mark.parametrize("cls", [nd.DataFrame, nd.Series, nd.Index, nd.Scalar])
def test_every_public_name_has_a_row(cls, seen):
    missing = set(public_names(cls)) - seen[0] - set(ELSEWHERE)
    assert not missing, f"no row in the oracle uses {sorted(missing)}"


def test_every_node_has_a_row(seen):
    nodes = {cls.__name__ for cls in subclasses(Frame) if cls.__module__.startswith("nbscale.")}
    missing = nodes - seen[1] - ABSTRACT - set(NODES_ELSEWHERE)
    # Nodes that an adaptive one becomes are seen only when it is built.
    built = {name for name in missing if name.startswith("_")}
    assert not missing - built, f"no row in the oracle makes {sorted(missing - built)}"


def subclasses(cls: type) -> set[type]:
    found = set(cls.__subclasses__())
    return found.union(*(subclasses(c) for c in found)) if found else found
