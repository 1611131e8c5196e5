"""Row groups of parquet files, and which of them can hold rows that pass filters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from nbscale.dataframe.read.files import SourceFile
from nbscale.record import record

__all__ = ["ColumnStats", "Filters", "RowGroup", "filtered_columns", "may_match"]

Filters: TypeAlias = "Sequence[tuple[str, str, Any]] | Sequence[Sequence[tuple[str, str, Any]]]"


@record
class ColumnStats:
    """What the footer says of a column in a row group; None where it does not."""

    min: Any
    max: Any
    nulls: int | None
    nbytes: int


@record
class RowGroup:
    """Rows of a file that are stored together.

    Attributes
    ----------
    file
        The file.
    index
        Its number in the file.
    first_row
        Rows of the file before it.
    rows
        Its rows.
    nbytes
        Its bytes, not compressed.
    stats
        Of each column stored.
    """

    file: SourceFile
    index: int
    first_row: int
    rows: int
    nbytes: int
    stats: Mapping[str, ColumnStats] = dataclasses.field(repr=False, hash=False, compare=False)


def may_match(group: RowGroup, filters: Filters | None) -> bool:
    """Whether rows of a row group can pass filters, as far as its footer tells.

    Examples
    --------
    >>> group = RowGroup(SourceFile("a", 1), 0, 0, 5, 9, {"x": ColumnStats(1, 3, 0, 9)})
    >>> may_match(group, [("x", ">", 3)]), may_match(group, [("x", "in", [0, 2])])
    (False, True)
    """
    if not filters:
        return True
    return any(
        all(
            _term_may_hold(group.stats.get(name), group.rows, op, value)
            for name, op, value in terms
        )
        for terms in _alternatives(filters)
    )


def _term_may_hold(told: ColumnStats | None, rows: int, op: str, value: Any) -> bool:
    if told is None:
        return True
    if told.nulls is not None and told.nulls == rows and op != "not in":
        return False  # a missing value passes no comparison
    low, high = told.min, told.max
    if low is None or high is None or _is_nan(low) or _is_nan(high):
        return True
    try:
        match op:
            case "=" | "==":
                return bool(low <= value <= high)
            case "<":
                return bool(low < value)
            case "<=":
                return bool(low <= value)
            case ">":
                return bool(high > value)
            case ">=":
                return bool(high >= value)
            case "in":
                return any(low <= v <= high for v in value)
            case "!=":
                return not (low == high == value)
    except TypeError:
        return True  # not comparable here: the rows themselves will tell
    return True


def _is_nan(value: Any) -> bool:
    return isinstance(value, (float, np.floating)) and bool(value != value)  # noqa: PLR0124


def filtered_columns(filters: Filters | None) -> list[str]:
    """Columns that filters look at."""
    if not filters:
        return []
    return list(dict.fromkeys(name for terms in _alternatives(filters) for name, _, _ in terms))


def _alternatives(filters: Any) -> list[list[tuple[str, str, Any]]]:
    """Filters as a list of alternatives, each a list of terms that must all hold."""
    if isinstance(filters[0], tuple):
        return [list(filters)]
    return [list(terms) for terms in filters]
