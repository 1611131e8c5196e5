from __future__ import annotations

import pickle

import numpy as np
import pytest

import nbscale as ns
from nbscale import array as na


@pytest.fixture(params=["inline", "threads"])
def engine(request):
    with ns.config.set(engine=request.param):
        yield request.param


def test_compute(engine):
    x = np.random.default_rng(1).random((50, 40))
    lazy = na.from_array(x, 15)
    got = (lazy - lazy.mean(axis=0)).dot(lazy.T).compute()
    np.testing.assert_allclose(got, (x - x.mean(axis=0)).dot(x.T), rtol=1e-12, atol=1e-12)
    assert isinstance(lazy.sum().compute(), np.float64)


def test_several_at_once_share_their_work(engine):
    x = na.random.random(100, chunks=30)
    total, doubled, same, again = ns.compute(x.sum(), x * 2, x, x + 0)
    np.testing.assert_array_equal(doubled, same * 2)
    np.testing.assert_array_equal(again, same)
    np.testing.assert_allclose(total, same.sum())


def test_equal_arrays_at_once(engine):
    one, two = ns.compute(na.arange(5, chunks=2), na.arange(5, chunks=2))
    np.testing.assert_array_equal(one, two)
    one[0] = 9
    assert two[0] == 0


def test_persist(engine):
    x = na.random.random((20, 20), chunks=7)
    kept = x.persist()
    assert (kept.shape, kept.dtype, kept.chunks) == (x.shape, x.dtype, x.chunks)
    np.testing.assert_array_equal(kept.compute(), x.compute())
    np.testing.assert_array_equal((kept + 1)[3:9].compute(), x[3:9].compute() + 1)


def test_results_do_not_change_what_is_kept(engine):
    kept = na.ones(5, chunks=-1).persist()
    kept.compute()[:] = 7
    np.testing.assert_array_equal(kept.compute(), np.ones(5))


def test_what_an_array_says_of_itself():
    x = na.ones((4, 6), "f4", chunks=(2, 3))
    assert (x.shape, x.ndim, x.size, x.dtype) == ((4, 6), 2, 24, np.float32)
    assert (x.chunks, x.numblocks, x.npartitions) == (((2, 2), (3, 3)), (2, 2), 4)
    assert (x.chunksize, x.itemsize, x.nbytes, len(x)) == ((2, 3), 4, 96, 4)
    with pytest.raises(TypeError, match="unsized"):
        len(x.sum())


def test_text():
    x = na.ones((4, 6), chunks=(2, 3)) + 1
    assert repr(x) == ("nbscale.Array<add, shape=(4, 6), dtype=float64, chunksize=(2, 3)>")
    assert "shape=(5,)" in repr(na.ones(5))


def test_html():
    shown = (na.ones((40, 60), chunks=(20, 30)) + 1)._repr_html_()
    assert "<svg" in shown
    assert shown.count("<line") == 2
    assert "4 of 20 × 30" in shown
    for array in (
        na.ones(()),
        na.ones(0),
        na.ones(5),
        na.ones(10**6, chunks=1),
        na.ones((2, 3, 4)),
    ):
        assert len(array._repr_html_()) < 5000


def test_html_is_escaped():
    def evil(block):
        return block

    evil.__name__ = "<script>"
    shown = na.ones(3).map_blocks(evil)._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_scalars_act_as_scalars():
    x = na.arange(5)
    assert x.sum() > 3
    assert not x.sum() > 30
    assert int(x.max()) == 4
    assert float(x.mean()) == 2.0
    assert complex(x.sum()) == 10
    assert [10, 20, 30][na.asarray(1)] == 20
    assert x.sum().item() == 10
    assert x.tolist() == [0, 1, 2, 3, 4]
    assert 3 in x
    assert 9 not in x
    assert bool(na.ones((1, 1)))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (bool, ValueError, "more than one element is ambiguous"),
        (float, TypeError, "length-1"),
        (lambda x: bool(x[:0]), ValueError, "no elements"),
        (lambda x: [1, 2][x[0] * 1.0], TypeError, "integer"),
        (hash, TypeError, "unhashable"),
        (np.linalg.inv, TypeError, "numpy.inv does not work on lazy arrays"),
        (lambda x: np.asarray(x, copy=False), ValueError, "computed"),
        (np.add.accumulate, TypeError, "accumulate"),
    ],
)
def test_what_cannot_be(call, error, match):
    with pytest.raises(error, match=match):
        call(na.arange(3))


def test_numpy_takes_lazy_arrays():
    x = na.arange(4, chunks=3)
    np.testing.assert_array_equal(np.asarray(x), [0, 1, 2, 3])
    assert np.asarray(x, dtype="f4").dtype == np.float32
    assert isinstance(np.sin(x), na.Array)
    assert isinstance(np.concatenate([x, np.ones(3)]), na.Array)


def test_what_numpy_asks_of_arrays():
    x = na.ones((2, 3), "f4")
    assert np.shape(x) == (2, 3)
    assert np.ndim(x) == 2
    assert (np.size(x), np.size(x, 1)) == (6, 3)
    assert np.result_type(x, np.int64) == np.float64
    assert isinstance(np.zeros_like(x), na.Array)
    assert np.allclose(x, 1)


def test_a_result_too_large_is_refused_before_it_runs():
    x = na.ones((1_000_000, 1_000_000))
    before = ns.runs()[-1:]
    with pytest.raises(ns.errors.ResultTooLarge, match=r"8 TB.*Compute a slice"):
        x.compute()
    assert ns.runs()[-1:] == before
    assert x[0, 0].compute() == 1
    with ns.config.set(memory_limit="100 MB"), pytest.raises(MemoryError, match="160 MB"):
        na.ones(20_000_000).compute()


def test_names_of_the_module():
    assert na.float64 is np.float64
    assert na.newaxis is None
    assert na.pi == np.pi
    assert set(na.__all__) <= set(dir(na))
    for name in na.__all__:
        assert hasattr(na, name), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = na.nothing
    assert na.sum.__doc__
    assert "element by element" in na.sqrt.__doc__


def test_nodes_travel():
    x = na.random.default_rng(1).random((30, 20), chunks=7)
    y = (x.dot(x.T) - x.mean(axis=1))[::2]
    assert pickle.loads(pickle.dumps(y._node)) is y._node


def test_the_plan_in_words():
    text = (na.random.random((100, 100)) + 1).sum(axis=0).explain()
    assert "random.random" in text
    assert "stages:" in text


def test_a_million_chunks_cost_nothing_to_plan():
    import tracemalloc

    from nbscale.session import current

    (na.ones(3) + 1).sum().compute()
    tracemalloc.start()
    for x in (
        na.ones(1_000_000, chunks=1).sum(),
        na.ones(1_000_000, chunks=1) + na.arange(1_000_000, chunks=1),
        na.ones((1000, 1000), chunks=1).mean(axis=0),
    ):
        current().plan([x._request()])[0].step(None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50_000_000
