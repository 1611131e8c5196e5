"""Slice early: a slice moves below the work it is taken of, down to the sources.

``(x + y)[:5]`` becomes ``x[:5] + y[:5]``. One pass backwards collects what is read of every node,
one pass forward builds it. Where a node is read whole as well, or by slices that together are no
smaller than it is, it is made once, and the slices are taken of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

from nbscale.expr.node import Node, walk

__all__ = ["apply", "name"]

name = "push_slice"

Picks: TypeAlias = tuple[tuple[int, int, int], ...]
"""Start, step and count of each axis."""

Want: TypeAlias = Picks | None
"""What is read of a node: a slice, or None for all of it."""


def apply(roots: tuple[Node, ...]) -> tuple[Node, ...]:
    """Take every slice as near to the sources as that saves work."""
    order = list(walk(roots))
    slicer = next((node for node in order if _slices(node) is not None), None)
    if slicer is None:
        return roots
    wants: dict[str, dict[Want, None]] = {node.key: {} for node in order}
    for root in roots:
        wants[root.key][None] = None
    whole: set[str] = set()
    for node in reversed(order):
        asked = wants[node.key]
        if asked and _slices(node) is None:
            needs = _needs(node, asked)
            if needs is None:
                whole.add(node.key)
                needs = [(None,) * len(node.inputs)]
        else:
            needs = [(_compose(_slices(node), want),) for want in asked]
        for row in needs:
            for child, need in zip(node.inputs, row, strict=True):
                if need is not False:
                    wants[child.key][need] = None
    return _build(roots, order, wants, whole, slicer)


def _slices(node: Node) -> Picks | None:
    """The slice that the node takes, if it is one."""
    return getattr(node, "slices", None)


def _needs(node: Node, asked: dict[Want, None]) -> list[tuple[Any, ...]] | None:
    """For each slice asked of the node what it reads of the inputs; None to make the node whole."""
    slice_needs = getattr(node, "slice_needs", None)
    if None in asked or slice_needs is None:
        return None
    size = math.prod(node.shape)  # type: ignore[attr-defined]
    if sum(math.prod(count for _, _, count in want) for want in asked if want) >= size:
        return None
    needs = [slice_needs(want) for want in asked]
    if any(need is None for need in needs):
        return None
    return [
        tuple(_simple(n, child) for n, child in zip(need, node.inputs, strict=True))
        for need in needs
    ]


def _simple(need: Any, child: Node) -> Any:
    """None for a slice that takes everything."""
    if need and all(
        pick == (0, 1, n)
        for pick, n in zip(need, child.shape, strict=True)  # type: ignore[attr-defined]
    ):
        return None
    return need if need or need is False else None


def _compose(inner: Picks | None, outer: Want) -> Want:
    if outer is None or inner is None:
        return inner
    return tuple(
        (begin + start * stride, stride * step, count)
        for (begin, stride, _), (start, step, count) in zip(inner, outer, strict=True)
    )


def _build(
    roots: Sequence[Node],
    order: Sequence[Node],
    wants: dict[str, dict[Want, None]],
    whole: set[str],
    slicer: Any,
) -> tuple[Node, ...]:
    made: dict[tuple[str, Want], Node] = {}
    for node in order:
        asked = wants[node.key]
        own = _slices(node)
        if own is not None:
            for want in asked:
                made[node.key, want] = made[node.inputs[0].key, _compose(own, want)]
            continue
        if node.key in whole:
            full = node.with_inputs([made[child.key, None] for child in node.inputs])
            for want in asked:
                made[node.key, want] = full if want is None else slicer.of(full, want)
            continue
        for want in asked:
            needs = _needs(node, {want: None})
            assert needs is not None
            inputs = [
                child if need is False else made[child.key, need]
                for child, need in zip(node.inputs, needs[0], strict=True)
            ]
            made[node.key, want] = node.sliced(want, inputs)  # type: ignore[attr-defined]
    return tuple(made[root.key, None] for root in roots)
