"""Every public operation has a row: one that has none fails the build."""

from __future__ import annotations

import contextlib
import sys
import warnings

import pytest

import nbscale.dataframe as nd
from nbscale import array as na
from tests.oracle import array_cases
from tests.oracle.array_makers import MAKERS
from tests.oracle.complete import not_tested, public_names, recorded
from tests.oracle.frames import standard_cut
from tests.oracle.test_arrays import cut
from tests.oracle.test_frames import CASES

# What is no operation on data, or is tested where its effect can be seen: with the reason.
ELSEWHERE = {
    "repartition": "changes no value: tests/dataframe/test_recut.py",
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
    "from_pandas": "every row begins with it",
    "read_csv": "tests/dataframe/read/test_csv.py",
    "read_parquet": "tests/dataframe/read/test_parquet.py",
}
OF_ARRAYS = {
    "compute": "every row computes",
    "persist": "tests/array/test_array.py",
    "explain": "tests/test_collection.py",
    "visualize": "tests/test_collection.py",
    "item": "gives a Python number: tests/array/test_array.py",
    "tolist": "gives a list: tests/array/test_array.py",
    "chunks": "tests/array/test_array.py",
    "chunksize": "tests/array/test_array.py",
    "itemsize": "tests/array/test_array.py",
    "nbytes": "tests/array/test_array.py",
    "npartitions": "tests/array/test_array.py",
    "numblocks": "tests/array/test_array.py",
    "size": "tests/array/test_array.py",
    "rechunk": "changes no value: tests/array/test_rechunk.py",
    "map_blocks": "NumPy has none: tests/array/test_blocks.py",
    "from_array": "every row begins with it",
}
FUNCTIONS_OF_ARRAYS = {
    name
    for name in set(na.__all__) - na._NUMPY
    if callable(getattr(na, name)) and not isinstance(getattr(na, name), type)
}


@pytest.fixture
def used():
    """Names of methods, properties and functions of frames that the rows use."""
    names: set[str] = set()
    patch = pytest.MonkeyPatch()
    for cls in (nd.DataFrame, nd.Series, nd.Index, nd.Scalar):
        for name in public_names(cls):
            patch.setattr(cls, name, recorded(getattr(cls, name), name, names))
    for name in ("concat", "merge"):
        patch.setattr(nd, name, recorded(getattr(nd, name), name, names))
    frames = standard_cut("range", "five")[1], standard_cut("range", "five", 20, 1)[1]
    make(CASES, lambda case: frames[: 1 + case.two])
    patch.undo()
    return names


def make(cases, inputs):
    """Make the expression of each row, not computing it."""
    for case in cases:
        # Rows that pandas refuses are rows, too.
        with warnings.catch_warnings(), contextlib.suppress(Exception):
            warnings.simplefilter("ignore")
            case.run(*inputs(case))


def test_every_public_name_of_frames_has_a_row(used):
    names = set().union(*map(public_names, (nd.DataFrame, nd.Series, nd.Index, nd.Scalar)))
    functions = {name for name in nd.__all__ if not isinstance(getattr(nd, name), type)}
    missing = (names | functions) - used - set(ELSEWHERE)
    assert not missing, f"no row in the oracle uses {sorted(missing)}"


@pytest.fixture
def used_of_arrays():
    """Names of methods of arrays that the rows use, and of NumPy's functions they call."""
    names: set[str] = set()
    patch = pytest.MonkeyPatch()
    for name in public_names(na.Array):
        patch.setattr(na.Array, name, recorded(getattr(na.Array, name), name, names))
    # The module; `nbscale.array.array` is the function of that name.
    functions = sys.modules["nbscale.array.array"]._FUNCTIONS
    for function, ours in list(functions.items()):
        patch.setitem(functions, function, recorded(ours, function.__name__, names))
    make(array_cases.CASES, lambda case: cut(case.on[0] if case.on else "clean", 3))
    for name in FUNCTIONS_OF_ARRAYS:
        patch.setattr(na, name, recorded(getattr(na, name), name, names))
    make(MAKERS, lambda case: (na,))
    patch.undo()
    return names


def test_every_public_name_of_arrays_has_a_row(used_of_arrays):
    rows = {case.name.removeprefix("ufunc ") for case in [*array_cases.CASES, *MAKERS]}
    names = public_names(na.Array) | FUNCTIONS_OF_ARRAYS
    missing = names - used_of_arrays - rows - set(OF_ARRAYS)
    assert not missing, f"no row in the oracle uses {sorted(missing)}"


def test_what_is_tested_elsewhere_is():
    assert not list(not_tested(ELSEWHERE))
    assert not list(not_tested(OF_ARRAYS))
    assert list(not_tested({"head": "tests/oracle/complete.py"}))
    assert list(not_tested({"head": "tests/nowhere.py"}))
