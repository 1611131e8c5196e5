"""Columns made the index, and the index made columns: rows keep their order and partitions."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

import pandas as pd

from nbscale.dataframe.node import FrameMap
from nbscale.dataframe.select import missing_column
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.expr.token import token
from nbscale.plan.layout import Layout
from nbscale.record import record

__all__ = ["ResetIndex", "SetIndex"]


class SetIndex(FrameMap):
    """A frame with columns, or series on the same rows, as its index."""

    input: Node
    keys: tuple[Any, ...]
    drop: bool
    append: bool
    divisions: tuple[Any, ...] | None = None

    @property
    def label(self) -> str:
        return "set_index"

    def validate(self) -> None:
        have = self.input.columns  # type: ignore[attr-defined]
        for key in self.keys:
            if not isinstance(key, Node) and key not in have:
                raise missing_column(key, have)
        super().validate()

    def kernel(self) -> Kernel:
        template = tuple(None if isinstance(k, Node) else (k,) for k in self.keys)
        return _SetIndexKernel(template, self.drop, self.append, self.divisions)

    def needs(self, need: Need) -> tuple[Need, ...]:
        named = [k for k in self.keys if not isinstance(k, Node)]
        below = dataclasses.replace(need.plus(named), index=self.append)
        lazy = Need(None, index=False)
        return (below, *(lazy for k in self.keys if isinstance(k, Node)))

    def _make_layout(self) -> Layout:
        below: Layout = self.input.layout  # type: ignore[attr-defined]
        # Other labels on the same rows: they no longer zip with the frame they came from.
        return dataclasses.replace(below, rows=self.key, divisions=self.divisions)


@record
class _SetIndexKernel:
    keys: tuple[tuple[Hashable] | None, ...]
    drop: bool
    append: bool
    divisions: tuple[Any, ...] | None

    def __call__(self, index: Index, frame: Any, *lazy: Any) -> Any:
        queue = iter(lazy)
        keys = [next(queue) if key is None else key[0] for key in self.keys]
        done = frame.set_index(keys, drop=self.drop, append=self.append)
        if self.divisions is not None and len(done):
            self._check(index[0], done.index)
        return done

    def _check(self, i: int, labels: Any) -> None:
        assert self.divisions is not None
        if i + 1 >= len(self.divisions):
            return
        low, high = self.divisions[i], self.divisions[i + 1]
        last = i + 2 == len(self.divisions)
        inside = labels[0] >= low and (labels[-1] <= high if last else labels[-1] < high)
        if not inside or not labels.is_monotonic_increasing:
            msg = (
                f"partition {i} holds labels {labels[0]!r} to {labels[-1]!r}, which do not lie in "
                f"order between the divisions {low!r} and {high!r}; leave sorted= and divisions= "
                "out, or give the divisions the data has"
            )
            raise ValueError(msg)


class ResetIndex(FrameMap):
    """The index moved into columns or dropped; rows numbered within each partition."""

    input: Node
    drop: bool
    names: Any = None

    @property
    def label(self) -> str:
        return "reset_index"

    def kernel(self) -> Kernel:
        return _ResetKernel(self.drop, self.names)

    def needs(self, need: Need) -> tuple[Need, ...]:
        columns = getattr(self.input, "columns", ())
        below = need if need.columns is None else need.of(c for c in columns if c in need.columns)
        return (dataclasses.replace(below, index=not self.drop),)

    def _make_layout(self) -> Layout:
        below: Layout = self.input.layout  # type: ignore[attr-defined]
        rows = token("reset", below.rows)
        return dataclasses.replace(below, rows=rows, divisions=None)


@record
class _ResetKernel:
    drop: bool
    names: Any

    def __call__(self, _index: Index, value: Any) -> Any:
        if isinstance(value, pd.Series):
            if self.drop:
                return value.reset_index(drop=True)
            return value.reset_index() if self.names is None else value.reset_index(name=self.names)
        return value.reset_index(drop=self.drop, names=self.names)
