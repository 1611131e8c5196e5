"""Index alignment: making operands hold the same rows before they meet."""

from __future__ import annotations

from nbscale.dataframe.node import zips
from nbscale.expr.node import Node

__all__ = ["aligned", "aligned_mask"]


def aligned(*nodes: Node) -> tuple[Node, ...]:
    """Return nodes that hold the rows pandas' alignment of these gives, partition by partition.

    Nodes that do so already come back as they are.
    """
    if zips(*nodes):
        return nodes
    raise NotImplementedError("alignment of different indexes")


def aligned_mask(frame: Node, mask: Node) -> Node:
    """Return the mask on the rows of the frame."""
    return aligned(frame, mask)[1]
