"""Joining frames: ``merge``, ``join``, and ``concat`` beside them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Self

import pandas as pd

from nbscale.collection import Collection, public, wrap
from nbscale.dataframe.concat import concat
from nbscale.dataframe.cumulate import columns_in
from nbscale.dataframe.elementwise import elementwise
from nbscale.dataframe.merge import Merge, gathered
from nbscale.dataframe.merging import How, merged, suffixed_columns
from nbscale.dataframe.node import FrameMap
from nbscale.dataframe.order import refuse
from nbscale.dataframe.outer import Outer
from nbscale.dataframe.select import missing_column
from nbscale.dataframe.source import from_pandas, numbered
from nbscale.expr.need import Need
from nbscale.expr.node import Index, Kernel, Node
from nbscale.record import record

__all__ = ["JoinMethods", "concat", "merge"]

_HOWS = ("inner", "left", "right", "outer", "cross")


class Beside(FrameMap):
    """Columns of two frames on the same rows, side by side, under the names of a merge."""

    left: Node
    right: Node
    spec: How

    row_preserving = True

    @property
    def label(self) -> str:
        return "merge"

    def kernel(self) -> Kernel:
        names = suffixed_columns(self.spec, self.left.sample, self.right.sample)  # type: ignore[attr-defined]
        return _BesideKernel(names)

    def needs(self, need: Need) -> tuple[Need, ...]:
        return self.spec.needed(need, self.left, self.right)


@record
class _BesideKernel:
    names: Any

    def __call__(self, _index: Index, left: Any, right: Any) -> Any:
        # By position: rows are the same on both sides, and their labels may repeat.
        columns = [c.reset_index(drop=True) for side in (left, right) for c in columns_in(side)]
        whole = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=range(len(left)))
        whole.columns, whole.index = self.names, left.index
        return whole


def _frame(value: Any, side: str) -> Any:
    """A lazy frame of what may be merged.

    Raises
    ------
    TypeError
        If it is no frame and no series.
    """
    if isinstance(value, (pd.DataFrame, pd.Series)):
        value = from_pandas(value)
    kind = value._node.kind if isinstance(value, Collection) else None  # type: ignore[attr-defined] # noqa: SLF001
    if kind == "series":
        if value.name is None:
            msg = "Cannot merge a Series without a name"
            raise ValueError(msg)
        return elementwise(value, "to_frame", by_column=False)
    if kind != "frame":
        msg = f"the {side} side of a merge must be a frame or a named series, not {value!r}"
        raise TypeError(msg)
    return value


def _listed(names: Any) -> tuple[Hashable, ...]:
    if names is None:
        return ()
    listed = tuple(names) if isinstance(names, (list, tuple, pd.Index)) else (names,)
    if any(isinstance(name, (Collection, pd.Series, pd.Index)) for name in listed):
        msg = "merge takes names of columns; assign the values as a column first"
        raise NotImplementedError(msg)
    return listed


@public
def merge(
    left: Any,
    right: Any,
    how: str = "inner",
    on: Any = None,
    left_on: Any = None,
    right_on: Any = None,
    left_index: bool = False,
    right_index: bool = False,
    sort: bool = False,
    suffixes: Sequence[str | None] = ("_x", "_y"),
    copy: Any = None,
    indicator: bool | str = False,
    validate: str | None = None,
    broadcast: bool | None = None,
) -> Any:
    """Merge two frames by columns or indexes, in pandas' order of rows.

    Parameters
    ----------
    left, right
        Lazy frames, named lazy series, or pandas objects.
    how
        ``"inner"``, ``"left"``, ``"right"``, ``"outer"`` or ``"cross"``.
    on, left_on, right_on
        Names of the key columns, of both sides or of each.
    left_index, right_index
        Use the index as the key.
    suffixes
        What tells columns apart that both sides have.
    indicator
        Add a column that says where each row comes from, under this name or ``"_merge"``.
    broadcast
        Whether to send the smaller side whole to every partition of the other; by default its
        size decides: it is, if it has at most ``config.partition_size / 2`` bytes.

    Returns
    -------
    DataFrame
        Lazy.

    Raises
    ------
    KeyError
        If a key is no column.
    pandas.errors.MergeError, ValueError
        As in pandas, for keys that do not go together.
    NotImplementedError
        For ``sort``, ``validate``, and right or outer merges of a column with an index.

    Notes
    -----
    A small right side (a small left one, for ``"right"``): one pass, no exchange. Otherwise both
    sides are exchanged by hash of their keys and the result once more, back to its order. ``outer``
    exchanges both sides by range of their keys. Rows with one key are in one task.

    Examples
    --------
    >>> import pandas as pd, nbscale.dataframe as nd
    >>> left = nd.from_pandas(pd.DataFrame({"k": [2, 1, 2], "a": [1, 2, 3]}), npartitions=2)
    >>> right = nd.from_pandas(pd.DataFrame({"k": [1, 2], "b": [10, 20]}))
    >>> left.merge(right, on="k").compute().b.tolist()
    [20, 10, 20]
    """
    del copy
    refuse("merge", sort=sort, validate=validate)
    sides = _frame(left, "left"), _frame(right, "right")
    spec = _checked(sides, how, on, left_on, right_on, left_index, right_index, suffixes, indicator)
    nodes: list[Any] = [side._node for side in sides]  # noqa: SLF001
    if how == "outer" and left_index and right_index:
        one, two = nodes
        rows = Outer(one, two, 0, merges=True), Outer(one, two, 1, merges=True)
        made: Node = Beside(rows[0], rows[1], spec)
    else:
        made = _planned(nodes, spec, broadcast)
        if spec.numbers_rows:
            made = numbered(made)  # type: ignore[arg-type]
    return wrap(made, *(side for side in sides if isinstance(side, Collection)))


def _planned(nodes: list[Any], spec: How, broadcast: bool | None) -> Node:
    """A merge with one side in one partition needs to ask nothing."""
    whole = nodes[0] if spec.how == "right" else nodes[1]
    try:
        single = whole.grid == (1,)
    except LookupError:
        single = False
    if single and spec.how != "outer" and broadcast is not False:
        return merged(gathered(nodes[0]) if spec.how == "right" else nodes[0], nodes[1], spec)
    return Merge(nodes[0], nodes[1], spec, broadcast)


def _checked(
    sides: Sequence[Any],
    how: str,
    on: Any,
    left_on: Any,
    right_on: Any,
    left_index: bool,
    right_index: bool,
    suffixes: Sequence[str | None],
    indicator: bool | str,
) -> How:
    if how not in _HOWS:
        msg = f"'{how}' is not a valid Merge type: {', '.join(_HOWS)}"
        raise ValueError(msg)
    left, right = (side._node.sample for side in sides)  # noqa: SLF001
    if left.columns.nlevels > 1 or right.columns.nlevels > 1:
        msg = "merge does not support columns of several levels; rename them first"
        raise NotImplementedError(msg)
    one, other = _listed(left_on), _listed(right_on)
    if on is not None:
        if one or other:
            msg = 'Can only pass argument "on" OR "left_on" and "right_on", not a combination of both.'
            raise pd.errors.MergeError(msg)
        one = other = _listed(on)
    elif how != "cross" and not (one or other or left_index or right_index):
        one = other = tuple(c for c in left.columns if c in right.columns)
        if not one:
            msg = (
                "No common columns to perform merge on. Merge options: left_on=None, "
                "right_on=None, left_index=False, right_index=False"
            )
            raise pd.errors.MergeError(msg)
    for names, sample in ((one, left), (other, right)):
        for name in names:
            if name in sample.columns:
                continue
            if name in sample.index.names:
                msg = f"{name!r} is a level of an index: use left_index=/right_index=, or reset_index()"
                raise NotImplementedError(msg)
            raise missing_column(name, sample.columns)
    mixed = left_index != right_index
    if mixed and how not in ("inner", "left" if right_index else "right"):
        side = "left" if right_index else "right"
        msg = (
            f"a merge of a column with an index supports how='inner' and {side!r}, not {how!r}; "
            "reset_index() first"
        )
        raise NotImplementedError(msg)
    if how == "outer" and left_index and right_index and indicator:
        msg = "indicator= is not supported for an outer merge of two indexes; reset_index() first"
        raise NotImplementedError(msg)
    spec = How(how, one, other, left_index, right_index, tuple(suffixes), indicator)  # type: ignore[arg-type]
    spec.call(left, right)  # pandas checks the rest
    return spec


class JoinMethods(Collection):
    """Joining a frame with another."""

    __slots__ = ()

    def merge(
        self,
        right: Any,
        how: str = "inner",
        on: Any = None,
        left_on: Any = None,
        right_on: Any = None,
        left_index: bool = False,
        right_index: bool = False,
        sort: bool = False,
        suffixes: Sequence[str | None] = ("_x", "_y"),
        copy: Any = None,
        indicator: bool | str = False,
        validate: str | None = None,
        broadcast: bool | None = None,
    ) -> Self:
        """Merge with another frame by columns or indexes; see ``nbscale.dataframe.merge``."""
        return merge(
            self,
            right,
            how,
            on,
            left_on,
            right_on,
            left_index,
            right_index,
            sort,
            suffixes,
            copy,
            indicator,
            validate,
            broadcast,
        )

    def join(
        self,
        other: Any,
        on: Any = None,
        how: str = "left",
        lsuffix: str = "",
        rsuffix: str = "",
        sort: bool = False,
        validate: str | None = None,
        *,
        suffixes: Sequence[str | None] | None = None,
    ) -> Self:
        """Join with another frame by its index.

        Parameters
        ----------
        other
            A frame, or a series with a name.
        on
            Columns of this frame that meet the other's index; by default the index does.
        how
            As in ``merge``.
        suffixes, lsuffix, rsuffix
            What tells columns apart that both have.

        Raises
        ------
        ValueError
            If both have a column of the same name and there is no suffix.

        Notes
        -----
        Costs what ``merge`` costs.

        Examples
        --------
        >>> import pandas as pd, nbscale.dataframe as nd
        >>> left = nd.from_pandas(pd.DataFrame({"a": [1, 2]}, index=["x", "y"]))
        >>> left.join(pd.DataFrame({"b": [3]}, index=["y"])).compute().b.tolist()
        [nan, 3.0]
        """
        if isinstance(other, (list, tuple)):
            msg = "join takes one frame at a time; join them one after the other, or use concat"
            raise NotImplementedError(msg)
        marks = tuple(suffixes) if suffixes is not None else (lsuffix, rsuffix)
        if how == "cross":
            return merge(self, other, "cross", suffixes=marks)
        return merge(
            self,
            other,
            how,
            left_on=on,
            left_index=on is None,
            right_index=True,
            sort=sort,
            suffixes=marks,
            validate=validate,
        )
