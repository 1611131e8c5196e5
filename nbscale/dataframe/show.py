"""How frames look before they are computed: schema, partitions, bytes, and a few real rows."""

from __future__ import annotations

import html
import math
from typing import Any

import pandas as pd

from nbscale.dataframe.node import Frame
from nbscale.plan.estimate import estimate
from nbscale.session import current
from nbscale.units import format_bytes, format_count

__all__ = ["html_repr", "text_repr"]

_SHOWN = 5


def _headline(title: str, node: Frame) -> str:
    parts = [title]
    try:
        n = math.prod(node.grid)
    except LookupError:
        parts.append("partitions known when it runs")
    else:
        parts.append(f"{n} partition{'s' if n != 1 else ''}")
    if node.layout.lengths is not None:
        parts.append(f"{format_count(sum(node.layout.lengths))} rows")
    guess = estimate((node,), current().learned)[node.key]
    if guess.nbytes is not None:
        parts.append(f"about {format_bytes(guess.nbytes)} in memory")
    return ", ".join(parts)


def _dtypes(node: Frame) -> str:
    schema = node.schema
    if isinstance(schema, pd.DataFrame):
        pairs = [f"{name} {dtype}" for name, dtype in schema.dtypes.items()]
        shown = ", ".join(pairs[:30])
        return shown + (f", ... {len(pairs) - 30} more" if len(pairs) > 30 else "")
    return f"{schema.name if schema.name is not None else 'values'} {schema.dtype}"


def _rows(node: Frame) -> Any:
    sample = node.sample
    return sample.to_frame(index=False) if isinstance(sample, pd.Index) else sample


def text_repr(title: str, node: Frame) -> str:
    """The repr in a terminal."""
    if node.kind == "scalar":
        return f"nbscale {title}: not computed yet, a {type(node.sample).__name__}"
    head = f"nbscale {_headline(title, node)}; not computed yet"
    rows = _rows(node)[:_SHOWN]
    return f"{head}\n{_dtypes(node)}\nfor example (a sample):\n{rows.to_string()}"


def html_repr(title: str, node: Frame) -> str:
    """The repr in a notebook. All text from the data is escaped."""
    rows = _rows(node)[:_SHOWN]
    frame = rows.to_frame() if isinstance(rows, pd.Series) else rows
    table = frame.to_html(escape=True, notebook=True)
    return (
        f"<div><p><b>nbscale {html.escape(_headline(title, node))}</b>; not computed yet</p>"
        f"<p><small>{html.escape(_dtypes(node))}</small></p>"
        f"<p><small>for example (a sample):</small></p>{table}</div>"
    )
