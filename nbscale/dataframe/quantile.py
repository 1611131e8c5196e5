"""Exact quantiles and medians without bringing the values together.

Every partition sorts its columns once and keeps them. Then, for each value that is asked for by
its rank, an interval that holds it is narrowed: partitions say how many of their values lie below
and inside, and show every so many-th of those inside. From the shown values follow bounds that
hold for certain, about a hundredth as wide. When few enough values are inside, they are fetched.

Cost: one pass to read and sort, held once over as long as it takes; then usually two or three
rounds of searches in sorted arrays, whatever the number of rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nbscale.dataframe.arrays import dates_of, values_of
from nbscale.dataframe.narrow import SHOWN, Look, Question, Target
from nbscale.dataframe.node import FrameAdaptive, FrameHeld
from nbscale.expr.need import Need
from nbscale.expr.node import Node
from nbscale.expr.token import token
from nbscale.plan.layout import Layout
from nbscale.record import record

__all__ = ["Median", "QuantileOf", "Quantiles"]


@record
class Median:
    """The middle value, or the mean of the two in the middle."""

    names: pd.Index | None
    skipna: bool = True

    label = "median"

    def reference(self, value: Any) -> Any:
        """What pandas says on a sample."""
        return value.median(skipna=self.skipna)

    def ranks(self, n: int) -> list[int]:
        """The ranks that are needed of n values."""
        return [(n - 1) // 2, n // 2] if n else []

    def value(self, columns: Sequence[tuple[int, int, Any, dict[int, Any]]]) -> Any:
        """The result of each column's (values there, rows, dtype, values by rank)."""
        pairs = [self._pair(*column) for column in columns]
        if self.names is None:
            return pairs[0].median(skipna=self.skipna)
        if any(len(pair) == 0 for pair in pairs):
            pairs = [pair.iloc[:0] for pair in pairs]
        frame = pd.DataFrame(dict(enumerate(pairs)), copy=False)
        frame.columns = self.names
        return frame.median(skipna=self.skipna)

    def _pair(self, n: int, rows: int, dtype: Any, found: dict[int, Any]) -> pd.Series:
        if rows == 0:
            return pd.Series([], dtype=dtype)
        if n == 0 or (n < rows and not self.skipna):
            return pd.Series([None, None], dtype=dtype)
        return _as_series([found[rank] for rank in self.ranks(n)], dtype)


@record
class QuantileOf:
    """Quantiles, interpolated as NumPy does between two neighbours.

    ``single``: one quantile, given as a scalar.
    """

    names: pd.Index | None
    q: tuple[float, ...]
    single: bool
    interpolation: str
    name: Any = None

    label = "quantile"

    def reference(self, value: Any) -> Any:
        """What pandas says on a sample."""
        q = self.q[0] if self.single else list(self.q)
        return value.quantile(q, interpolation=self.interpolation)

    def ranks(self, n: int) -> list[int]:
        """The ranks that are needed of n values."""
        places = [(n - 1) * q for q in self.q] if n else []
        return [rank for at in places for rank in (math.floor(at), math.ceil(at))]

    def value(self, columns: Sequence[tuple[int, int, Any, dict[int, Any]]]) -> Any:
        """The result of each column's (values there, rows, dtype, values by rank)."""
        labels = pd.Index(self.q, dtype=np.float64)
        found = [self._column(*column) for column in columns]
        if self.names is None:
            series = found[0].set_axis(labels).rename(self.name)
            return series.iloc[0] if self.single else series
        if not found:
            frame = pd.DataFrame([], index=labels, columns=self.names, dtype=np.float64)
        else:
            frame = pd.DataFrame({i: values_of(s) for i, s in enumerate(found)}, index=labels)
            frame.columns = self.names
        return frame.iloc[0] if self.single else frame

    def _column(self, n: int, rows: int, dtype: Any, known: dict[int, Any]) -> pd.Series:
        each = [self._at(q, n, dtype, known) for q in self.q]
        found = pd.concat(each, ignore_index=True) if each else pd.Series([], dtype=np.float64)
        # Pandas keeps small floats small only where it had to leave out missing values.
        return found.astype(dtype) if n < rows and dtype.kind == "f" else found

    def _at(self, q: float, n: int, dtype: Any, known: dict[int, Any]) -> pd.Series:
        """One quantile, by pandas' own quantile of the two values on its sides."""
        if n == 0:
            return pd.Series([], dtype=dtype).quantile([q], interpolation=self.interpolation)
        at = (n - 1) * q
        rank = math.floor(at)
        part = at - rank
        if self.interpolation == "nearest":
            # NumPy takes the even one of two that are equally near.
            upper = part > 0.5 or (part == 0.5 and rank % 2 == 1)
            rank, part = rank + upper, 0.0
        pair = _as_series([known[rank], known[math.ceil(at) if part else rank]], dtype)
        return pair.quantile([part], interpolation=self.interpolation)


def _as_series(values: list[Any], dtype: Any) -> pd.Series:
    array = np.asarray(values)
    if dtype.kind in "mM":
        return pd.Series(dates_of(array, dtype))
    return pd.Series(array).astype(dtype)


# The node -----------------------------------------------------------------------------------


class Quantiles(FrameAdaptive):
    """Values by rank: asks, narrows and asks again until all are known."""

    columns_sorted: Node
    source: Node
    result: Any
    targets: tuple[Target, ...] | None = None
    known: tuple[Any, ...] = ()

    @property
    def grid(self) -> tuple[int, ...]:
        return (1,)

    @property
    def label(self) -> str:
        return str(self.result.label)

    def _make_sample(self) -> Any:
        return self.result.reference(self.source.sample)  # type: ignore[attr-defined]

    def needs(self, need: Need) -> tuple[Need, ...]:
        del need
        return Need(), Need(frozenset(), index=False, order=False)

    def _shown(self) -> int:
        partitions = self.columns_sorted.grid[0]
        return max(16, min(SHOWN, (1 << 16) // partitions))

    def _questions(self) -> tuple[Question, ...]:
        if self.targets is None:
            columns = self.source.sample  # type: ignore[attr-defined]
            n = columns.shape[1] if isinstance(columns, pd.DataFrame) else 1
            return tuple(Question(c) for c in range(n))
        return tuple(dict.fromkeys(q for t in self.targets for q in t.questions()))

    def asks(self) -> tuple[Node, ...]:
        return (Look(self.columns_sorted, self._questions(), self._shown()),)

    def build(self, *answers: Any) -> Node:
        (((found, columns),),) = answers
        by_question = dict(zip(self._questions(), found, strict=True))
        known = self.known
        targets = self.targets
        if targets is None:
            known = tuple(
                (inside, rows, dtype)
                for (_, inside, *_), (rows, dtype) in zip(found, columns, strict=True)
            )
            targets = tuple(
                Target(c, rank, inside=n)
                for c, (n, _, _) in enumerate(known)
                for rank in dict.fromkeys(self.result.ranks(n))
            )
            targets = tuple(t.narrowed([by_question[Question(t.column)]]) for t in targets)
        else:
            targets = tuple(t.narrowed([by_question[q] for q in t.questions()]) for t in targets)
        if any(t.found is None for t in targets):
            return self.replace(targets=targets, known=known)
        ranked: list[dict[int, Any]] = [{} for _ in known]
        for target in targets:
            ranked[target.column][target.rank] = target.found
        rows = [(*column, values) for column, values in zip(known, ranked, strict=True)]
        identity = token(self.key, "known")
        return FrameHeld((self.result.value(rows),), identity, self.sample, Layout(identity))
