"""One row of the oracle: an operation, written once, run by pandas or NumPy and by nbscale alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

__all__ = ["Case", "Rule"]

Rule = Literal["exact", "sum", "moment"]
"""``exact``: dtype, index, order, missing values and every value. ``sum``: floats within 1e-12 of
the same operation on absolute values. ``moment``: floats within 1e-9 relative."""


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A row.

    Attributes
    ----------
    name
        Unique in its table.
    run
        ``run(df)``, or ``run(df, other)`` with ``two``: works on pandas and on lazy frames.
    rule
        What equal means.
    two
        Needs a second frame.
    why
        Why the guard on memory and reading does not hold, for reviewed exceptions; else ''.
    on
        Names of the standard frames it makes sense on; empty for all.
    """

    name: str
    run: Callable[..., Any]
    rule: Rule = "exact"
    two: bool = False
    why: str = ""
    on: tuple[str, ...] = ()
