"""What every node of a frame has: sample, schema, layout.

The value of a partition is a pandas DataFrame, Series or Index. The sample is a few real rows: the
source's own, carried through every operation by pandas itself, so a schema is never made up and a
function of the user's is only ever called on real data.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from nbscale.expr.node import (
    Adaptive,
    Exchange,
    Held,
    Map,
    Node,
    Reduce,
    Scan,
    Source,
)
from nbscale.plan.layout import Layout
from nbscale.record import record

__all__ = [
    "SAMPLE_ROWS",
    "Frame",
    "FrameAdaptive",
    "FrameExchange",
    "FrameHeld",
    "FrameMap",
    "FrameReduce",
    "FrameScan",
    "FrameSource",
    "kind_of",
    "row_bytes",
    "zips",
]

SAMPLE_ROWS = 20


def kind_of(value: Any) -> str:
    """The kind of collection that holds values like this one."""
    if isinstance(value, pd.DataFrame):
        return "frame"
    if isinstance(value, pd.Series):
        return "series"
    if isinstance(value, pd.Index):
        return "index"
    return "scalar"


class Frame(Node):
    """Mixed into a family: what a frame node has beside how it depends on its inputs."""

    carries_index = False
    """The index passes through untouched and unread."""
    numbers_rows = False
    """Turns a row number within a partition into the number over all partitions."""
    filters_rows = False
    """Keeps the rows of input 0 where input 1 is true."""

    def reference(self, *inputs: Any) -> Any:
        """What pandas says on whole inputs: gives the sample, and with it the schema."""
        raise NotImplementedError(type(self).__name__)

    def validate(self) -> None:
        """Try the operation on the sample, so that a mistake is told when it is made.

        Functions of the user's are not called before their answer is needed.
        """
        if not self.user_code:
            _ = self.sample

    @property
    def sample(self) -> Any:
        """A few real rows of the value, or the scalar they give."""
        if "_sample" not in self.__dict__:
            for node in _without("_sample", self):
                node.__dict__["_sample"] = node._make_sample()  # noqa: SLF001 - its own class
        return self.__dict__["_sample"]

    def _make_sample(self) -> Any:
        return self.reference(*[i.sample for i in self.inputs])  # type: ignore[attr-defined]

    @property
    def schema(self) -> Any:
        """The value with no rows: a pandas object, or the sample itself for a scalar."""
        sample = self.sample
        return sample[:0] if kind_of(sample) != "scalar" else sample

    @property
    def kind(self) -> str:
        """``"frame"``, ``"series"``, ``"index"`` or ``"scalar"``."""
        return kind_of(self.sample)

    @property
    def has_index(self) -> bool:
        """Whether rows are labelled: false for scalars."""
        return self.kind != "scalar"

    @property
    def columns(self) -> tuple[Hashable, ...]:
        """Column names of a frame; empty for others."""
        sample = self.sample
        return tuple(sample.columns) if isinstance(sample, pd.DataFrame) else ()

    @property
    def signature(self) -> Any:
        """What no rule may change of a result: kind, names and dtypes."""
        if "_sample" not in self.__dict__:
            return None  # asking might call the user's function
        schema = self.schema
        if isinstance(schema, pd.DataFrame):
            return ("frame", tuple(schema.columns), tuple(map(str, schema.dtypes)))
        if isinstance(schema, (pd.Series, pd.Index)):
            return (self.kind, schema.name, str(schema.dtype))
        return ("scalar", type(schema).__name__)

    @property
    def layout(self) -> Layout:
        """How the rows lie."""
        if "_layout" not in self.__dict__:
            for node in _without("_layout", self):
                node.__dict__["_layout"] = node._make_layout()  # noqa: SLF001 - its own class
        known: Layout = self.__dict__["_layout"]
        return known

    def _make_layout(self) -> Layout:
        """By default: rows of its own, in order, split by position."""
        return Layout(self.key)


def _without(name: str, node: Frame) -> list[Frame]:
    """The frames up to a node that do not know something of themselves yet, inputs first.

    Stops at those that do, so that a long chain is not walked again for every node added.
    """
    found: list[Frame] = []
    seen: set[int] = set()
    stack: list[tuple[Node, bool]] = [(node, False)]
    while stack:
        current, is_ready = stack.pop()
        if is_ready:
            found.append(current)  # type: ignore[arg-type]
        elif id(current) not in seen and name not in current.__dict__:
            seen.add(id(current))
            if isinstance(current, Frame):
                stack.append((current, True))
            stack.extend((child, False) for child in current.inputs)
    return found


class FrameSource(Frame, Source):
    """Rows from outside."""


class FrameMap(Frame, Map):
    """One task for each partition."""

    @property
    def grid(self) -> tuple[int, ...]:
        return max((i.grid for i in self.inputs), key=lambda grid: grid[0])

    def reference(self, *inputs: Any) -> Any:
        return self.kernel()((0,), *inputs)

    def _make_layout(self) -> Layout:
        if self.row_preserving:
            for node in self.inputs:
                if isinstance(node, Frame) and node.has_index:
                    return node.layout
        return Layout(self.key)


class FrameReduce(Frame, Reduce):
    """Few rows from many: one partition."""

    def reference(self, *inputs: Any) -> Any:
        state = self.partial()((0,), *inputs)
        return self.final()((0,), self.combine()((0,), [state]))


class FrameScan(Frame, Scan):
    """An ordered operation over all partitions."""

    row_preserving = True

    def _make_layout(self) -> Layout:
        return self.inputs[0].layout  # type: ignore[attr-defined]

    def reference(self, *inputs: Any) -> Any:
        summary = self.summarise()((0,), inputs[-1])
        (prefix,) = self.fold()((0,), [summary])
        return self.apply()((0,), inputs[0], prefix)


class FrameExchange(Frame, Exchange):
    """Rows move between partitions; none is made or lost."""

    def reference(self, *inputs: Any) -> Any:
        return inputs[0]


class FrameAdaptive(Frame, Adaptive):
    """Work that must look before it is planned.

    Subclasses give ``reference``, and ``grid`` where it is known beforehand.
    """


class FrameHeld(Frame, Held):
    """Partitions in memory: what persist gives, and answers that a later step reads."""

    values: Any
    identity: str
    example: Any
    lies: Layout

    @property
    def grid(self) -> tuple[int, ...]:
        return (len(self.values),)

    @property
    def label(self) -> str:
        return "persisted"

    def load(self) -> Any:
        return _HeldKernel(tuple(self.values))

    def nbytes(self) -> float | None:
        return sum(map(row_bytes, self.values)) / max(1, len(self.values))

    def _make_sample(self) -> Any:
        return self.example

    def _make_layout(self) -> Layout:
        return self.lies


@record
class _HeldKernel:
    values: tuple[Any, ...]

    def __call__(self, index: tuple[int, ...]) -> Any:
        return self.values[index[0]]


def zips(*nodes: Node) -> bool:
    """Whether nodes hold the same rows in the same partitions; scalars go with everything."""
    frames = [n for n in nodes if isinstance(n, Frame) and n.has_index]
    return all(a.layout.zips_with(b.layout) for a, b in itertools.pairwise(frames))


def row_bytes(value: Any) -> float:
    """Bytes of a pandas object in memory, not looking into Python objects."""
    if isinstance(value, pd.DataFrame):
        return float(value.memory_usage(deep=False).sum())
    if isinstance(value, (pd.Series, pd.Index)):
        return float(value.memory_usage(deep=False))
    return float(np.asarray(value).nbytes)
