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
    kept = [i for i, name in enumerate(first.columns) if without is None or name != without]
    made = pd.DataFrame(
        {i: _column([p.iloc[:, i] for p in pieces], order) for i in kept}, index=index, copy=False
    )
    made.columns = first.columns[kept]
    return made


def _column(parts: Sequence[pd.Series], order: npt.NDArray[np.int64]) -> Any:
    arrays = [part.array for part in parts]
    if len(arrays) == 1:
        return arrays[0].take(order)
    if isinstance(arrays[0].dtype, np.dtype) and arrays[0].dtype.kind not in "mM":
        return np.concatenate([np.asarray(a) for a in arrays])[order]
    whole = pd.concat([pd.Series(a, copy=False) for a in arrays], ignore_index=True)
    return whole.array.take(order)


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
