from __future__ import annotations

import numpy as np
import pytest

import nbscale as ns
from nbscale import array as na


@pytest.fixture
def x():
    return na.random.default_rng(1).random((40, 6), chunks=(7, 4))


def runs():
    """How many there have been: the session keeps a thousand."""
    return max((run.run for run in ns.runs()), default=0)


def test_a_mask_is_lazy_until_its_shape_is_wanted(x):
    before = runs()
    chosen = x[x[:, 0] > 0.5]
    assert "known when computed" in repr(chosen)
    assert "known when computed" in chosen._repr_html_()
    assert chosen.dtype == x.dtype
    assert chosen.ndim == 2
    assert runs() == before
    values = x.compute()
    want = values[values[:, 0] > 0.5]
    assert chosen.shape == want.shape
    again = runs()
    assert chosen.shape == want.shape
    assert len(chosen) == len(want)
    assert runs() == again
    np.testing.assert_array_equal(chosen.compute(), want)


@pytest.mark.parametrize("engine", ["inline", "threads"])
def test_a_mask_is_one_run_when_nobody_asks(x, engine):
    values = x.compute()
    before = runs()
    np.testing.assert_array_equal(x[x > 0.25].compute(engine=engine), values[values > 0.25])
    assert runs() == before + 1


def test_work_on_what_is_chosen(x):
    values = x.compute()
    some = x[x > 0.5]
    np.testing.assert_array_equal(
        (some * 2 + 1)[::3].compute(), (values[values > 0.5] * 2 + 1)[::3]
    )
    np.testing.assert_allclose(some.mean().compute(), values[values > 0.5].mean(), rtol=1e-12)
    kept = some.persist()
    np.testing.assert_array_equal(kept.compute(), values[values > 0.5])


def test_masks_that_do_not_fit(x):
    with pytest.raises(IndexError, match="size of axis is 40 but size"):
        x[na.ones(3) > 0]
    with pytest.raises(IndexError, match="too many indices"):
        x[na.ones((40, 6, 2)) > 0]
    with pytest.raises(NotImplementedError, match="integers"):
        x[na.arange(3)]
    with pytest.raises(NotImplementedError, match="alone"):
        x[:, na.ones(6) > 0]


def test_a_lazy_integer_is_one(x):
    np.testing.assert_array_equal(x[na.asarray(3)].compute(), x[3].compute())


@pytest.mark.parametrize("engine", ["inline", "threads"])
def test_chunks_of_which_nothing_is_left(engine):
    a = np.array([[1.0, 2], [-1, 2], [3, -4], [-5, 0]])
    x = na.from_array(a, 1)
    some, want = x[x[:, 0] > 0], a[a[:, 0] > 0]
    assert some.chunks == ((1, 1), (1, 1))
    one, want_one = x[x[:, 0] > 2], a[a[:, 0] > 2]
    for lazy, array in (
        (some.reshape(-1), want.reshape(-1)),
        (some[some > 0], want[want > 0]),
        (one + x, want_one + a),
        ((one > 0).any(axis=1), (want_one > 0).any(axis=1)),
        (x[x > 9], a[a > 9]),
        (x[x > 9].sum(), a[a > 9].sum()),
        (x[x[:, 0] > 9].T, a[a[:, 0] > 9].T),
    ):
        np.testing.assert_array_equal(lazy.compute(engine=engine), array)


@pytest.mark.parametrize("engine", ["inline", "threads"])
def test_what_was_counted_is_not_counted_again(x, engine):
    values = x.compute()
    some = x[x[:, 0] + 1 > 1.5] + 1
    some = some[some[:, 1] * 2 > 3] + 1
    before = runs()
    got = ((some + 1) * 2 > 5).any(axis=1).compute(engine=engine)
    assert runs() == before + 1
    want = values[values[:, 0] + 1 > 1.5] + 1
    want = want[want[:, 1] * 2 > 3] + 1
    np.testing.assert_array_equal(got, ((want + 1) * 2 > 5).any(axis=1))
