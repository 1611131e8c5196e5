"""The reductions that series and frames have alike: ``sum``, ``mean``, ``agg``, ``describe``."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pandas as pd

from nbscale.collection import Collection, wrap
from nbscale.dataframe.columnwise import Reduction
from nbscale.dataframe.describe import describe
from nbscale.dataframe.elementwise import elementwise
from nbscale.dataframe.narrow import SortedColumns
from nbscale.dataframe.quantile import Median, QuantileOf, Quantiles
from nbscale.dataframe.reducers import Fold, Mean, Moments, Reducer
from nbscale.dataframe.select import Project
from nbscale.dataframe.summary import aggregate

__all__ = ["Reductions", "numeric_columns"]


def numeric_columns(schema: pd.DataFrame) -> tuple[Hashable, ...]:
    """The columns that ``numeric_only=True`` keeps: numbers and booleans."""
    numeric = pd.api.types.is_numeric_dtype
    return tuple(name for name, dtype in schema.dtypes.items() if numeric(dtype))


class Reductions(Collection):
    """Reductions of series and frames alike."""

    __slots__ = ()

    def _numeric(self, name: str, axis: Any, numeric_only: bool) -> Any:
        """The node to reduce down its columns."""
        node: Any = self._node
        if axis not in (0, "index") and not (axis is None and node.kind != "frame"):
            msg = (
                f"{name}(axis={axis!r}) of a {node.kind} is not supported; axis=0 reduces "
                "columns, axis=1 rows"
            )
            raise ValueError(msg)
        if numeric_only and node.kind == "frame":
            return Project(node, numeric_columns(node.schema))
        if numeric_only and not pd.api.types.is_numeric_dtype(node.sample.dtype):
            msg = f"Series.{name} with numeric_only=True needs numbers, not {node.sample.dtype}"
            raise TypeError(msg)
        return node

    def _rowwise(self, name: str, numeric_only: bool, **options: Any) -> Any:
        """The same along each row: pandas' own, in each partition."""
        frame: Any = self
        if numeric_only:
            frame = wrap(Project(self._node, numeric_columns(self._node.schema)), self)  # type: ignore[attr-defined]
        return elementwise(frame, name, by_column=False, axis=1, **options)

    def _reduce(
        self, reducer: Reducer, axis: Any, numeric_only: bool = False, **by_row: Any
    ) -> Any:
        if axis in (1, "columns") and self._node.kind == "frame":  # type: ignore[attr-defined]
            return self._rowwise(reducer.name, numeric_only, **by_row)
        return wrap(Reduction(self._numeric(reducer.name, axis, numeric_only), reducer), self)

    def sum(
        self, axis: Any = 0, skipna: bool = True, numeric_only: bool = False, min_count: int = 0
    ) -> Any:
        """Sum of the values.

        Parameters
        ----------
        axis
            0: down each column; 1: along each row of a frame.
        skipna
            Leave out missing values; otherwise one makes the sum missing.
        numeric_only
            Columns of numbers and booleans only.
        min_count
            The sum of fewer values than this is missing.

        Notes
        -----
        One pass, no exchange. Sums of partitions are added in a fixed tree, so the bits are the
        same in every run; they may differ from pandas' in the last digits of floats.

        Examples
        --------
        >>> import pandas as pd, nbscale.dataframe as nd
        >>> nd.from_pandas(pd.Series([1, 2, 3]), npartitions=2).sum().compute()
        np.int64(6)
        """
        return self._reduce(
            Fold("sum", skipna, min_count), axis, numeric_only, skipna=skipna, min_count=min_count
        )

    def prod(
        self, axis: Any = 0, skipna: bool = True, numeric_only: bool = False, min_count: int = 0
    ) -> Any:
        """Product of the values; arguments and cost as in ``sum``."""
        return self._reduce(
            Fold("prod", skipna, min_count), axis, numeric_only, skipna=skipna, min_count=min_count
        )

    product = prod

    def min(self, axis: Any = 0, skipna: bool = True, numeric_only: bool = False) -> Any:
        """Smallest value. One pass, no exchange."""
        return self._reduce(Fold("min", skipna), axis, numeric_only, skipna=skipna)

    def max(self, axis: Any = 0, skipna: bool = True, numeric_only: bool = False) -> Any:
        """Largest value. One pass, no exchange."""
        return self._reduce(Fold("max", skipna), axis, numeric_only, skipna=skipna)

    def mean(self, axis: Any = 0, skipna: bool = True, numeric_only: bool = False) -> Any:
        """Mean of the values that are there. One pass, no exchange.

        Examples
        --------
        >>> import pandas as pd, nbscale.dataframe as nd
        >>> nd.from_pandas(pd.Series([1.0, None, 4.0]), npartitions=2).mean().compute()
        np.float64(2.5)
        """
        return self._reduce(Mean(skipna), axis, numeric_only, skipna=skipna)

    def var(
        self, axis: Any = 0, skipna: bool = True, ddof: int = 1, numeric_only: bool = False
    ) -> Any:
        """Variance.

        Parameters
        ----------
        axis, skipna, numeric_only
            As in ``sum``.
        ddof
            The squared deviations are divided by the number of values less this.

        Notes
        -----
        One pass, no exchange: number, mean and squared deviations of the partitions are merged
        pairwise, so that large means cost no precision.
        """
        return self._reduce(
            Moments("var", ddof, skipna), axis, numeric_only, skipna=skipna, ddof=ddof
        )

    def std(
        self, axis: Any = 0, skipna: bool = True, ddof: int = 1, numeric_only: bool = False
    ) -> Any:
        """Standard deviation; arguments and cost as in ``var``."""
        return self._reduce(
            Moments("std", ddof, skipna), axis, numeric_only, skipna=skipna, ddof=ddof
        )

    def sem(
        self, axis: Any = 0, skipna: bool = True, ddof: int = 1, numeric_only: bool = False
    ) -> Any:
        """Standard error of the mean; arguments and cost as in ``var``."""
        return self._reduce(
            Moments("sem", ddof, skipna), axis, numeric_only, skipna=skipna, ddof=ddof
        )

    def median(self, axis: Any = 0, skipna: bool = True, numeric_only: bool = False) -> Any:
        """The middle value, exactly as pandas has it; cost as in ``quantile``."""
        if axis in (1, "columns") and self._node.kind == "frame":  # type: ignore[attr-defined]
            return self._rowwise("median", numeric_only, skipna=skipna)
        node = self._numeric("median", axis, numeric_only)
        names = node.schema.columns if node.kind == "frame" else None
        return wrap(Quantiles(SortedColumns(node), node, Median(names, skipna)), self)

    def _quantile(self, q: Any, axis: Any, numeric_only: bool, interpolation: str) -> Any:
        single = not pd.api.types.is_list_like(q)
        wanted = tuple(float(one) for one in ([q] if single else q))
        if not all(0 <= one <= 1 for one in wanted):
            msg = "percentiles should all be in the interval [0, 1]"
            raise ValueError(msg)
        if axis in (1, "columns"):
            return self._rowwise("quantile", numeric_only, q=q, interpolation=interpolation)
        node = self._numeric("quantile", axis, numeric_only)
        name = node.sample.name if node.kind == "series" else None
        names = node.schema.columns if node.kind == "frame" else None
        result = QuantileOf(names, wanted, single, interpolation, name)
        return wrap(Quantiles(SortedColumns(node), node, result), self)

    def aggregate(self, func: Any = None, axis: Any = 0, **named: Any) -> Any:
        """Several reductions at once.

        Parameters
        ----------
        func
            The name of a reduction, a list of names, or for a frame a dict from column to name or
            list of names.
        axis
            0 only.
        named
            Instead of ``func``: ``total=("x", "sum")`` for a frame, ``total="sum"`` for a series.

        Raises
        ------
        NotImplementedError
            For functions of one's own.

        Notes
        -----
        One pass for all reductions that need one; ``median`` and ``nunique`` cost what they cost
        alone.

        Examples
        --------
        >>> import pandas as pd, nbscale.dataframe as nd
        >>> df = nd.from_pandas(pd.DataFrame({"x": [1, 2, 3]}), npartitions=2)
        >>> df.x.agg(["min", "max"]).compute().to_dict()
        {'min': 1, 'max': 3}
        """
        if axis not in (0, "index"):
            msg = "agg reduces columns: axis=0; use the method with axis=1 for rows"
            raise NotImplementedError(msg)
        return aggregate(self, func, named)

    agg = aggregate

    def describe(self, percentiles: Any = None, include: Any = None, exclude: Any = None) -> Any:
        """Count, mean, spread and exact quantiles, or count, distinct and most frequent value.

        Parameters
        ----------
        percentiles
            Quantiles as fractions; by default the quartiles.
        include, exclude
            Dtypes of columns, as in ``select_dtypes``, or ``"all"``; by default numbers and dates.

        Notes
        -----
        One pass for count, mean, spread and extremes, and beside it what ``quantile`` and
        ``value_counts`` cost.
        """
        return describe(self, percentiles, include, exclude)
