from __future__ import annotations

import numpy as np
import pytest

from nbscale import array as na
from nbscale.errors import EngineError
from tests.array.serial import run


def test_a_function_of_blocks():
    x = np.arange(12).reshape(3, 4)
    lazy = na.from_array(x, (2, 3))
    made = lazy.map_blocks(lambda b: b * 2.5)
    assert made.dtype == np.float64
    np.testing.assert_array_equal(run(made).value, x * 2.5)
    assert made._node.user_code
    assert "lambda" in made._node.label


def test_several_arrays_scalars_and_options():
    x = np.arange(12).reshape(3, 4)
    lazy = na.from_array(x, 2)
    made = na.map_blocks(lambda a, b, c, k: a + b * c + k, lazy, x[0], 10, k=1)
    np.testing.assert_array_equal(run(made).value, x + x[0] * 10 + 1)


def test_blocks_of_another_size():
    lazy = na.arange(12, chunks=4)
    made = lazy.map_blocks(lambda b: b[:2], chunks=2, dtype=int)
    assert made.chunks == ((2, 2, 2),)
    np.testing.assert_array_equal(run(made).value, [0, 1, 4, 5, 8, 9])
    made = lazy.map_blocks(lambda b: b[b > 5][:1], chunks=((0, 1, 1),), dtype=int)
    np.testing.assert_array_equal(run(made).value, [6, 8])


def test_the_place_of_a_block():
    made = na.zeros((4, 4), chunks=2).map_blocks(
        lambda b, block_id: b + block_id[0] * 10 + block_id[1]
    )
    assert run(made).value[::2, ::2].tolist() == [[0, 1], [10, 11]]


def test_a_function_may_write_into_its_block():
    def scribble(block):
        block[...] = 7
        return block

    x = np.zeros(4)
    lazy = na.from_array(x, 2)
    assert run(lazy.map_blocks(scribble) + lazy).value.tolist() == [7] * 4
    assert not x.any()


def test_a_block_of_the_wrong_shape():
    made = na.ones(4, chunks=2).map_blocks(lambda b: b[:1], dtype=float)
    with pytest.raises(ValueError, match=r"returned shape \(1,\) for block \(0,\)"):
        run(made)


def test_a_function_that_fails_where_its_dtype_is_looked_for():
    def picky(block):
        if block.size < 2:
            raise KeyError("too small")
        return block

    with pytest.raises(KeyError, match="Pass dtype="):
        na.ones(4).map_blocks(picky)
    assert run(na.ones(4).map_blocks(picky, dtype=float)).value.sum() == 4


def test_chunks_that_are_not_said_right():
    with pytest.raises(ValueError, match="2 blocks"):
        na.ones(4, chunks=2).map_blocks(lambda b: b, chunks=((1, 1, 1),))
    with pytest.raises(ValueError, match="axes"):
        na.ones(4, chunks=2).map_blocks(lambda b: b, chunks=(1, 2))
    with pytest.raises(TypeError, match="at least one array"):
        na.map_blocks(lambda b: b, 3)


def test_threads_run_no_functions_of_the_users():
    made = na.ones(4).map_blocks(lambda b: b + 1)
    assert made.compute().tolist() == [2] * 4
    with pytest.raises(EngineError, match="calls your function"):
        made.compute(engine="threads")
