"""The rules, in the order in which they run.

The order matters: filters move first, so that the columns they read are known when columns are
pruned; row numbers move last, when it is known where an index is read at all. Slices of arrays
move before what they move through is fused.
"""

from __future__ import annotations

from nbscale.plan.rewrite import Rule
from nbscale.plan.rules import fuse_tiles, number_late, prune, push_filter, push_slice

__all__ = ["RULES"]

RULES: tuple[Rule, ...] = (push_slice, push_filter, prune, number_late, fuse_tiles)
