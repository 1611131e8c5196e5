"""Values come out of bytes as they went in, large buffers without a copy."""

from __future__ import annotations

import cloudpickle
import numpy as np
import pandas as pd
import pytest

from nbscale.store.codec import decode, decode_piece, encode, encode_pieces
from nbscale.testing.oracle import assert_same

VALUES = {
    "number": 3,
    "text": "ä" * 5000,
    "none": None,
    "array": np.arange(10_000.0).reshape(100, 100),
    "fortran": np.asfortranarray(np.arange(10_000).reshape(100, 100)),
    "strided": np.arange(10_000)[::3],
    "objects": np.array([1, "a", None], dtype=object),
    "empty": np.zeros((0, 3)),
    "frame": pd.DataFrame(
        {
            "a": np.arange(2000),
            "s": pd.Series(["x", None, "yy", ""] * 500, dtype="str"),
            "c": pd.Categorical(["p", "q"] * 1000),
            "t": pd.date_range("2020", periods=2000, tz="Europe/Vienna"),
        }
    ),
    "series": pd.Series(np.arange(1000.0), name=("a", 1)),
}


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("dumps", [None, cloudpickle.dumps])
def test_round_trip(name, dumps):
    value = VALUES[name]
    encoded = encode(value) if dumps is None else encode(value, dumps)
    data = encoded.to_bytes()
    assert len(data) == encoded.nbytes
    found = decode(memoryview(data))
    if isinstance(value, np.ndarray):
        np.testing.assert_array_equal(found, value)
        assert found.dtype == value.dtype
    elif isinstance(value, (pd.DataFrame, pd.Series)):
        assert_same(found, value)
    else:
        assert found == value


def test_a_large_array_is_a_view():
    data = memoryview(bytearray(encode(np.zeros(10_000)).to_bytes()))
    found = decode(data)
    found[7] = 3.0
    assert decode(data)[7] == 3.0


def test_pieces_are_read_alone():
    values = [np.full(n * 1000, n) for n in range(5)] + ["text", None]
    data = memoryview(encode_pieces(values).to_bytes())
    for n in range(5):
        np.testing.assert_array_equal(decode_piece(data, n), values[n])
    assert decode_piece(data, 5) == "text"
    assert decode_piece(data, 6) is None
    with pytest.raises(IndexError):
        decode_piece(data, 7)


def test_a_slice_of_a_frame_does_not_take_the_whole_along():
    whole = pd.DataFrame({"a": np.arange(100_000), "s": ["some text"] * 100_000})
    part = whole.iloc[500:600]
    assert encode(part).nbytes < 20_000
