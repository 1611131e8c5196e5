"""Other names for columns: only those whose new names are needed are read."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import pandas as pd

from nbscale.dataframe.node import FrameMap
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.record import record

__all__ = ["Renamed"]


class Renamed(FrameMap):
    """The columns of ``input``, which are ``olds``, under new names."""

    input: Node
    olds: tuple[Hashable, ...]
    news: tuple[Hashable, ...]

    row_preserving = True
    carries_index = True

    @property
    def label(self) -> str:
        return "rename"

    def kernel(self) -> Kernel:
        return _Rename(self.news)

    def needs(self, need: Need) -> tuple[Need, ...]:
        if need.columns is None:
            return (need,)
        pairs = zip(self.olds, self.news, strict=True)
        return (need.of(old for old, new in pairs if new in need.columns),)

    def pruned(self, need: Need, inputs: Sequence[Node]) -> Node:
        (source,) = inputs
        have = source.columns  # type: ignore[attr-defined]
        if have == self.olds:
            return self.with_inputs(inputs)
        new = dict(zip(self.olds, self.news, strict=True))
        return Renamed(source, have, tuple(new[old] for old in have))


@record
class _Rename:
    names: tuple[Hashable, ...]

    def __call__(self, index: Index, frame: Any) -> Any:
        columns = pd.Index(self.names, name=frame.columns.name, tupleize_cols=False)
        return frame.set_axis(columns, axis=1)
