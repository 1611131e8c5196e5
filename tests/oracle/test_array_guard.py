"""The guard on every row of arrays, on 32 chunks of at least 256 kB."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pytest

from nbscale import array as na
from nbscale.session import runs
from tests.oracle.array_cases import CASES, INPUTS
from tests.oracle.guard import Guarded, run_guarded
from tests.oracle.test_arrays import several

CHUNKS = 32

# Rows whose words hold the shape of the small inputs: the same on large ones.
LARGE = {
    "reshape": lambda x, y: x.reshape(4096, 512),
    "reshape split": lambda x, y: np.reshape(x, (2048, 32, 32)),
    "reshape mixed": lambda x, y: x.reshape(1, 4096, 1, 512),
    "reshape cube": lambda x, y: x.reshape(8192, 128),
    "reshape cube back": lambda x, y: x.reshape(2, 32, 16384),
    "reshape 1-d": lambda x, y: y.reshape(2, 512),
    "broadcast_to": lambda x, y: np.broadcast_to(y, (300, 1024)),
    "broadcast_to long": lambda x, y: np.broadcast_to(x[:, :1], (2048, 900)),
    "mask of all axes": lambda x, y: x[np.arange(x.size).reshape(x.shape) % 3 == 0],
    "rmatmul": lambda x, y: np.ones((2, 2048)) @ x,
    "matmul of small ints": lambda x, y: x[:, :64] @ x[:, :64].T,
}


def large(name):
    """The arrays of an input, made large by repeating them, and the chunks of the first."""
    x, y = INPUTS[name]()
    if x.ndim == 3:
        shape, chunks = (64, 128, 128), (8, 64, 64)
    elif x.itemsize == 1:
        shape, chunks = (4096, 2048), (512, 512)
    else:
        shape, chunks = (2048, 1024), (256, 256)
    return np.resize(x, shape), np.resize(y, shape[-y.ndim :]), chunks


@functools.cache
def lazy(name):
    x, y, chunks = large(name)
    first = na.from_array(x, chunks)
    assert first.npartitions == CHUNKS
    assert x.nbytes >= CHUNKS * 256_000
    return first, na.from_array(y, chunks[-y.ndim :])


def test_exceptions_are_few():
    excused = [case.name for case in CASES if case.why]
    assert len(excused) <= 0.02 * len(CASES), excused


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_task_takes_more_than_its_share(case):
    on = [name for name in case.on or INPUTS if name != "empty"] or ["clean"]
    before = len(runs())
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        made = LARGE.get(case.name, case.run)(*lazy(on[0]))
        assert case.why or len(runs()) == before, "making the expression computed something"
        guarded = Guarded()
        run_guarded(guarded, *several(made))
    if not case.why:
        guarded.check()


def test_large_rows_are_rows():
    assert set(LARGE) <= {case.name for case in CASES}
