"""Rows of several pieces in a new order, made column by column.

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
        Positions in the whole.
    without
        A column to leave out.
    """
    first = pieces[0]
    index = first.index.append([p.index for p in pieces[1:]]).take(order)
    if isinstance(first, pd.Series):
        return pd.Series(_column(pieces, order), index=index, name=first.name, copy=False)
    names = first.columns
    kept = [i for i, name in enumerate(names) if without is None or name != without]
    # By name is much the faster way to a column, and there are many pieces.
    unique = names.is_unique
    columns: dict[int, Any] = {
        i: _column([p[names[i]] if unique else p.iloc[:, i] for p in pieces], order) for i in kept
    }
    for i in kept:
        if pd.api.types.is_object_dtype(first.dtypes.iloc[i]):
            # Of an array of objects that are all text pandas would make another dtype.
            columns[i] = pd.Series(columns[i], index=index, dtype=object, copy=False)
    made = pd.DataFrame(columns, index=index, copy=False)
    made.columns = names[kept]
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
