"""What becomes of one column: small states, merged in the order of the partitions.

Whatever pandas decides by dtype is left to pandas: a state is an array of one value in the dtype
that pandas gave it, and the answer is pandas' own reduction of a frame of one row, so that scalars,
dtypes and missing values come out as pandas has them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import pandas as pd

from nbscale.dataframe.arrays import dates_of, joined, numbers, unit_of
from nbscale.record import record

__all__ = ["Extreme", "Fold", "Mean", "Moments", "Monotonic", "Reducer", "Spread", "Valid"]


class Reducer(Protocol):
    """What becomes of one column: a small state, merged in the order of the partitions."""

    @property
    def name(self) -> str:
        """The name of pandas' method."""

    def reference(self, value: Any) -> Any:
        """Pandas' own reduction of a series or a frame."""

    def partial(self, column: pd.Series) -> Any:
        """The state of one partition."""

    def combine(self, states: Sequence[Any]) -> Any:
        """One state of several."""

    def final(self, state: Any, *, alone: bool = False) -> Any:
        """An array or Series of one value, or of none if there is nothing to reduce.

        Columns that are not ``alone`` have one value or none together.
        """

    def close(self, column: Any) -> Any:
        """Pandas' reduction of a Series or frame of one row: changes no value, only its shape."""


def _float_array(value: complex, like: Any) -> Any:
    """One float as pandas holds the mean of a column with this dtype."""
    if isinstance(like, np.dtype):
        if like.kind == "O":
            return np.array([value], dtype=object)
        if like.kind in "fc":
            return np.array([value], dtype=like)
        if like.kind == "b" or like.kind in "iu":
            return np.array([value])
    if like.kind in "mM":
        whole = np.iinfo(np.int64).min if math.isnan(value.real) else int(value.real)
        return dates_of(np.array([whole]), like)
    if isinstance(like, pd.ArrowDtype):
        known = None if math.isnan(value.real) else value
        return pd.array([known], dtype="double[pyarrow]")
    found: Any = pd.NA if math.isnan(value.real) else value
    return pd.array([found], dtype="Float32" if like.name == "Float32" else "Float64")


def _reduced(column: pd.Series, name: str, **options: Any) -> Any:
    """Pandas' reduction as an array of one value, in the dtype a frame of one row has."""
    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biufc":
        return np.asarray([getattr(column, name)(**options)])
    return getattr(column.to_frame(0), name)(**options).array


@record
class Fold:
    """Sum, product, smallest, largest, any, all: the reduction of reductions."""

    name: str
    skipna: bool = True
    min_count: int = 0

    def reference(self, value: Any) -> Any:
        options = {"min_count": self.min_count} if self.min_count else {}
        return getattr(value, self.name)(skipna=self.skipna, **options)

    def partial(self, column: pd.Series) -> tuple[Any, int, Any]:
        empty = column.iloc[:0]
        there = int(column.count()) if self.min_count > 0 else 0
        # A partition without rows adds nothing, not even the missing value pandas says it has.
        value = _reduced(column, self.name, skipna=self.skipna) if len(column) else None
        return value, there, empty

    def combine(self, states: Sequence[tuple[Any, int, Any]]) -> tuple[Any, int, Any]:
        values = [value for value, _, _ in states if value is not None]
        there = sum(n for _, n, _ in states)
        empty = states[0][2]
        if len(values) > 1:
            # A partial sum is missing only where it must spoil the whole: inf - inf.
            skipna = self.skipna and self.name not in {"sum", "prod"}
            together = pd.Series(joined(values))
            return _reduced(together, self.name, skipna=skipna), there, empty
        return (values[0] if values else None), there, empty

    def final(self, state: tuple[Any, int, Any], *, alone: bool = False) -> Any:
        value, there, empty = state
        if self.min_count > 0 and there < self.min_count:
            return empty.array if alone else _reduced(empty, self.name, min_count=1)
        return empty.array if value is None else value

    def close(self, column: Any) -> Any:
        if self.name in {"any", "all"}:
            return getattr(column, self.name)()
        if self.name in {"sum", "prod"}:
            least = 1 if len(column) else self.min_count
            return getattr(column, self.name)(skipna=self.skipna, min_count=least)
        return getattr(column, self.name)(skipna=self.skipna)


@record
class Mean:
    """Mean, as sum and number of the values that are there."""

    skipna: bool = True
    name: ClassVar[str] = "mean"

    def reference(self, value: Any) -> Any:
        return value.mean(skipna=self.skipna)

    def partial(self, column: pd.Series) -> tuple[Any, int, Any]:
        values = numbers(column)
        total = values.sum()
        if not self.skipna and len(values) < len(column):
            total = total * np.nan
        return total, len(values), column.dtype

    def combine(self, states: Sequence[tuple[Any, int, Any]]) -> tuple[Any, int, Any]:
        total = np.asarray([total for total, _, _ in states]).sum()
        return total, sum(n for _, n, _ in states), states[0][2]

    def final(self, state: tuple[Any, int, Any], *, alone: bool = False) -> Any:
        total, n, dtype = state
        found = _float_array(total / n if n else np.nan, dtype)
        return found if n or self.skipna or np.isnan(total) else found[:0]

    def close(self, column: Any) -> Any:
        return column.mean(skipna=self.skipna)


@record
class Spread:
    """Number of values, their mean as ``origin + offset``, and their squared deviations.

    Merged pairwise as Chan, Golub and LeVeque (1979) do. The mean is kept in two parts, since the
    step between two means is lost in the rounding of large ones.
    """

    n: int
    origin: Any
    offset: Any
    squares: Any

    @classmethod
    def of(cls, values: np.ndarray) -> Spread:
        """The spread of some numbers, in two passes."""
        n = len(values)
        if n == 0:
            return cls(0, 0.0, 0.0, 0.0)
        origin = values.sum() / n
        deviations = values - origin
        offset = deviations.sum() / n
        squares = (deviations * deviations.conj()).real.sum() - n * abs(offset) ** 2
        return cls(n, origin, offset, squares)

    def merged(self, other: Spread) -> Spread:
        """The spread of both."""
        n = self.n + other.n
        if self.n == 0 or other.n == 0:
            return dataclasses.replace(other if self.n == 0 else self)
        step = (other.origin - self.origin) + (other.offset - self.offset)
        squares = self.squares + other.squares + abs(step) ** 2 * (self.n * other.n / n)
        return Spread(n, self.origin, self.offset + step * (other.n / n), squares)


@record
class Moments:
    """Variance, standard deviation, standard error, by merged spreads."""

    name: str
    ddof: int = 1
    skipna: bool = True

    def reference(self, value: Any) -> Any:
        return getattr(value, self.name)(skipna=self.skipna, ddof=self.ddof)

    def partial(self, column: pd.Series) -> tuple[Spread, int, Any]:
        return Spread.of(numbers(column)), len(column), column.dtype

    def combine(self, states: Sequence[tuple[Spread, int, Any]]) -> tuple[Spread, int, Any]:
        spread, rows, dtype = states[0]
        for other, more, _ in states[1:]:
            spread, rows = spread.merged(other), rows + more
        return spread, rows, dtype

    def final(self, state: tuple[Spread, int, Any], *, alone: bool = False) -> Any:
        del alone
        spread, rows, dtype = state
        n = spread.n
        known = n > self.ddof and (n == rows or self.skipna)
        value = spread.squares / (n - self.ddof) if known else np.nan
        if self.name != "var":
            value = np.sqrt(value)
        if self.name == "sem":
            value = value / np.sqrt(n) if n else value
        if dtype.kind == "M":
            dtype = np.dtype(f"m8[{unit_of(dtype)}]")
        if dtype.kind == "c":
            dtype = np.dtype(np.float64)
        found = _float_array(value, dtype)
        return found if rows else found[:0]

    def close(self, column: Any) -> Any:
        found = column.mean(skipna=False)
        return np.float64(found) if self.name == "sem" and isinstance(found, float) else found


@record
class Valid:
    """Number of values that are there."""

    name: ClassVar[str] = "count"

    def reference(self, value: Any) -> Any:
        return value.count()

    def partial(self, column: pd.Series) -> int:
        return int(column.count())

    def combine(self, states: Sequence[int]) -> int:
        return sum(states)

    def final(self, state: int, *, alone: bool = False) -> Any:
        return np.array([state], dtype=np.int64)

    def close(self, column: Any) -> Any:
        return column.sum()


@record
class Extreme:
    """The label of the first smallest or largest value."""

    name: str
    skipna: bool = True

    def reference(self, value: Any) -> Any:
        """On a sample; where none of its values is there, the whole may still have some."""
        frame = value if isinstance(value, pd.DataFrame) else value.to_frame(0)
        there = frame.notna()
        if (there.all() if not self.skipna else there.any()).all() and len(frame):
            return getattr(value, self.name)(skipna=self.skipna)
        label = frame.index[0] if len(frame) else np.nan
        if frame is not value:
            return label
        return pd.Series([label] * frame.shape[1], index=frame.columns)

    def partial(self, column: pd.Series) -> tuple[pd.Series, bool]:
        """At most one row, the best one; and whether one is missing."""
        lacking = bool(column.isna().any())
        if not len(column) or (lacking and column.isna().all()):
            return column.iloc[:1], lacking
        place = getattr(column, f"arg{self.name[3:]}")()
        return column.iloc[place : place + 1], lacking

    def combine(self, states: Sequence[tuple[pd.Series, bool]]) -> tuple[pd.Series, bool]:
        lacking = any(missing for _, missing in states)
        some = [column for column, _ in states if len(column)]
        together = pd.Series(joined([column.array for column in some])) if some else None
        if together is None or together.isna().all():
            return (some or [states[0][0]])[0], lacking
        # The row itself and not its copy, so that its label keeps its type.
        return some[getattr(together, f"arg{self.name[3:]}")()], lacking

    def final(self, state: tuple[pd.Series, bool], *, alone: bool = False) -> Any:
        column, lacking = state
        if lacking and not self.skipna:
            # Pandas then raises what it raises for missing values.
            column = column.where(np.zeros(len(column), dtype=bool))
        return column

    def close(self, column: Any) -> Any:
        return getattr(column, self.name)(skipna=self.skipna)


@record
class Monotonic:
    """Whether values ascend, or descend: true in each partition and from one to the next."""

    name: str

    def reference(self, value: Any) -> Any:
        return bool(getattr(value, self.name))

    def partial(self, column: pd.Series) -> tuple[bool, pd.Series]:
        ends = column if len(column) < 2 else column.iloc[[0, -1]]
        return bool(getattr(column, self.name)), ends

    def combine(self, states: Sequence[tuple[bool, pd.Series]]) -> tuple[bool, pd.Series]:
        holds, ends = self.partial(pd.concat([ends for _, ends in states]))
        return holds and all(ok for ok, _ in states), ends

    def final(self, state: tuple[bool, pd.Series], *, alone: bool = False) -> Any:
        del alone
        return np.array([state[0]])

    def close(self, column: Any) -> Any:
        return bool(column.iloc[0])
