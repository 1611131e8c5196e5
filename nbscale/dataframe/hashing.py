"""A 64-bit hash for every row of keys, the same in every process and on every machine.

Text is hashed eight bytes at a time straight from Arrow's buffers, not through Python objects: its
length, its beginning and its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.core.arrays.arrow import ArrowExtensionArray

__all__ = ["hashes"]

_SEED = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_MISSING = np.uint64(0x94D049BB133111EB)
_MOST = 256
"""Bytes of a text that are looked at, beside its last eight."""
_MASKS = np.array([(1 << (8 * n)) - 1 for n in range(8)] + [(1 << 64) - 1], dtype=np.uint64)
"""Which bits of eight bytes count where only n bytes are left."""


def hashes(arrays: Sequence[Any]) -> np.ndarray:
    """One hash for each row of one or more arrays of keys; equal keys have equal hashes."""
    total = np.zeros(len(arrays[0]), dtype=np.uint64)
    for array in arrays:
        total = _mixed(total * _SEED + _hashed(array))
    return total


def _mixed(values: np.ndarray) -> np.ndarray:
    """Spread every bit over all others."""
    values = (values ^ (values >> np.uint64(30))) * _MIX
    return values ^ (values >> np.uint64(31))


def _hashed(array: Any) -> np.ndarray:
    if isinstance(array, np.ndarray) and array.dtype.kind == "f":
        # Equal keys must have equal bits: one zero, one NaN.
        array = np.where(np.isnan(array), np.nan, array + 0.0).astype(np.float64)
    elif isinstance(array, ArrowExtensionArray):
        text = _text_of(array)
        if text is not None:
            return _text_hashes(text)
    return pd.util.hash_array(array, categorize=False)


def _text_of(array: Any) -> Any:
    """The Arrow array of text behind a pandas array, in one piece."""
    found = pa.array(array)
    if isinstance(found, pa.ChunkedArray):
        found = found.combine_chunks()
    if pa.types.is_string(found.type) or pa.types.is_large_string(found.type):
        return found
    return None


def _text_hashes(text: Any) -> np.ndarray:
    n = len(text)
    _, positions, data = text.buffers()
    width = np.int64 if pa.types.is_large_string(text.type) else np.int32
    if n == 0:
        return np.zeros(0, dtype=np.uint64)
    offsets = np.frombuffer(positions, dtype=width)[text.offset : text.offset + n + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    # Eight bytes more, so that the last text can be read eight bytes at a time, too.
    raw = np.zeros(last - first + 8, dtype=np.uint8)
    if last > first:
        raw[:-8] = np.frombuffer(data, dtype=np.uint8, count=last - first, offset=first)
    words = np.ndarray((len(raw) - 7,), dtype="<u8", buffer=raw, strides=(1,))
    starts = (offsets[:-1] - first).astype(np.int64)
    lengths = np.diff(offsets).astype(np.int64)
    total = lengths.astype(np.uint64) * _SEED
    rows = np.arange(n)
    for done in range(0, min(_MOST, int(lengths.max())), 8):
        rows = rows[lengths[rows] > done] if done else rows
        left = np.minimum(lengths[rows] - done, 8)
        chunk = words[np.minimum(starts[rows] + done, len(words) - 1)] & _MASKS[left]
        total[rows] = _mixed(total[rows] * _SEED + chunk)
    if int(lengths.max()) > _MOST:
        rows = np.flatnonzero(lengths > _MOST)
        total[rows] = _mixed(total[rows] * _SEED + words[starts[rows] + lengths[rows] - 8])
    if text.null_count:
        total[np.asarray(text.is_null())] = _MISSING
    return total
