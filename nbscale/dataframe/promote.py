"""Missing rows change dtypes, and one partition cannot tell: so all are told whether any misses.

Joins give each partition as a pair: the rows, and whether some are missing. If they are anywhere,
every partition gets the dtypes that pandas gives the whole.
"""

from __future__ import annotations

import functools
from typing import Any

import pandas as pd

from nbscale.dataframe.cumulate import columns_in, rebuilt
from nbscale.dataframe.node import FrameMap, FrameReduce
from nbscale.expr.node import Index, Kernel, Node
from nbscale.record import record

__all__ = ["dtypes_of", "dtypes_with_missing", "promoted"]


class RowsOf(FrameMap):
    """The rows of the pairs."""

    input: Node

    @property
    def label(self) -> str:
        return "rows"

    def kernel(self) -> Kernel:
        return _first


def _first(_index: Index, pair: tuple[Any, bool]) -> Any:
    return pair[0]


class AnyMissing(FrameReduce):
    """Whether any pair says that rows are missing."""

    input: Node

    @property
    def label(self) -> str:
        return "any missing"

    def partial(self) -> Kernel:
        return _second

    def combine(self) -> Kernel:
        return _any

    def final(self) -> Kernel:
        return _same


def _second(_index: Index, pair: tuple[Any, bool]) -> bool:
    return pair[1]


def _any(_index: Index, flags: list[bool]) -> bool:
    return any(flags)


def _same(_index: Index, flag: bool) -> bool:
    return flag


class Promote(FrameMap):
    """The rows of the pairs, in the dtypes that missing rows force on all."""

    pairs: Node
    missing: Node
    dtypes: tuple[Any, ...]

    @property
    def label(self) -> str:
        return "dtypes"

    def kernel(self) -> Kernel:
        return _PromoteKernel(self.dtypes)


@record
class _PromoteKernel:
    dtypes: tuple[Any, ...]

    def __call__(self, _index: Index, pair: tuple[Any, bool], missing: bool) -> Any:
        rows, here = pair
        if here or not missing:
            return rows
        columns = [
            column if column.dtype == dtype else column.astype(dtype)
            for column, dtype in zip(columns_in(rows), self.dtypes, strict=True)
        ]
        return rebuilt(rows, columns)


def dtypes_of(schema: Any) -> tuple[Any, ...]:
    """The dtypes of a value's columns, by position."""
    return tuple(column.dtype for column in columns_in(schema))


def dtypes_with_missing(schema: Any) -> tuple[Any, ...]:
    """The dtypes of a value's columns once some of its rows are missing."""
    return tuple(_with_missing(column.dtype) for column in columns_in(schema))


@functools.cache
def _with_missing(dtype: Any) -> Any:
    return pd.Series([], dtype=dtype).reindex([0]).dtype


def promoted(pairs: Node, before: tuple[Any, ...], after: tuple[Any, ...]) -> Node:
    """The rows of pairs in their final dtypes.

    Parameters
    ----------
    pairs
        Gives ``(rows, whether some are missing)`` for each partition.
    before, after
        The dtypes of the rows where none is missing, and where some are. Only if they differ
        must all partitions wait to hear of each other.
    """
    return RowsOf(pairs) if before == after else Promote(pairs, AnyMissing(pairs), after)
