"""How groups become what pandas returns of a group-by."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from nbscale.dataframe.arrays import values_of
from nbscale.dataframe.grouped import key_labels
from nbscale.dataframe.groups import Groups, Wanted
from nbscale.expr.need import Need
from nbscale.record import record

__all__ = ["GroupedResult"]


@record
class GroupedResult:
    """How groups become what pandas returns.

    ``columns`` is None for a series, which is then called ``name``.
    """

    called: str
    names: tuple[Hashable, ...]
    outputs: tuple[Wanted, ...]
    columns: pd.Index | None
    name: Hashable = None
    sort: bool = True
    observed: bool = True
    as_index: bool = True
    categories: bool = False

    @property
    def order(self) -> str:
        """The order of the rows: that of the keys, or of first sight."""
        return "keys" if self.sort else "seen"

    @property
    def whole(self) -> bool:
        """Categories that were not seen are added once, to the whole."""
        return self.categories and not self.observed

    @property
    def numbered(self) -> bool:
        """Keys are columns, so the rows are numbered."""
        return not self.as_index

    def wanted(self) -> frozenset[Wanted]:
        """The aggregates that are read."""
        return frozenset(self.outputs)

    def narrowed(self, need: Need) -> GroupedResult:
        """The result with the columns needed only."""
        if need.columns is None or self.columns is None:
            return self
        kept = [i for i, label in enumerate(self.columns) if label in need.columns]
        if len(kept) == len(self.outputs):
            return self
        outputs = tuple(self.outputs[i] for i in kept)
        return dataclasses.replace(self, outputs=outputs, columns=self.columns[kept])

    def table(self, groups: Groups, held: tuple[Wanted, ...], total: int) -> Any:
        """The pandas object."""
        del total
        place = {want: i for i, want in enumerate(held)}
        index, rows = key_labels(groups, self.names, sort=self.sort, observed=self.observed)
        arrays = []
        for want in self.outputs:
            i = place[want]
            aggregate = want.aggregate
            if hasattr(aggregate, "counted"):
                found = aggregate.counted(groups.states[i], len(groups))
            else:
                found = aggregate.final(groups.states[i], groups.dtypes[i])
            arrays.append(_taken(found, rows, aggregate.empty))
        if self.columns is None and self.as_index:
            return pd.Series(arrays[0], index=index, name=self.name, copy=False)
        labels = self.columns if self.columns is not None else pd.Index([self.name])
        frame = pd.DataFrame(dict(enumerate(arrays)), index=index, copy=False)
        frame.columns = labels
        return frame if self.as_index else self._with_keys(frame)

    def _with_keys(self, frame: pd.DataFrame) -> pd.DataFrame:
        keys = frame.index.to_frame(index=False)
        frame = frame.reset_index(drop=True)
        if isinstance(frame.columns, pd.MultiIndex):
            rest = [""] * (frame.columns.nlevels - 1)
            keys.columns = pd.MultiIndex.from_tuples([(name, *rest) for name in self.names])
        else:
            keys = keys.loc[:, [name not in frame.columns for name in self.names]]
        return pd.concat([keys, frame], axis=1)


def _taken(array: Any, rows: np.ndarray, empty: Any) -> Any:
    if len(rows) == 0 or rows.min() >= 0:
        return array.take(rows)
    options = {} if empty is None else {"fill_value": empty}
    return values_of(pd.Series(array).reindex(rows, **options))
