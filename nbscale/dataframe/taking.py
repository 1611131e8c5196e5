"""Rows of several pieces in a new order.

To concatenate the pieces and then to take rows holds everything three times; this holds it twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = ["as_range", "taken"]


def taken(pieces: Sequence[Any], order: npt.NDArray[np.int64], without: Any = None) -> Any:
    """The rows of frames or series, one piece after the other, at the positions given.

    Parameters
    ----------
    pieces
        At least one, all with the same columns and dtypes.
    order
        Positions in the whole, each of them once.
    without
        A column to leave out.
    """
    first = pieces[0]
    # Cut anew, since a RangeIndex keeps the labels that were made of it.
    index = first.index[:].append([p.index[:] for p in pieces[1:]]).take(order)
    if isinstance(first, pd.Series):
        return pd.Series(_column(pieces, order), index=index, name=first.name, copy=False)
    names, dtypes = first.columns, list(first.dtypes)
    kept = [i for i, name in enumerate(names) if without is None or name != without]
    columns: dict[int, Any] = dict.fromkeys(kept)
    if len(order) <= _SHORT * len(pieces):
        plain = [i for i in kept if isinstance(dtypes[i], np.dtype)]
        if plain:  # otherwise each piece would be copied for nothing
            columns.update(_scattered(pieces, order, plain))
    for i in kept:
        if columns[i] is None:
            columns[i] = _column([_at(piece, i) for piece in pieces], order)
        if pd.api.types.is_object_dtype(dtypes[i]):
            # Of an array of objects that are all text pandas would make another dtype.
            columns[i] = pd.Series(columns[i], index=index, dtype=object, copy=False)
    made = pd.DataFrame(columns, index=index, copy=False)
    made.columns = names[kept]
    return made


def _at(frame: pd.DataFrame, i: int) -> pd.Series:
    # By name is much the faster way to a column, and there are many pieces.
    return frame[frame.columns[i]] if frame.columns.is_unique else frame.iloc[:, i]


_SHORT = 1000
"""Pieces of so many rows on average are short.

pandas notes at a column who looks at it, and a note is as large as twenty rows. Notes go with the
column, so pieces that are short are copied, one at a time, and the notes are made at the copy.
"""


def _scattered(
    pieces: Sequence[pd.DataFrame], order: npt.NDArray[np.int64], at: Sequence[int]
) -> dict[int, npt.NDArray[Any]]:
    """Columns of NumPy's dtypes, filled piece by piece.

    Slower than to join a column and to take from it, but if pieces are short.
    """
    n = len(order)
    places = np.empty(n, dtype=np.int32 if n <= np.iinfo(np.int32).max else np.int64)
    places[order] = np.arange(n, dtype=places.dtype)
    made: dict[int, npt.NDArray[Any]] = {}
    start = 0
    for piece in pieces:
        noted = piece.copy()
        to = places[start : start + len(piece)]
        start += len(piece)
        for i in at:
            values = _at(noted, i).to_numpy()
            if i not in made:
                made[i] = np.empty(n, dtype=values.dtype)
            elif made[i].dtype != values.dtype:
                made[i] = made[i].astype(np.promote_types(made[i].dtype, values.dtype))
            made[i][to] = values
    return made


def _column(parts: Sequence[pd.Series], order: npt.NDArray[np.int64]) -> Any:
    if len(parts) == 1:
        return parts[0].array.take(order)
    if isinstance(parts[0].dtype, np.dtype):
        return np.concatenate([part.to_numpy() for part in parts])[order]
    return pd.concat(list(parts), ignore_index=True).array.take(order)


def as_range(value: Any) -> Any:
    """The value with an index that counts evenly made a RangeIndex, as pandas' own take does."""
    index = value.index
    if isinstance(index, pd.RangeIndex) or index.dtype != np.int64:
        return value
    labels = index.to_numpy()
    step = int(labels[1] - labels[0]) if len(labels) > 1 else 1
    if len(labels) > 1 and (step == 0 or not (np.diff(labels) == step).all()):
        return value
    first = int(labels[0]) if len(labels) else 0
    counted = pd.RangeIndex(first, first + step * len(labels), step, name=index.name)
    return value.set_axis(counted)
