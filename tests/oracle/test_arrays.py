"""Every row of the table of arrays, on every input, in several chunkings, on every engine."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pytest

from nbscale import array as na
from nbscale import config
from nbscale.testing.oracle import assert_same
from tests.oracle.array_cases import CASES, CHUNKS, INPUTS
from tests.oracle.array_makers import MAKERS

ENGINES = ("inline", "threads", "local")


@functools.cache
def cut(name, chunks):
    """The two arrays of an input, lazily; made once, so that nodes over them are shared."""
    x, y = INPUTS[name]()
    return na.from_array(x, chunks), na.from_array(y, 4)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equal_to_numpy(case):
    for name in case.on or INPUTS:
        plain = INPUTS[name]()
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            want = case.run(*plain)
            scale = absolute(case, plain) if case.rule == "sum" else None
        for chunks in CHUNKS[name]:
            made = case.run(*cut(name, chunks))
            for engine in ENGINES:
                try:
                    for lazy, array in zip(several(made), several(want), strict=True):
                        check(lazy, array, case.rule, scale, engine)
                except BaseException as error:
                    error.add_note(f"case {case.name!r}, {name} in chunks {chunks}, on {engine}")
                    raise


@pytest.mark.parametrize("case", MAKERS, ids=lambda case: case.name)
def test_makers_equal_to_numpy(case):
    want = case.run(np)
    for chunks in ({}, {"chunks": 2}, {"chunks": -1}):
        made = case.run(na, **chunks)
        for engine in ENGINES:
            check(made, want, case.rule, None, engine)


def several(made):
    """The results of a function that may have more than one."""
    return made if isinstance(made, tuple) else (made,)


def check(made, want, rule, scale, engine):
    assert isinstance(made, na.Array)
    with config.set(engine=engine):
        got = made.compute()
    assert_same(got, want, rule, scale)
    if rule == "exact" and np.asarray(want).dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(got), np.signbit(want))
    assert made.shape == np.shape(want)
    assert made.dtype == np.asarray(want).dtype
    if isinstance(got, np.ndarray):
        assert got.flags.writeable


def absolute(case, plain):
    """The same operation on absolute values: what rounding is measured against."""
    given = [np.abs(a) if a.dtype.kind in "fc" else a for a in plain]
    try:
        return np.abs(case.run(*given))
    except Exception:  # noqa: BLE001 - then the answer itself is the measure
        return None


def test_names_are_unique():
    names = [case.name for case in [*CASES, *MAKERS]]
    assert len(set(names)) == len(names)


def test_every_input_has_chunks_of_several_kinds():
    assert set(INPUTS) == set(CHUNKS)
    assert sum(len(chunks) > 1 for chunks in CHUNKS.values()) >= 5
