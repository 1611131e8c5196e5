"""Keys of rows: taking them out of a partition, and hashing them.

What pandas finds equal gets the same hash: 1 and 1.0 do, so do None and NaN.
"""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Hashable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from nbscale.record import record, replace

__all__ = ["Keys", "common_dtype", "hashes"]


_NULL = np.uint64(0x9E3779B97F4A7C15)


@record
class Keys:
    """Which values of a row are its key.

    Attributes
    ----------
    of
        ``"columns"``: of a frame, or levels of its index where a name is no column; ``"index"``:
        levels of the index; ``"values"``: the values of a series.
    names
        Columns, or positions of levels; empty for all levels.
    dtypes
        What to convert each key to first, so that two frames are compared alike; empty for as
        they are.
    """

    of: Literal["columns", "index", "values"]
    names: tuple[Hashable, ...] = ()
    dtypes: tuple[Any, ...] = ()

    def arrays(self, value: Any) -> list[Any]:
        """The key columns of a partition, each an array with one value for each row."""
        found = self._found(value)
        if not self.dtypes:
            return found
        return [
            a if _comparable(a.dtype, dtype) else pd.Series(a).astype(dtype).array
            for a, dtype in zip(found, self.dtypes, strict=True)
        ]

    def _found(self, value: Any) -> list[Any]:
        if self.of == "values":
            return [value.array]
        if self.of == "columns":
            return [
                value[name].array
                if name in value.columns
                else value.index.get_level_values(name).array
                for name in self.names
            ]
        index = value if isinstance(value, pd.Index) else value.index
        levels: Any = self.names or range(index.nlevels)
        if index.nlevels == 1:
            return [index.array for _ in levels]
        return [index.get_level_values(level).array for level in levels]

    def columns_of(self, columns: Sequence[Hashable]) -> tuple[Hashable, ...]:
        """Those of the columns that are read."""
        if self.of != "columns":
            return ()
        return tuple(name for name in self.names if name in columns)

    def cast(self, dtypes: Sequence[Any]) -> Keys:
        """The same keys, converted."""
        return replace(self, dtypes=tuple(dtypes))


def _comparable(dtype: Any, wanted: Any) -> bool:
    """Whether values compare and hash as those of the other dtype do, without being converted.

    Numbers do, whatever holds them; and they must not be converted, because rows that alignment
    left missing made floats or objects of them.
    """
    kinds = getattr(dtype, "kind", "O"), getattr(wanted, "kind", "O")
    return bool(dtype == wanted) or (kinds[0] in "iufbO" and kinds[1] in "iufb")


@functools.cache
def common_dtype(one: Any, other: Any) -> Any:
    """The dtype in which pandas compares values of two dtypes."""
    if one == other:
        return one
    ends = [pd.Series([], dtype=_plain_dtype(dtype)) for dtype in (one, other)]
    return pd.concat(ends).dtype


def _plain_dtype(dtype: Any) -> Any:
    """Categories of different sets are compared by what they stand for."""
    return dtype.categories.dtype if isinstance(dtype, pd.CategoricalDtype) else dtype


def hashes(arrays: Sequence[Any], rows: int) -> npt.NDArray[np.uint64]:
    """One 64-bit number for each row, equal where pandas finds the keys equal. No seed but ours."""
    total = np.full(rows, _NULL, dtype=np.uint64)
    for values in arrays:
        total = _mixed(total ^ _hashed(values))
    return total


def _hashed(values: Any) -> npt.NDArray[np.uint64]:
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        known = np.append(_hashed(values.categories.array), _NULL)
        return known[values.codes]
    missing = np.asarray(pd.isna(values))
    kind = getattr(dtype, "kind", "O")
    if kind in "mM":
        # Units differ between frames; what is equal is equal to the millisecond, too.
        plain = np.asarray(values.astype("int64") if not hasattr(values, "asi8") else values.asi8)
        per = {"s": (1000, 1), "ms": (1, 1), "us": (1, 1000), "ns": (1, 1_000_000)}
        # Plain arrays have no unit of their own, and a dtype with a time zone is none of NumPy's.
        unit = values.unit if hasattr(values, "unit") else np.datetime_data(values.dtype)[0]
        times, over = per[unit]
        found = _mixed((plain * times // over).view(np.uint64))
    elif hasattr(values, "asi8"):
        found = _mixed(values.asi8.view(np.uint64))
    elif kind in "iufb":
        found = _hashed_numbers(values)
    elif kind == "c":
        array = np.asarray(values)
        found = _hashed(array.real.copy()) ^ _mixed(_hashed(array.imag.copy()))
    else:
        found = _hashed_objects(values, missing)
    if missing.any():
        found[missing] = _NULL
    return found


def _hashed_numbers(values: Any) -> npt.NDArray[np.uint64]:
    """By the float of equal value, or by the integer that no float equals."""
    if isinstance(values.dtype, np.dtype):
        array = np.asarray(values)
    else:
        plain = getattr(values.dtype, "numpy_dtype", np.dtype("float64"))
        array = values.to_numpy(dtype=plain, na_value=plain.type(0))
    floats = array.astype(np.float64)
    floats[floats == 0] = 0.0
    found = _mixed(floats.view(np.uint64))
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        large = np.flatnonzero(np.abs(floats) >= 2.0**53)
        # Python compares an integer and a float exactly.
        odd = large[array[large].astype(object) != floats[large].astype(object)]
        found[odd] = _mixed(array[odd].view(np.uint64) ^ _NULL)
    return found


def _hashed_objects(values: Any, missing: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    array = np.array(values, dtype=object)
    array[missing] = ""
    if isinstance(values.dtype, pd.StringDtype):
        return pd.util.hash_array(array, categorize=False)
    number = np.fromiter((isinstance(v, numbers.Real) for v in array), dtype=bool, count=len(array))
    found = np.empty(len(array), dtype=np.uint64)
    found[~number] = pd.util.hash_array(array[~number], categorize=False)
    found[number] = [_hashed_number(v) for v in array[number]]
    return found


def _hashed_number(value: Any) -> np.uint64:
    """As an array of such numbers is hashed, whatever type this one has."""
    whole = int(value) if math.isfinite(value) else None
    if whole is None or whole != value or abs(whole) <= 2**53 or int(float(whole)) == whole:
        return _hashed_numbers(np.array([float(value)]))[0]
    return _mixed(np.array([whole % 2**64], dtype=np.uint64) ^ _NULL)[0]


def _mixed(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Spread every bit over all others (the finaliser of splitmix64)."""
    x = x ^ (x >> np.uint64(30))
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x
