"""Some columns of a frame; and no more of them moved about than somebody needs."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from nbscale.dataframe.node import FrameMap
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.record import record

__all__ = ["Project", "missing_column", "narrowed"]


def missing_column(name: Any, columns: Sequence[Hashable]) -> KeyError:
    """The error for a column that is not there, with what is near it."""
    texts = [str(c) for c in columns]
    import difflib  # noqa: PLC0415 - only what goes wrong needs it

    near = difflib.get_close_matches(str(name), texts, n=3)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
    shown = ", ".join(texts[:20]) + (", ..." if len(texts) > 20 else "")
    return KeyError(f"no column {name!r}{hint} The columns are: {shown}")


class Project(FrameMap):
    """Some columns of a frame, in the order given."""

    input: Node
    names: tuple[Hashable, ...]

    row_preserving = True
    column_local = True
    carries_index = True

    @property
    def label(self) -> str:
        return "columns"

    def validate(self) -> None:
        have = self.input.columns  # type: ignore[attr-defined]
        for name in self.names:
            if name not in have:
                raise missing_column(name, have)
        super().validate()

    def kernel(self) -> Kernel:
        return _Columns(list(self.names))

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (need.of(self._kept(need)),)

    def pruned(self, need: Need, inputs: Sequence[Node]) -> Node:
        (source,) = inputs
        names = self._kept(need)
        return source if getattr(source, "columns", None) == names else Project(source, names)

    def _kept(self, need: Need) -> tuple[Hashable, ...]:
        if need.columns is None:
            return self.names
        return tuple(name for name in self.names if name in need.columns)


@record
class _Columns:
    names: list[Hashable]

    def __call__(self, index: Index, frame: Any) -> Any:
        return frame[self.names]


def narrowed(nodes: Sequence[Any], needs: Sequence[Need]) -> tuple[Node, ...]:
    """The nodes without the columns that nobody needs: rows that move should be narrow.

    Pruning drops columns where they are read from files, unless somebody else needs them.
    """
    done: list[Node] = []
    for node, need in zip(nodes, needs, strict=True):
        columns = node.columns
        kept = columns if need.columns is None else tuple(c for c in columns if c in need.columns)
        spare = len(kept) < len(columns) and len(set(columns)) == len(columns)
        done.append(Project(node, kept) if spare else node)
    return tuple(done)
