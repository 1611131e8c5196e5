"""Arrays of columns, NumPy's or pandas' own: joining them, and the numbers in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["dates_of", "joined", "numbers", "unit_of", "values_of"]


def values_of(column: Any) -> Any:
    """The array behind a series or index: NumPy's where there is one."""
    return column.to_numpy() if isinstance(column.dtype, np.dtype) else column.array


def joined(arrays: Sequence[Any]) -> Any:
    """Arrays of one dtype, one after the other; pandas finds the common dtype of others."""
    if len(arrays) == 1:
        return arrays[0]
    first = arrays[0]
    if all(isinstance(a, np.ndarray) and a.dtype == first.dtype for a in arrays):
        return np.concatenate(arrays)
    if all(a.dtype == first.dtype for a in arrays) and hasattr(first, "_concat_same_type"):
        return type(first)._concat_same_type(arrays)  # noqa: SLF001 - of the extension interface
    whole = pd.concat([pd.Series(a) for a in arrays], ignore_index=True)
    return whole.to_numpy() if isinstance(whole.dtype, np.dtype) else whole.array


def numbers(column: pd.Series) -> np.ndarray:
    """The values that are there, as float64 (or complex128); dates as their integers."""
    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biu":
        return column.to_numpy(dtype=np.float64)
    if isinstance(dtype, np.dtype) and dtype.kind in "fc":
        values = column.to_numpy(dtype=np.complex128 if dtype.kind == "c" else np.float64)
        missing = np.isnan(values)
        return values[~missing] if missing.any() else values
    there = column.dropna()
    if dtype.kind in "mM":
        return np.asarray(there.array.view("i8"), dtype=np.float64)
    return there.to_numpy(dtype=np.float64)


def unit_of(dtype: Any) -> str:
    """The unit of dates or time differences."""
    return dtype.unit if hasattr(dtype, "unit") else np.datetime_data(dtype)[0]


def dates_of(whole: np.ndarray, dtype: Any) -> Any:
    """Dates or time differences from their integers."""
    plain = whole.astype(np.int64, copy=False).view(f"{dtype.kind}8[{unit_of(dtype)}]")
    if isinstance(dtype, pd.DatetimeTZDtype):
        return pd.DatetimeIndex(plain, tz="UTC").tz_convert(dtype.tz).array
    return plain
