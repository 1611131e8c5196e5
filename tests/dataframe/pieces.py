"""A pandas object cut into partitions at given rows, empty ones too. For tests only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbscale.collection import wrap
from nbscale.dataframe.source import FromPandas, Snapshot

CUTS = ((), (0, 0, 2, 2, 6), (1, 2, 3, 4, 5))
"""Ways to cut six rows: not at all, with empty partitions everywhere, one by one."""


def pieces(data: Any, cuts: Sequence[int]) -> Any:
    """The lazy frame with a partition between each two cuts."""
    return wrap(FromPandas(Snapshot(data), (0, *cuts, len(data))))
