"""Arrays with a row for each group: merging them, and the floats that means are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nbscale.dataframe.arrays import dates_of, unit_of, values_of

__all__ = ["added", "as_means", "floats", "folded"]


def added(values: Any, codes: np.ndarray, n: int) -> Any:
    """Sum by group."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "iufc":
        if values.dtype == np.float64 and len(values):
            return np.bincount(codes, weights=values, minlength=n)
        wide = {"f": np.float64, "i": np.int64, "u": np.uint64, "c": np.complex128}
        total: np.ndarray = np.zeros(n, dtype=wide[values.dtype.kind])
        np.add.at(total, codes, values)
        return total.astype(values.dtype)
    return _by_pandas(values, codes, n, "sum")


def _by_pandas(values: Any, codes: np.ndarray, n: int, method: str) -> Any:
    labels = pd.Categorical.from_codes(codes, categories=pd.RangeIndex(n), validate=False)
    grouped = pd.Series(values).groupby(labels, observed=False, sort=True)
    return values_of(getattr(grouped, method)())


def folded(name: str, values: Any, codes: np.ndarray, n: int) -> Any:
    """Sum, product, smallest, largest, any or all by group."""
    if name == "sum":
        return added(values, codes, n)
    plain = isinstance(values, np.ndarray)
    if plain and values.dtype.kind == "b" and name in {"any", "all"}:
        result = np.full(n, name == "all")
        (np.logical_and if name == "all" else np.logical_or).at(result, codes, values)
        return result
    if plain and values.dtype.kind == "f" and name in {"min", "max"}:
        result = np.full(n, np.nan, dtype=values.dtype)
        (np.fmin if name == "min" else np.fmax).at(result, codes, values)
        return result
    if plain and values.dtype.kind in "iu" and name in {"min", "max"}:
        info = np.iinfo(values.dtype)
        result = np.full(n, info.max if name == "min" else info.min, dtype=values.dtype)
        (np.minimum if name == "min" else np.maximum).at(result, codes, values)
        return result
    return _by_pandas(values, codes, n, name)


def floats(column: pd.Series) -> np.ndarray:
    """Values as float64, missing as NaN; dates as their integers."""
    if column.dtype.kind in "mM":
        found = np.asarray(column.array.view("i8"), dtype=np.float64)
        if column.hasnans:
            found[column.isna().to_numpy()] = np.nan
        return found
    if isinstance(column.dtype, np.dtype):
        return column.to_numpy(dtype=np.complex128 if column.dtype.kind == "c" else np.float64)
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def as_means(values: np.ndarray, dtype: Any, *, difference: bool = False) -> Any:
    """Floats of a result in the dtype pandas gives means of such a column."""
    if isinstance(dtype, np.dtype) and dtype.kind in "biu":
        return values
    if isinstance(dtype, np.dtype) and dtype.kind in "fcO":
        return values.astype(dtype)
    if dtype.kind in "mM":
        missing = np.isnan(values)
        whole = np.where(missing, 0, values).astype(np.int64)
        whole[missing] = np.iinfo(np.int64).min
        if difference:
            return whole.view(f"m8[{unit_of(dtype)}]")
        return dates_of(whole, dtype)
    if isinstance(dtype, pd.ArrowDtype):
        return pd.array(values, dtype="double[pyarrow]")
    kept = pd.array(np.where(np.isnan(values), 0, values), dtype="Float64")
    kept[np.isnan(values)] = pd.NA
    return kept.astype("Float32") if dtype.name == "Float32" else kept
