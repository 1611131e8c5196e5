"""An array shown: one line of text, or a small table with its chunks drawn."""

from __future__ import annotations

import html
from collections.abc import Sequence

from nbscale.array.chunks import Cut, count_chunks, largest
from nbscale.array.node import ArrayNode
from nbscale.expr.node import Adaptive
from nbscale.units import format_bytes, format_count

__all__ = ["as_html", "as_text"]

_SIDE = 120
_MOST_LINES = 24


def as_text(node: ArrayNode) -> str:
    """One line: shape, dtype, size of chunks."""
    if isinstance(node, Adaptive):
        return f"nbscale.Array<{node.label}, shape known when computed, dtype={node.dtype}>"
    shape = "(" + ", ".join(map(str, node.shape)) + ("," if node.ndim == 1 else "") + ")"
    size = tuple(cut.size for cut in node.cuts)
    return f"nbscale.Array<{node.label}, shape={shape}, dtype={node.dtype}, chunksize={size}>"


def as_html(node: ArrayNode) -> str:
    """A table of bytes, shape and chunks, and a drawing of the last two axes' chunks."""
    if isinstance(node, Adaptive):
        return html.escape(as_text(node))
    total = node.dtype.itemsize
    for n in node.shape:
        total *= n
    size = " × ".join(str(cut.size) for cut in node.cuts) or "one value"
    rows = [
        ("operation", node.label),
        ("shape", " × ".join(format_count(n) for n in node.shape) or "one value"),
        ("dtype", str(node.dtype)),
        ("bytes", format_bytes(total)),
        ("chunks", f"{format_count(count_chunks(node.cuts))} of {size}"),
        ("chunk bytes", format_bytes(largest(node.cuts) * node.dtype.itemsize)),
    ]
    table = "".join(
        f"<tr><th style='text-align:left'>{name}</th><td>{html.escape(value)}</td></tr>"
        for name, value in rows
    )
    drawing = _drawing(node.cuts[-2:]) if node.ndim else ""
    return (
        "<table><tr><td style='border:none'><table>"
        f"{table}</table></td><td style='border:none'>{drawing}</td></tr></table>"
    )


def _drawing(cuts: Sequence[Cut]) -> str:
    """The chunks as a grid. Of many only every so many is drawn."""
    lengths = [max(1, cut.length) for cut in cuts]
    if len(lengths) == 1:
        lengths = [1, *lengths]
        cuts = [Cut.whole(1), *cuts]
    longest = max(lengths)
    height, width = (max(14, round(_SIDE * n / longest)) for n in lengths)
    lines = [
        f'<line x1="5" y1="{y + 5}" x2="{width + 5}" y2="{y + 5}"/>'
        for y in _lines(cuts[0], height)
    ]
    lines += [
        f'<line x1="{x + 5}" y1="5" x2="{x + 5}" y2="{height + 5}"/>'
        for x in _lines(cuts[1], width)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width + 10}" height="{height + 10}" '
        f'stroke="#567"><rect x="5" y="5" width="{width}" height="{height}" fill="#dcefdc"/>'
        f"{''.join(lines)}</svg>"
    )


def _lines(cut: Cut, pixels: int) -> list[float]:
    skip = max(1, -(-cut.n // _MOST_LINES))
    inner = range(skip, cut.n, skip)
    return [round(cut.start(i) * pixels / max(1, cut.length), 1) for i in inner]
