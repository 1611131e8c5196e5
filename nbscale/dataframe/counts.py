"""``value_counts``: how often each value is there, or each row."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.core.arrays.masked import BaseMaskedArray

from nbscale.collection import Collection, wrap
from nbscale.dataframe.aggregates import Size
from nbscale.dataframe.grouped import ByColumn, GroupStates, key_labels, result_of
from nbscale.dataframe.groups import Groups, Wanted
from nbscale.expr.need import Need
from nbscale.record import record

__all__ = ["ROWS", "PlainResult", "value_counts"]

ROWS = Wanted(None, Size())


@record
class PlainResult:
    """What results without columns have in common: nothing to narrow, one size to read."""

    @property
    def whole(self) -> bool:
        """The result needs all groups in one partition."""
        return False

    @property
    def numbered(self) -> bool:
        """The rows of the result are numbered."""
        return False

    def narrowed(self, need: Need) -> Any:
        """All of it is needed."""
        del need
        return self

    def wanted(self) -> frozenset[Wanted]:
        """The size of the groups."""
        return frozenset([ROWS])


@record
class CountsResult(PlainResult):
    """How often each value is there, the most frequent first, ties in order of first sight."""

    names: tuple[Hashable, ...]
    normalize: bool
    sort: bool
    ascending: bool
    categories: bool
    several: bool = False
    levels: bool = True

    called = "value_counts"

    @property
    def order(self) -> str:
        """By size if sorted, else by first sight."""
        if not self.sort:
            return "seen"
        return "counts up" if self.ascending else "counts"

    @property
    def whole(self) -> bool:
        """Categories that are not there are counted, too."""
        return self.categories

    def table(self, groups: Groups, held: tuple[Wanted, ...], total: int) -> pd.Series:
        """The counts of some of the values."""
        counts = groups.states[held.index(ROWS)][0]
        name = "proportion" if self.normalize else "count"
        if self.several:
            found = self._of_rows(groups, counts)
        else:
            found = self._of_values(groups.keys[0], counts)
        if self.sort:
            found = found.sort_values(ascending=self.ascending, kind="stable")
        found.name = name
        return found / total if self.normalize else found

    def _of_rows(self, groups: Groups, counts: np.ndarray) -> pd.Series:
        labels, rows = key_labels(groups, self.names, sort=False, observed=False)
        found = np.where(rows < 0, 0, counts.take(np.maximum(rows, 0)) if len(counts) else 0)
        if len(self.names) == 1 and self.levels:
            labels = pd.MultiIndex.from_arrays([labels], names=[labels.name])
        return pd.Series(found, index=labels)

    def _of_values(self, keys: Any, counts: np.ndarray) -> pd.Series:
        (name,) = self.names
        if isinstance(keys, pd.Categorical):
            places = keys.codes.astype(np.int64)
            every = np.zeros(len(keys.categories), dtype=np.int64)
            every[places[places >= 0]] = counts[places >= 0]
            codes = np.arange(len(every))
            if (places < 0).any():
                codes, every = np.append(codes, -1), np.append(every, counts[places < 0])
            labels = pd.Categorical.from_codes(codes, dtype=keys.dtype)
            return pd.Series(every, index=pd.CategoricalIndex(labels, name=name))
        if isinstance(keys, BaseMaskedArray):
            # Pandas puts the missing value of such arrays behind the others.
            rows = np.argsort(np.asarray(keys.isna()), kind="stable")
            keys, counts = keys.take(rows), counts[rows]
        dtype = pd.Series(keys[:0]).value_counts().dtype
        index = pd.Index(keys, dtype=keys.dtype, name=name)
        return pd.Series(counts, index=index).astype(dtype)


def value_counts(
    subject: Collection,
    columns: Sequence[Hashable] | None,
    *,
    normalize: bool,
    sort: bool,
    ascending: bool,
    dropna: bool,
    levels: bool = True,
) -> Any:
    """Counts of the values of a series, or of the rows of a frame in some columns.

    With ``levels`` the rows are labelled by a MultiIndex even for a single column.
    """
    node: Any = subject._node  # noqa: SLF001
    by: tuple[Any, ...] = (node,)
    names: tuple[Hashable, ...] = ()
    if columns is not None:
        by, names = tuple(ByColumn(c) for c in columns), tuple(columns)
    else:
        names = (node.sample.name,)
    states = GroupStates(node, by, (ROWS,), dropna)
    categories = any(isinstance(key.dtype, pd.CategoricalDtype) for key in states.sample.keys)
    several = columns is not None
    result = CountsResult(names, normalize, sort, ascending, categories, several, levels)
    return wrap(result_of(states, result), subject)
