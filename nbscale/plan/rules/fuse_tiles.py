"""Work by tiles: a chain of operations that look at one place at a time becomes one operation.

It then runs through a chunk in tiles that stay in the processor's cache, where one operation after
the other would write every value in between out to memory and read it back.
"""

from __future__ import annotations

from nbscale.expr.node import Node, walk

__all__ = ["apply", "name"]

name = "fuse_tiles"


def apply(roots: tuple[Node, ...]) -> tuple[Node, ...]:
    """Fuse what has the fact ``tiles`` with its one reader, where both are cut alike."""
    order = list(walk(roots))
    if sum(_tiles(node) for node in order) < 2:
        return roots
    head: dict[str, Node] = {}
    readers: dict[str, list[Node]] = {}
    wanted = {root.key for root in roots}
    for node in reversed(order):
        head[node.key] = _head_of(node, readers.get(node.key, []), head, wanted)
        for child in node.inputs:
            readers.setdefault(child.key, []).append(node)
    groups: dict[str, list[Node]] = {}
    for node in order:
        groups.setdefault(head[node.key].key, []).append(node)
    done: dict[str, Node] = {}
    for node in order:
        members = groups.get(node.key)
        if members is None:
            continue  # inside the group of another
        if len(members) > 1:
            done[node.key] = node.fused(members, done)  # type: ignore[attr-defined]
        else:
            done[node.key] = node.with_inputs([done[child.key] for child in node.inputs])
    return tuple(done[root.key] for root in roots)


def _tiles(node: Node) -> bool:
    """Whether the node's kernel can be run on any part of a chunk."""
    return getattr(node, "tiles", False)


def _head_of(node: Node, readers: list[Node], head: dict[str, Node], wanted: set[str]) -> Node:
    """The node whose group this one is in: its own, unless one group holds all its readers."""
    if not _tiles(node) or node.key in wanted or not readers:
        return node
    found = head[readers[0].key]
    if not _tiles(found) or found.cuts != node.cuts:  # type: ignore[attr-defined]
        return node
    return found if all(head[reader.key] is found for reader in readers) else node
