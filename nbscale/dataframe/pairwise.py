"""Covariance and correlation of columns: moments of every pair, merged as they come.

A pair counts the rows where both values are there. Each partition gives matrices of numbers,
means and products of deviations, merged pairwise (Chan, Golub and LeVeque 1979), so that large
means cost no precision. One pass; a state has a few numbers for each pair of columns.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from nbscale.dataframe.node import FrameMap, FrameReduce
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.record import record

__all__ = ["Beside", "PairMoments", "Pairwise"]


@record
class Pairs:
    """Moments of all pairs (i, j): numbers, mean of i as origin and offset, squares, products."""

    rows: int
    n: np.ndarray
    origin: np.ndarray
    offset: np.ndarray
    squares: np.ndarray
    products: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Pairs:
        """The moments of the rows of a matrix."""
        there = np.isfinite(values)
        held = there.astype(np.float64)
        count = held.sum(axis=0)
        plain = np.where(there, values, 0.0)
        origin = plain.sum(axis=0) / np.maximum(count, 1)
        steps = np.where(there, values - origin, 0.0)
        n = held.T @ held
        offset = (steps.T @ held) / np.maximum(n, 1)
        squares = (steps**2).T @ held - n * offset**2
        products = steps.T @ steps - n * offset * offset.T
        return cls(len(values), n, origin, offset, squares, products)

    def merged(self, other: Pairs) -> Pairs:
        """The moments of the rows of both."""
        n = self.n + other.n
        share = other.n / np.maximum(n, 1)
        step = (other.origin - self.origin)[:, None] + other.offset - self.offset
        step = np.where((self.n > 0) & (other.n > 0), step, 0.0)
        both = self.n * share
        # Where only the other has values, its mean is the mean, seen from this origin.
        moved = other.offset + (other.origin - self.origin)[:, None]
        return Pairs(
            self.rows + other.rows,
            n,
            self.origin,
            np.where(self.n > 0, self.offset + step * share, moved),
            self.squares + other.squares + both * step**2,
            self.products + other.products + both * step * step.T,
        )

    def covariance(self, ddof: int, least: int) -> np.ndarray:
        """Covariances; missing for fewer pairs than ``least``."""
        # Pandas looks at ddof only where nothing is missing.
        free = self.n - (ddof if (self.n == self.rows).all() else 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where((self.n >= least) & (free > 0), self.products / free, np.nan)

    def correlation(self, least: int) -> np.ndarray:
        """Correlations; missing for fewer pairs than ``least`` and for constant columns."""
        spread = np.sqrt(self.squares * self.squares.T)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = np.clip(self.products / spread, -1, 1)
        return np.where((self.n >= least) & (spread > 0), found, np.nan)


@record
class PairMoments:
    """What is wanted of the pairs: ``"corr"`` or ``"cov"``."""

    method: str
    min_periods: int | None = None
    ddof: int = 1

    def reference(self, frame: pd.DataFrame) -> Any:
        """What pandas says on a sample."""
        options = {} if self.method == "corr" else {"ddof": self.ddof}
        least = {} if self.min_periods is None else {"min_periods": self.min_periods}
        return getattr(frame, self.method)(**options, **least)

    def matrix(self, pairs: Pairs) -> np.ndarray:
        """The values."""
        least = 1 if self.min_periods is None else self.min_periods
        if self.method == "corr":
            return pairs.correlation(least)
        return pairs.covariance(self.ddof, least)


class Pairwise(FrameReduce):
    """Covariance or correlation of the columns; with ``single`` of the first two only."""

    input: Node
    moments: PairMoments
    single: bool = False

    @property
    def label(self) -> str:
        return self.moments.method

    def reference(self, *inputs: Any) -> Any:
        (frame,) = inputs
        if not self.single:
            return self.moments.reference(frame)
        return _Matrix(self.moments, single=True)((0,), _moments((0,), frame))

    def partial(self) -> Kernel:
        return _moments

    def combine(self) -> Kernel:
        return _merge

    def final(self) -> Kernel:
        return _Matrix(self.moments, self.single)

    def needs(self, need: Need) -> tuple[Need, ...]:
        del need
        return (Need(None, index=False, order=False),)


def _moments(index: Index, frame: pd.DataFrame) -> tuple[pd.Index, Pairs]:
    del index
    return frame.columns, Pairs.of(frame.to_numpy(dtype=np.float64, na_value=np.nan))


def _merge(index: Index, states: list[tuple[pd.Index, Pairs]]) -> tuple[pd.Index, Pairs]:
    del index
    (columns, pairs), *rest = states
    for _, other in rest:
        pairs = pairs.merged(other)
    return columns, pairs


@record
class _Matrix:
    moments: PairMoments
    single: bool

    def __call__(self, index: Index, state: tuple[pd.Index, Pairs]) -> Any:
        del index
        columns, pairs = state
        if self.single:
            # Of two series only the rows where both are there count at all.
            pairs = dataclasses.replace(
                pairs, rows=int(pairs.n[0, 1]), n=np.full((2, 2), pairs.n[0, 1])
            )
            return np.float64(self.moments.matrix(pairs)[0, 1])
        return pd.DataFrame(self.moments.matrix(pairs), index=columns, columns=columns)


class Beside(FrameMap):
    """Two series on the same rows as a frame of two columns."""

    left: Node
    right: Node

    row_preserving = True

    def kernel(self) -> Kernel:
        return _beside


def _beside(index: Index, left: pd.Series, right: pd.Series) -> pd.DataFrame:
    del index
    return pd.DataFrame({0: left.array, 1: right.array}, copy=False)
