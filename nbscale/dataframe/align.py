"""Index alignment: making operands hold the same rows before they meet.

pandas matches rows by label, and zips where two whole indexes are equal. So whole indexes are
compared first. Equal ones are cut alike and zipped; unequal ones meet by range of their labels
(arithmetic) or by hash (when one takes the rows of the other).
"""

from __future__ import annotations

from typing import Any

from nbscale.dataframe.digest import (
    Compares,
    cut_like,
    index_keys,
    meetings_to_look_up,
    whole_digest,
)
from nbscale.dataframe.lookup import looked_up
from nbscale.dataframe.node import Frame, FrameReduce, zips
from nbscale.dataframe.outer import Outer
from nbscale.dataframe.rows import concatenated
from nbscale.dataframe.settle import resized, settled
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.plan.layout import Layout

__all__ = ["aligned", "aligned_mask", "aligned_to", "identical", "meeting", "spread"]


_MOST_SPREAD = 10_000


class Reindexed(Compares):
    """``right`` on the rows of ``left``, by label."""

    left: Node
    right: Node
    strict: bool

    @property
    def label(self) -> str:
        return "align"

    @property
    def grid(self) -> tuple[int, ...]:
        return self.left.grid

    def reference(self, *inputs: Any) -> Any:
        left, right = inputs
        return resized(right, left)

    def needs(self, need: Need) -> tuple[Need, ...]:
        return Need(frozenset(), True, True), Need(need.columns, True, True)

    def _make_layout(self) -> Layout:
        return self.left.layout  # type: ignore[attr-defined]

    def build(self, *answers: Any) -> Node:
        left, right = answers
        if whole_digest(left) == whole_digest(right):
            return settled(self, cut_like(self.right, right, left))
        n = meetings_to_look_up(left, right)
        by = index_keys(self.left, self.right)
        return settled(self, looked_up(self.left, self.right, by, n, strict=self.strict))


class Identical(Compares):
    """``right`` cut like ``left``; the whole indexes must be equal."""

    left: Node
    right: Node

    @property
    def label(self) -> str:
        return "align"

    @property
    def grid(self) -> tuple[int, ...]:
        return self.left.grid

    def reference(self, *inputs: Any) -> Any:
        return resized(inputs[1], inputs[0])

    def needs(self, need: Need) -> tuple[Need, ...]:
        return Need(frozenset(), True, True), Need(need.columns, True, True)

    def _make_layout(self) -> Layout:
        return self.left.layout  # type: ignore[attr-defined]

    def build(self, *answers: Any) -> Node:
        left, right = answers
        if whole_digest(left) != whole_digest(right):
            kind = self.left.kind  # type: ignore[attr-defined]
            what = "(both index and columns) DataFrame" if kind == "frame" else "Series"
            msg = (
                f"Can only compare identically-labeled {what} objects: these have indexes of "
                f"{sum(d.rows for d in left)} and {sum(d.rows for d in right)} rows that are not "
                "equal; bring them to the same index first"
            )
            raise ValueError(msg.replace(" objects:", " objects;"))
        return settled(self, cut_like(self.right, right, left))


class Spread(FrameReduce):
    """A series in one partition, to meet all rows of a frame along its columns."""

    input: Node

    @property
    def label(self) -> str:
        return "spread along columns"

    def partial(self) -> Kernel:
        return _few_rows

    def combine(self) -> Kernel:
        return _few_of_all

    def final(self) -> Kernel:
        return _few_rows


def _few_rows(_index: Index, value: Any) -> Any:
    if len(value) > _MOST_SPREAD:
        msg = (
            f"a Series of more than {_MOST_SPREAD} rows cannot be matched with the columns of a "
            "frame; operations between a frame and a Series go along the columns, as in pandas"
        )
        raise ValueError(msg)
    return value


def _few_of_all(index: Index, values: list[Any]) -> Any:
    return _few_rows(index, concatenated(values))


def spread(series: Node) -> Node:
    """The series in one partition; as it is if it has one."""
    try:
        single = series.grid == (1,)
    except LookupError:
        single = False
    return series if single else Spread(series)


def aligned(*nodes: Node) -> tuple[Node, ...]:
    """Return nodes that hold the rows pandas' alignment of these gives, partition by partition.

    Parameters
    ----------
    nodes
        Frames, series and scalars; several are aligned one after the other.

    Returns
    -------
    tuple
        As many nodes. Those that hold the same rows already come back as they are. Otherwise
        their indexes are digested, and rows move only if these differ.

    Raises
    ------
    NotImplementedError
        For an Index on other rows: it has no labels to be matched by.
    """
    return meeting(Outer, *nodes)


def meeting(pair: Any, *nodes: Node) -> tuple[Node, ...]:
    """The nodes on common rows, each pair of them brought together by the class given."""
    if zips(*nodes):
        return nodes
    done: list[Any] = []
    for node in nodes:
        if not _labelled(node):
            done.append(node)
            continue
        first = next((d for d in done if _labelled(d)), None)
        if first is None or zips(first, node):
            done.append(node)
            continue
        _check_labelled(first, node)
        done = [pair(d, node, 0) if _labelled(d) else d for d in done]
        done.append(pair(first, node, 1))
    return tuple(done)


def aligned_to(frame: Node, *others: Node) -> tuple[Node, ...]:
    """Return the others on the rows of the frame, missing where they lack its labels.

    Raises
    ------
    ValueError
        When computed: if the labels of another repeat and its index is not equal to the frame's.
    """
    return tuple(_on(frame, other, strict=False) for other in others)


def aligned_mask(frame: Node, mask: Node) -> Node:
    """Return the mask on the rows of the frame.

    Raises
    ------
    pandas.errors.IndexingError
        When computed: if the mask lacks labels of the frame.
    """
    return _on(frame, mask, strict=True)


def identical(frame: Node, other: Node) -> Node:
    """Return the other cut like the frame, for comparisons.

    Raises
    ------
    ValueError
        When computed: if the indexes are not equal.
    """
    if not _labelled(other) or zips(frame, other):
        return other
    _check_labelled(frame, other)
    return Identical(frame, other)


def _on(frame: Node, other: Node, *, strict: bool) -> Node:
    if not _labelled(other) or zips(frame, other):
        return other
    _check_labelled(frame, other)
    return Reindexed(frame, other, strict)


def _labelled(node: Node) -> bool:
    return isinstance(node, Frame) and node.has_index


def _check_labelled(*nodes: Any) -> None:
    if any(node.kind == "index" for node in nodes):
        msg = (
            "an Index meets only rows of the frame it was taken from; use "
            "reset_index() to make it a column"
        )
        raise NotImplementedError(msg)
    index_keys(*nodes)
