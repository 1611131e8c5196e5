"""Every row of the oracle's table of arrays, in this thread, over several chunks."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from nbscale import array as na
from tests.array.serial import run
from tests.oracle.array_cases import CASES, CHUNKS, INPUTS, cases_of


def check(got, want, rule, scale=None):
    got, want = np.asarray(got), np.asarray(want)
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    if rule == "exact":
        np.testing.assert_array_equal(got, want)
        if want.dtype.kind == "f":
            np.testing.assert_array_equal(np.signbit(got), np.signbit(want))
    elif rule == "sum":
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12 * scale)
    else:
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "chunks"), [(n, c) for n, some in CHUNKS.items() for c in some], ids=str
)
def test_lazy_arrays_give_what_numpy_gives(name, chunks):
    x, y = INPUTS[name]()
    lazy_x, lazy_y = na.from_array(x, chunks), na.from_array(y, 4)
    failed = []
    for case in cases_of(name):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            want = case.run(x, y)
        wanted = want if isinstance(want, tuple) else (want,)
        scale = np.nansum(np.abs(np.where(np.isfinite(x), x, 0))) + 1
        try:
            got = case.run(lazy_x, lazy_y)
            gots = got if isinstance(got, tuple) else (got,)
            assert all(isinstance(g, na.Array) for g in gots)
            for g, w in zip(gots, wanted, strict=True):
                assert (g.shape, g.dtype) == (np.shape(w), np.asarray(w).dtype)
                check(run(g).value, w, case.rule, scale)
        except Exception as error:  # noqa: BLE001 - all rows are tried
            failed.append((case.name, repr(error)[:600]))
    assert not failed, "\n".join(f"{n}: {e}" for n, e in failed)


def test_case_names_are_unique():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
