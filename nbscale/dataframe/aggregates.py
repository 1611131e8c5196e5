"""What becomes of the values of a group: sums, means, firsts, distinct counts, each as a state.

A state is a few arrays with a row for each group. It is made by pandas' own group-by kernels on
one partition, merged with the states of other partitions, and turned into a column of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
import pandas as pd

from nbscale.dataframe.arrays import joined, values_of
from nbscale.dataframe.coding import compact, encode
from nbscale.dataframe.folding import added, as_means, floats, folded
from nbscale.record import record

__all__ = ["Aggregate", "Distinct", "Ends", "Fold", "Grouped", "Mean", "Size", "Spread", "Valid"]

State: TypeAlias = tuple[Any, ...]


class Grouped:
    """The rows of a partition, numbered by group, with the columns that aggregates asked for."""

    def __init__(self, codes: np.ndarray, groups: int, columns: dict[Any, Any]) -> None:
        self.codes = codes
        self.groups = groups
        self._columns = columns
        self._size: np.ndarray | None = None
        # Codes as a categorical are taken as they are: nothing is hashed again.
        labels = pd.Categorical.from_codes(codes, categories=pd.RangeIndex(groups), validate=False)
        frame = pd.DataFrame(columns, copy=False)
        self._by = frame.groupby(labels, observed=False, sort=True) if columns else None

    def size(self) -> np.ndarray:
        """Rows of each group."""
        if self._size is None:
            codes = self.codes
            inside = codes[codes >= 0] if len(codes) and codes.min() < 0 else codes
            self._size = np.bincount(inside, minlength=self.groups).astype(np.int64)
        return self._size

    def there(self, column: Any) -> np.ndarray:
        """Values of each group that are there."""
        if not self._by.obj[column].hasnans:  # type: ignore[union-attr]
            return self.size()
        return np.asarray(self._by[column].count())  # type: ignore[index]

    def call(self, column: Any, method: str, **options: Any) -> Any:
        """A group-by method of pandas' on one column: an array with a row for each group."""
        return values_of(getattr(self._by[column], method)(**options))  # type: ignore[index]

    def column(self, column: Any) -> Any:
        """The values of a column."""
        return self._columns[column]


@record
class Aggregate:
    """Base of all: one row a group in every array of the state."""

    name: ClassVar[str] = ""
    empty: ClassVar[Any] = None
    """The value of a group without rows (a category that was not seen); None for missing."""

    @property
    def called(self) -> str:
        """The name pandas gives the result."""
        return self.name

    def prepared(self, column: pd.Series) -> Any:
        """The array that is grouped: the column itself, or numbers made of it."""
        return values_of(column)

    @property
    def kind(self) -> str:
        """Aggregates of one column with equal kinds share the array that is grouped."""
        return "values"

    def partial(self, grouped: Grouped, column: Any) -> State:
        """The state of one partition."""
        raise NotImplementedError(type(self).__name__)

    def merge(self, states: Sequence[State], codes: Sequence[np.ndarray], n: int) -> State:
        """One state of several; ``codes[i]`` gives the merged group of each group of state i."""
        together = np.concatenate(codes) if len(codes) > 1 else codes[0]
        return self.fold([joined(arrays) for arrays in zip(*states, strict=True)], together, n)

    def fold(self, arrays: Sequence[Any], codes: np.ndarray, n: int) -> State:
        """One row for each of n groups."""
        raise NotImplementedError(type(self).__name__)

    def arranged(self, state: State, order: np.ndarray) -> State:
        """The groups in another order."""
        return tuple(array.take(order) for array in state)

    def part(self, state: State, start: int, stop: int) -> State:
        """Some consecutive groups."""
        return tuple(array[start:stop] for array in state)

    def final(self, state: State, dtype: Any) -> Any:
        """The column of the result; ``dtype`` is that of the column of the source."""
        del dtype
        return state[0]


@record
class Size(Aggregate):
    """Number of rows."""

    name: ClassVar[str] = "size"
    empty: ClassVar[Any] = 0

    def partial(self, grouped: Grouped, column: Any) -> State:
        del column
        return (grouped.size(),)

    def fold(self, arrays: Sequence[Any], codes: np.ndarray, n: int) -> State:
        return (added(arrays[0], codes, n),)


@record
class Valid(Aggregate):
    """Number of values that are there."""

    name: ClassVar[str] = "count"
    empty: ClassVar[Any] = 0

    def partial(self, grouped: Grouped, column: Any) -> State:
        return (grouped.there(column),)

    def fold(self, arrays: Sequence[Any], codes: np.ndarray, n: int) -> State:
        return (added(arrays[0], codes, n),)


@record
class Fold(Aggregate):
    """Sum, product, smallest, largest, any, all."""

    method: str
    min_count: int = 0

    @property
    def called(self) -> str:
        return self.method

    @property
    def empty(self) -> Any:
        known = {"sum": 0, "prod": 1, "any": False, "all": True}
        return None if self.min_count > 0 else known.get(self.method)

    def partial(self, grouped: Grouped, column: Any) -> State:
        found = grouped.call(column, self.method)
        return (found, grouped.there(column)) if self.min_count > 0 else (found,)

    def fold(self, arrays: Sequence[Any], codes: np.ndarray, n: int) -> State:
        found = folded(self.method, arrays[0], codes, n)
        return (found, *(added(there, codes, n) for there in arrays[1:]))

    def final(self, state: State, dtype: Any) -> Any:
        if self.min_count <= 0:
            return state[0]
        found, there = state
        few = there < self.min_count
        return values_of(pd.Series(found).mask(few)) if few.any() else found


@record
class Mean(Aggregate):
    """Mean, as sum and number."""

    name: ClassVar[str] = "mean"

    @property
    def kind(self) -> str:
        return "floats"

    def prepared(self, column: pd.Series) -> Any:
        return floats(column)

    def partial(self, grouped: Grouped, column: Any) -> State:
        return grouped.call(column, "sum"), grouped.there(column)

    def fold(self, arrays: Sequence[Any], codes: np.ndarray, n: int) -> State:
        return added(arrays[0], codes, n), added(arrays[1], codes, n)

    def final(self, state: State, dtype: Any) -> Any:
        total, there = state
        with np.errstate(invalid="ignore", divide="ignore"):
            return as_means(total / there, dtype)


@record
class Spread(Aggregate):
    """Variance, standard deviation, standard error: number, mean, squared deviations.

    Merged as Chan, Golub and LeVeque (1979) do.
    """

    method: str
    ddof: int = 1

    @property
    def called(self) -> str:
        return self.method

    @property
    def kind(self) -> str:
        return "floats"

    def prepared(self, column: pd.Series) -> Any:
        return floats(column)

    def partial(self, grouped: Grouped, column: Any) -> State:
        there = grouped.there(column)
        mean = grouped.call(column, "mean")
        squares = grouped.call(column, "var", ddof=0) * there
        none = there == 0
        if none.any():
            mean, squares = np.where(none, 0.0, mean), np.where(none, 0.0, squares)
        return there, mean, squares

    def fold(self, arrays: Sequence[Any], codes: np.ndarray, n: int) -> State:
        there, means, squares = arrays
        total = added(there, codes, n)
        # Deviations from one mean of the group, so that large means cost no precision.
        origin = np.zeros(n)
        some = there > 0
        origin[codes[some]] = means[some]
        steps = means - origin[codes]
        with np.errstate(invalid="ignore", divide="ignore"):
            offset = np.where(total > 0, added(there * steps, codes, n) / total, 0.0)
        more = there * (steps - offset[codes]) ** 2
        return total, origin + offset, added(squares + more, codes, n)

    def final(self, state: State, dtype: Any) -> Any:
        there, _, squares = state
        with np.errstate(invalid="ignore", divide="ignore"):
            found = np.where(there > self.ddof, squares / (there - self.ddof), np.nan)
            if self.method != "var":
                found = np.sqrt(found)
            if self.method == "sem":
                found = found / np.sqrt(there)
        return as_means(found, dtype, difference=dtype.kind == "M")


@record
class Ends(Aggregate):
    """The first or the last value that is there, in the order of the rows."""

    method: str

    @property
    def called(self) -> str:
        return self.method

    def partial(self, grouped: Grouped, column: Any) -> State:
        return (grouped.call(column, self.method),)

    def fold(self, arrays: Sequence[Any], codes: np.ndarray, n: int) -> State:
        (values,) = arrays
        rows = np.arange(len(codes))
        if self.method == "first":
            rows = rows[::-1]
        there = ~np.asarray(pd.isna(values))[rows]
        chosen = np.empty(n, dtype=np.int64)
        # The last assignment holds: any row first, then those with a value.
        chosen[codes[rows]] = rows
        chosen[codes[rows[there]]] = rows[there]
        return (values.take(chosen),)


@record
class Distinct(Aggregate):
    """Number of distinct values: the state is the set of pairs of group and value."""

    dropna: bool = True
    name: ClassVar[str] = "nunique"
    empty: ClassVar[Any] = 0

    def partial(self, grouped: Grouped, column: Any) -> State:
        return self._pairs(grouped.codes, grouped.column(column))

    def _pairs(self, codes: np.ndarray, values: Any) -> State:
        """Each pair once, by group and first sight."""
        coded = encode([values], dropna=self.dropna)
        inside = (codes >= 0) & (coded.codes >= 0)
        n = max(1, coded.groups)
        size = n * (int(codes.max()) + 1 if len(codes) else 1)
        _, pairs = compact(codes[inside].astype(np.int64) * n + coded.codes[inside], max(1, size))
        groups = pairs // n
        order = np.argsort(groups, kind="stable")
        return groups[order], coded.keys[0].take((pairs % n)[order])

    def merge(self, states: Sequence[State], codes: Sequence[np.ndarray], n: int) -> State:
        del n
        moved = [c[groups] for c, (groups, _) in zip(codes, states, strict=True)]
        return self._pairs(np.concatenate(moved), joined([values for _, values in states]))

    def arranged(self, state: State, order: np.ndarray) -> State:
        groups, values = state
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        moved = place[groups]
        rows = np.argsort(moved, kind="stable")
        return moved[rows], values.take(rows)

    def part(self, state: State, start: int, stop: int) -> State:
        groups, values = state
        low, high = np.searchsorted(groups, (start, stop))
        return groups[low:high] - start, values[low:high]

    def counted(self, state: State, n: int) -> np.ndarray:
        """Distinct values of each of n groups; they may have been counted elsewhere."""
        if len(state) == 1:
            return np.asarray(state[0])
        return np.bincount(state[0], minlength=n).astype(np.int64)


NAMED: dict[str, Callable[..., Aggregate]] = {
    "size": Size,
    "count": Valid,
    "mean": Mean,
    "nunique": Distinct,
    **{name: (lambda name=name, **options: Fold(name, **options)) for name in ("sum", "prod")},
    **{name: (lambda name=name: Fold(name)) for name in ("min", "max", "any", "all")},
    **{name: (lambda name=name: Ends(name)) for name in ("first", "last")},
    **{
        name: (lambda name=name, **options: Spread(name, **options))
        for name in ("var", "std", "sem")
    },
}
"""Aggregates by the name users call them by."""
