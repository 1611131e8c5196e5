from __future__ import annotations

import numpy as np
import pytest

from nbscale import array as na
from nbscale.array.io import fingerprint
from nbscale.errors import SourceChanged
from tests.array.serial import run

LARGE = 200_000


class Sliceable:
    """What h5py and zarr are like: slices only, no steps backwards."""

    def __init__(self, values):
        self.values = values
        self.shape = values.shape
        self.dtype = values.dtype
        self.read = []

    def __getitem__(self, where):
        assert all(w.step is None or w.step > 0 for w in where)
        self.read.append(where)
        return self.values[where]


def test_a_small_array_is_a_snapshot():
    x = np.arange(10)
    lazy = na.from_array(x, chunks=4)
    x[3] = 99
    np.testing.assert_array_equal(run(lazy).value, np.arange(10))


@pytest.mark.parametrize("place", [0, 12345, LARGE - 1])
def test_writing_into_a_large_array_is_seen(place):
    x = np.arange(float(LARGE))
    lazy = na.from_array(x) + 1
    assert run(lazy).value[-1] == LARGE
    x[place] += 1
    with pytest.raises(SourceChanged, match="written to"):
        lazy._request() and run(lazy)


def test_an_exchange_of_two_values_is_seen():
    x = np.random.default_rng(1).random(LARGE)
    lazy = na.from_array(x)
    x[[10, 11]] = x[[11, 10]]
    with pytest.raises(SourceChanged):
        run(lazy)


def test_a_large_array_is_not_copied():
    x = np.ones((LARGE // 10, 10))
    lazy = na.from_array(x)
    assert lazy._node.data.values is x
    assert na.from_array(x[::2])._node.data.values is not x


def test_fingerprints_see_every_order():
    x = np.ones((300, 1000))
    assert fingerprint(x) == fingerprint(x.copy())
    assert fingerprint(np.asfortranarray(x)) == fingerprint(x)


def test_results_are_the_users_own():
    x = np.ones(LARGE)
    lazy = na.from_array(x, chunks=-1)
    got = run(lazy).value
    got[:] = 5
    assert x[0] == 1
    assert run(lazy).value[0] == 1


def test_what_can_be_sliced_is_read_by_chunks_and_slices():
    x = np.arange(40.0).reshape(10, 4)
    source = Sliceable(x)
    lazy = na.from_array(source, chunks=(3, 4))
    assert source.read == []
    np.testing.assert_array_equal(run(lazy[4:6, 1:]).value, x[4:6, 1:])
    assert sum(x[w].size for w in source.read) == 6
    np.testing.assert_array_equal(run(lazy[::-2]).value, x[::-2])
    np.testing.assert_array_equal(run(lazy + 1).value, x + 1)


def test_asarray_and_array():
    x = na.asarray([[1, 2], [3, 4]])
    assert na.asarray(x) is x
    assert na.asarray(x, "f4").dtype == np.float32
    assert na.array(5, ndmin=2).shape == (1, 1)
    assert na.array(x, ndmin=3).shape == (1, 2, 2)
    assert na.asanyarray(range(3)).shape == (3,)
    assert run(na.asarray(3.5)).value == 3.5


def test_objects_and_text():
    objects = np.array([1, "a", None], object)
    assert run(na.from_array(objects, 2)).value.tolist() == [1, "a", None]
    text = np.array(["ab", "c"])
    np.testing.assert_array_equal(run(na.from_array(text, 1) == "c").value, text == "c")


def test_pandas_values():
    import pandas as pd

    np.testing.assert_array_equal(run(na.from_array(pd.Series([1, 2, 3]))).value, [1, 2, 3])
