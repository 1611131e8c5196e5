from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nbscale import array as na
from nbscale.array.chunks import Cut
from nbscale.array.rechunk import recut
from nbscale.collection import wrap
from tests.array.serial import run


def cut_of(length):
    """Any sizes that add up, zeros among them."""
    return st.lists(st.integers(0, length), max_size=4).map(
        lambda at: Cut.of(np.diff([0, *sorted(at), length]))
    )


@given(st.data())
def test_any_chunks_become_any_others(data):
    x = np.arange(42).reshape(6, 7)
    old, new = (tuple(data.draw(cut_of(n)) for n in x.shape) for _ in range(2))
    lazy = wrap(recut(na.from_array(x)._node, old))
    again = wrap(recut((lazy + 0)._node, new))
    np.testing.assert_array_equal(run(again).value, x)
    assert again.chunks == tuple(cut.sizes for cut in new)


def test_rechunk_to_the_same_chunks_is_nothing():
    x = na.ones((4, 4), chunks=2)
    assert x.rechunk(2)._node is x._node
    assert x.rechunk({0: 4}).rechunk({0: 2})._node is not None
    assert x.rechunk({0: 4}).chunks == ((4,), (2, 2))


def test_rechunking_twice_moves_the_data_once():
    x = na.ones((8, 8), chunks=4)
    assert len(run(x.rechunk(2).rechunk((8, 1))).stages) == 2


def test_rows_to_columns():
    x = np.arange(1000).reshape(20, 50)
    lazy = na.from_array(x, (1, 50)).rechunk((20, 1))
    np.testing.assert_array_equal(run(lazy).value, x)
