"""The order of rows, their index, and where they are cut: ``sort_values``, ``set_index``, ..."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd

from nbscale.collection import Collection, wrap
from nbscale.dataframe.cuts import Order
from nbscale.dataframe.divide import divided
from nbscale.dataframe.keys import Keys
from nbscale.dataframe.largest import Largest
from nbscale.dataframe.node import zips
from nbscale.dataframe.recut import RepartitionLike, recut
from nbscale.dataframe.reindex import ResetIndex, SetIndex
from nbscale.dataframe.select import missing_column
from nbscale.dataframe.sort import Sort, SortEach
from nbscale.dataframe.source import numbered
from nbscale.expr.node import Node

__all__ = ["FrameOrder", "OrderMethods", "SeriesOrder", "refuse"]


_MOST_LARGEST = 10_000
"""More rows than this are found by sorting: as states of a tree they would not be small."""


class OrderMethods(Collection):
    """Sorting by index, resetting it, repartitioning: frames and series."""

    __slots__ = ()

    def sort_index(
        self,
        axis: Any = 0,
        level: Any = None,
        ascending: Any = True,
        inplace: bool = False,
        kind: str = "quicksort",
        na_position: str = "last",
        sort_remaining: bool = True,
        ignore_index: bool = False,
        key: Any = None,
    ) -> Self:
        """Sort rows by their labels.

        Parameters
        ----------
        level
            Levels to sort by; by default all.
        ascending
            One truth value, or one for each level.
        kind
            Accepted; the sort is always stable.
        na_position
            ``"first"`` or ``"last"``.
        ignore_index
            Number the rows of the result instead.

        Notes
        -----
        Two passes over the index and an exchange of all rows by range. Rows with equal labels
        keep their order.

        Examples
        --------
        >>> import pandas as pd, nbscale.dataframe as nd
        >>> s = nd.from_pandas(pd.Series([1, 2, 3], index=[9, 7, 8]), npartitions=2)
        >>> s.sort_index().compute().tolist()
        [2, 3, 1]
        """
        del kind
        refuse("sort_index", axis=axis not in (0, "index"), inplace=inplace, key=key)
        index = self._node.sample.index  # type: ignore[attr-defined]
        if level is None:
            levels = list(range(index.nlevels))
        else:
            wanted = level if isinstance(level, (list, tuple)) else [level]
            # The rest of the levels breaks ties, as in pandas.
            levels = [index._get_level_number(name) for name in wanted]  # noqa: SLF001
            if sort_remaining:
                levels += [i for i in range(index.nlevels) if i not in levels]
        flags = _flags(ascending, len(levels), exact=level is None)
        node = Sort(self._node, Keys("index", tuple(levels)), _order(flags, na_position))
        return _renumbered(node, self, ignore_index)

    def reset_index(
        self,
        level: Any = None,
        *,
        drop: bool = False,
        inplace: bool = False,
        name: Any = None,
        names: Any = None,
    ) -> Any:
        """Number the rows, and keep the old index as columns unless ``drop``.

        Notes
        -----
        One pass, no exchange. The new numbers wait for the lengths of all earlier partitions, and
        cost nothing where no one reads them.

        Examples
        --------
        >>> import pandas as pd, nbscale.dataframe as nd
        >>> s = nd.from_pandas(pd.Series([1, 2, 3], index=[9, 9, 8]), npartitions=2)
        >>> s.reset_index(drop=True).compute().index.tolist()
        [0, 1, 2]
        """
        refuse("reset_index", level=level, inplace=inplace)
        return wrap(numbered(ResetIndex(self._node, drop, names if name is None else name)), self)

    def repartition(
        self,
        divisions: Sequence[Any] | None = None,
        npartitions: int | None = None,
        partition_size: Any = None,
        chunksize: int | None = None,
        force: bool = False,
    ) -> Self:
        """The same rows in the same order, in other partitions.

        Parameters
        ----------
        divisions
            Labels that bound the partitions; the index must be known to be sorted.
        npartitions
            As many partitions of equal length.
        partition_size
            Bytes in memory of a partition, as a number or like ``"100MB"``.
        chunksize
            Rows of a partition.
        force
            With ``divisions``: let the outermost partitions take what lies outside.

        Raises
        ------
        ValueError
            If not exactly one way is given, or divisions do not suit the index.

        Notes
        -----
        Lengths of partitions are counted first where they are not known; rows then move to
        neighbours only.

        Examples
        --------
        >>> import pandas as pd, nbscale.dataframe as nd
        >>> s = nd.from_pandas(pd.Series(range(6)), npartitions=2)
        >>> s.repartition(npartitions=3).npartitions
        3
        """
        given = [divisions, npartitions, partition_size, chunksize]
        if sum(g is not None for g in given) != 1:
            msg = "give one of divisions=, npartitions=, partition_size= and chunksize="
            raise ValueError(msg)
        node: Any = self._node
        if divisions is not None:
            made = divided(node, tuple(divisions), force=force)
        else:
            made = recut(
                node,
                npartitions=npartitions,
                chunksize=chunksize,
                partition_size=partition_size,
            )
        return wrap(made, self)

    def _largest(self, n: int, columns: Any, keep: str, *, smallest: bool) -> Any:
        if keep not in ("first", "last", "all"):
            msg = 'keep must be either "first", "last" or "all"'
            raise ValueError(msg)
        by = None if columns is None else tuple(_listed(columns))
        node: Any = self._node
        for name in by or ():
            if name not in node.columns:
                raise missing_column(name, node.columns)
        if n > _MOST_LARGEST:
            if keep != "first":
                msg = f"keep={keep!r} needs n of at most {_MOST_LARGEST}; sort_values() instead"
                raise NotImplementedError(msg)
            keys = Keys("values") if by is None else Keys("columns", by)
            order = Order((smallest,) * max(1, len(by or ())))
            result = wrap(Sort(node, keys, order), self)
            return result.head(n, compute=False)
        return wrap(Largest(node, n, by, smallest, keep), self)


class SeriesOrder(OrderMethods):
    """Sorting a series by its values."""

    __slots__ = ()

    def sort_values(
        self,
        *,
        axis: Any = 0,
        ascending: Any = True,
        inplace: bool = False,
        kind: str = "quicksort",
        na_position: str = "last",
        ignore_index: bool = False,
        key: Any = None,
    ) -> Self:
        """Sort by value; see ``DataFrame.sort_values``."""
        del kind
        refuse("sort_values", axis=axis not in (0, "index"), inplace=inplace, key=key)
        flags = _flags(ascending, 1, exact=True)
        node = Sort(self._node, Keys("values"), _order(flags, na_position))
        return _renumbered(node, self, ignore_index)

    def nlargest(self, n: int = 5, keep: str = "first") -> Self:
        """The n largest values, largest first. One pass, a tree of n rows each."""
        return self._largest(n, None, keep, smallest=False)

    def nsmallest(self, n: int = 5, keep: str = "first") -> Self:
        """The n smallest values, smallest first. One pass, a tree of n rows each."""
        return self._largest(n, None, keep, smallest=True)


class FrameOrder(OrderMethods):
    """Sorting a frame by columns, and making columns its index."""

    __slots__ = ()

    def sort_values(
        self,
        by: Any,
        *,
        axis: Any = 0,
        ascending: Any = True,
        inplace: bool = False,
        kind: str = "quicksort",
        na_position: str = "last",
        ignore_index: bool = False,
        key: Any = None,
    ) -> Self:
        """Sort rows by columns.

        Parameters
        ----------
        by
            A column, an index level, or a list of them; the first decides first.
        ascending
            One truth value, or one for each of ``by``.
        kind
            Accepted; the sort is always stable. pandas' default is not, for a single column:
            there ties may come in another order than here.
        na_position
            ``"first"`` or ``"last"``.
        ignore_index
            Number the rows of the result instead of keeping their labels.

        Raises
        ------
        KeyError
            If a column is not there.

        Notes
        -----
        Two passes over the keys, and an exchange of all rows by ranges of about equal size, equal
        keys cut, too. Memory: about three partitions a task.

        Examples
        --------
        >>> import pandas as pd, nbscale.dataframe as nd
        >>> df = nd.from_pandas(pd.DataFrame({"x": [3, 1, 2]}), npartitions=2)
        >>> df.sort_values("x").compute().x.tolist()
        [1, 2, 3]
        """
        del kind
        refuse("sort_values", axis=axis not in (0, "index"), inplace=inplace, key=key)
        names = tuple(_listed(by))
        node: Any = self._node
        for name in names:
            if name not in node.columns and name not in node.sample.index.names:
                raise missing_column(name, node.columns)
        flags = _flags(ascending, len(names), exact=True)
        made = Sort(node, Keys("columns", names), _order(flags, na_position))
        return _renumbered(made, self, ignore_index)

    def set_index(
        self,
        keys: Any,
        *,
        drop: bool = True,
        append: bool = False,
        inplace: bool = False,
        verify_integrity: bool = False,
        sorted: bool = False,
        divisions: Sequence[Any] | None = None,
        npartitions: int | None = None,
    ) -> Self:
        """Make columns the index. Rows keep their order, as in pandas.

        Parameters
        ----------
        keys
            A column, a lazy Series on the same rows, or a list of these.
        drop
            Leave the columns out of the frame.
        append
            Add to the index that is there.
        sorted
            The rows are in the order of the new index: with ``divisions`` these are checked and
            kept; otherwise a hint that is not needed.
        divisions
            Labels that bound the partitions. Without ``sorted`` rows are sorted by the new index
            and cut there.
        npartitions
            Repartition afterwards.

        Notes
        -----
        One pass, no exchange, unless ``divisions`` asks for another order. For an index in order
        use ``sort_values`` first.

        Examples
        --------
        >>> import pandas as pd, nbscale.dataframe as nd
        >>> df = nd.from_pandas(pd.DataFrame({"k": [3, 1], "v": [5, 6]}))
        >>> df.set_index("k").compute().index.tolist()
        [3, 1]
        """
        refuse("set_index", inplace=inplace, verify_integrity=verify_integrity)
        listed = keys if isinstance(keys, list) else [keys]
        lazy = [key for key in listed if isinstance(key, Collection)]
        filled = tuple(
            _on_rows_of(self._node, key._node)  # noqa: SLF001
            if isinstance(key, Collection)
            else key
            for key in listed
        )
        known = tuple(divisions) if divisions is not None and sorted else None
        result = wrap(SetIndex(self._node, filled, drop, append, known), self, *lazy)
        if divisions is not None and not sorted:
            node = divided(result._node, tuple(divisions), force=False, any_order=True)  # noqa: SLF001
            result = wrap(SortEach(node, Keys("index", (0,)), Order((True,))), result)
        if npartitions is not None:
            result = result.repartition(npartitions=npartitions)
        return result

    def nlargest(self, n: int, columns: Any, keep: str = "first") -> Self:
        """The n rows with the largest values in columns, largest first.

        Notes
        -----
        One pass, a tree of n rows each; more than 10,000 are found by sorting.

        Examples
        --------
        >>> import pandas as pd, nbscale.dataframe as nd
        >>> df = nd.from_pandas(pd.DataFrame({"x": [3, 1, 2]}), npartitions=2)
        >>> df.nlargest(2, "x").compute().x.tolist()
        [3, 2]
        """
        return self._largest(n, columns, keep, smallest=False)

    def nsmallest(self, n: int, columns: Any, keep: str = "first") -> Self:
        """The n rows with the smallest values in columns, smallest first; see ``nlargest``."""
        return self._largest(n, columns, keep, smallest=True)


def refuse(method: str, **arguments: Any) -> None:
    """Refuse arguments of pandas' that are not supported, by name.

    Raises
    ------
    NotImplementedError
        Names the first that has another value than its default.
    """
    for name, value in arguments.items():
        if value is not None and value is not False:
            hint = "; assign the result instead" if name == "inplace" else ""
            msg = f"{method} does not support {name}={value!r}{hint}"
            raise NotImplementedError(msg)


def _listed(names: Any) -> list[Any]:
    return list(names) if isinstance(names, (list, pd.Index, np.ndarray)) else [names]


def _flags(ascending: Any, n: int, *, exact: bool) -> tuple[bool, ...]:
    if isinstance(ascending, (bool, np.bool_, int)):
        return (bool(ascending),) * n
    flags = tuple(bool(flag) for flag in ascending)
    if len(flags) != n and exact:
        msg = f"Length of ascending ({len(flags)}) != length of by ({n})"
        raise ValueError(msg)
    return flags + (True,) * (n - len(flags))


def _order(flags: tuple[bool, ...], na_position: str) -> Order:
    if na_position not in ("first", "last"):
        msg = f"invalid na_position: {na_position}"
        raise ValueError(msg)
    return Order(flags, na_position == "last")


def _renumbered(node: Node, parent: Collection, ignore_index: bool) -> Any:
    made = numbered(ResetIndex(node, True)) if ignore_index else node
    return wrap(made, parent)


def _on_rows_of(frame: Node, series: Node) -> Node:
    """The series cut like the frame: pandas takes an index of it by position."""
    return series if zips(frame, series) else RepartitionLike(series, frame)
