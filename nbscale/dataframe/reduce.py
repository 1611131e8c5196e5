"""Reductions: ``df.x.sum()``, ``df.mean()``, ``df.describe()`` and their relatives."""

from __future__ import annotations

from typing import Any

import pandas as pd

from nbscale.collection import Collection, wrap
from nbscale.dataframe.align import aligned
from nbscale.dataframe.combine import combined
from nbscale.dataframe.counts import value_counts
from nbscale.dataframe.distinct import count_distinct, modes, unique
from nbscale.dataframe.elementwise import elementwise
from nbscale.dataframe.pairwise import Beside, PairMoments, Pairwise
from nbscale.dataframe.reducers import Extreme, Fold, Monotonic, Valid
from nbscale.dataframe.reductions import Reductions
from nbscale.dataframe.rows import CountRows
from nbscale.dataframe.select import Project, missing_column
from nbscale.record import record

__all__ = ["FrameReductions", "SeriesReductions"]


class SeriesReductions(Reductions):
    """Reductions of a series."""

    __slots__ = ()

    def count(self) -> Any:
        """Number of values that are there. One pass, no exchange."""
        return self._reduce(Valid(), 0)

    def quantile(self, q: Any = 0.5, interpolation: str = "linear") -> Any:
        """Quantiles, exactly as pandas has them.

        Parameters
        ----------
        q
            A fraction, or a list of fractions.
        interpolation
            ``"linear"``, ``"lower"``, ``"higher"``, ``"midpoint"`` or ``"nearest"``.

        Raises
        ------
        ValueError
            If a fraction lies outside [0, 1].

        Notes
        -----
        One pass that sorts each partition and keeps it, then two or three rounds of searches that
        narrow each quantile down. No exchange; memory beside the sorted columns is small.

        Examples
        --------
        >>> import pandas as pd, nbscale.dataframe as nd
        >>> nd.from_pandas(pd.Series([4, 1, 3, 2]), npartitions=2).quantile(0.5).compute()
        np.float64(2.5)
        """
        return self._quantile(q, 0, False, interpolation)

    def any(self, axis: Any = 0, skipna: bool = True) -> Any:
        """Whether any value is true. One pass, no exchange."""
        return self._reduce(Fold("any", skipna), axis)

    def all(self, axis: Any = 0, skipna: bool = True) -> Any:
        """Whether all values are true. One pass, no exchange."""
        return self._reduce(Fold("all", skipna), axis)

    def idxmin(self, axis: Any = 0, skipna: bool = True) -> Any:
        """Label of the first smallest value. One pass, no exchange.

        Raises
        ------
        ValueError
            While computing, if no value is there, as in pandas.
        """
        return self._reduce(Extreme("idxmin", skipna), axis)

    def idxmax(self, axis: Any = 0, skipna: bool = True) -> Any:
        """Label of the first largest value; see ``idxmin``."""
        return self._reduce(Extreme("idxmax", skipna), axis)

    def nunique(self, dropna: bool = True) -> Any:
        """Number of distinct values.

        One pass. Distinct values are merged in a tree if those of all partitions are no larger
        than one partition, else each is exchanged once and counted where it arrives.
        """
        return count_distinct(self, dropna=dropna)

    def unique(self) -> Any:
        """The distinct values in order of first sight, as a lazy array; cost as in ``nunique``.

        Examples
        --------
        >>> import pandas as pd, nbscale.dataframe as nd
        >>> nd.from_pandas(pd.Series([3, 1, 3]), npartitions=2).unique().tolist()
        [3, 1]
        """
        return unique(self)

    def value_counts(
        self,
        normalize: bool = False,
        sort: bool = True,
        ascending: bool = False,
        bins: Any = None,
        dropna: bool = True,
    ) -> Any:
        """How often each value is there.

        Parameters
        ----------
        normalize
            As fractions of all values.
        sort, ascending
            By frequency, values of equal frequency by first sight; otherwise all by first sight.
        bins
            Not supported.
        dropna
            Leave out missing values.

        Notes
        -----
        Cost as in ``nunique``; with many distinct values the result has several partitions.

        Examples
        --------
        >>> import pandas as pd, nbscale.dataframe as nd
        >>> nd.from_pandas(pd.Series(list("abb")), npartitions=2).value_counts().compute().to_dict()
        {'b': 2, 'a': 1}
        """
        if bins is not None:
            msg = "value_counts(bins=...) is not supported; cut the values first"
            raise NotImplementedError(msg)
        return value_counts(
            self, None, normalize=normalize, sort=sort, ascending=ascending, dropna=dropna
        )

    def mode(self, dropna: bool = True) -> Any:
        """The most frequent values, sorted; cost as in ``nunique``."""
        return modes(self, dropna=dropna)

    def corr(self, other: Any, method: str = "pearson", min_periods: int | None = None) -> Any:
        """Correlation with another series, where both have values; indexes are aligned.

        One pass. ``method`` is ``"pearson"``: ranks would need a sort.
        """
        _check_method(method)
        return self._paired(other, PairMoments("corr", min_periods))

    def cov(self, other: Any, min_periods: int | None = None, ddof: int = 1) -> Any:
        """Covariance with another series, where both have values; indexes are aligned.

        One pass.
        """
        return self._paired(other, PairMoments("cov", min_periods, ddof))

    def _paired(self, other: Any, moments: PairMoments) -> Any:
        if not isinstance(other, Collection):
            msg = f"{moments.method} needs a lazy Series, not {type(other).__name__}"
            raise TypeError(msg)
        left, right = aligned(self._node, other._node)  # noqa: SLF001
        return wrap(Pairwise(Beside(left, right), moments, single=True), self, other)

    @property
    def size(self) -> Any:
        """Number of rows, as a lazy scalar."""
        return wrap(CountRows(self._node), self)

    @property
    def is_unique(self) -> Any:
        """Whether no value is there twice, as a lazy scalar; cost as in ``nunique``."""
        distinct = count_distinct(self, dropna=False)._node  # noqa: SLF001
        return wrap(combined([distinct, CountRows(self._node)], _equal), self)

    @property
    def is_monotonic_increasing(self) -> Any:
        """Whether no value is below the one before, as a lazy scalar. One pass."""
        return self._reduce(Monotonic("is_monotonic_increasing"), 0)

    @property
    def is_monotonic_decreasing(self) -> Any:
        """Whether no value is above the one before, as a lazy scalar. One pass."""
        return self._reduce(Monotonic("is_monotonic_decreasing"), 0)


def _equal(values: list[Any]) -> bool:
    return bool(values[0] == values[1])


def _check_method(method: str) -> None:
    if method != "pearson":
        msg = f"corr(method={method!r}) is not supported, since ranks need a sort; use 'pearson'"
        raise NotImplementedError(msg)


@record
class _Times:
    columns: int

    def __call__(self, values: list[Any]) -> int:
        return int(values[0]) * self.columns


class FrameReductions(Reductions):
    """Reductions of a frame."""

    __slots__ = ()

    def count(self, axis: Any = 0, numeric_only: bool = False) -> Any:
        """Number of values that are there, for each column or row. One pass, no exchange."""
        return self._reduce(Valid(), axis, numeric_only)

    def quantile(
        self,
        q: Any = 0.5,
        axis: Any = 0,
        numeric_only: bool = False,
        interpolation: str = "linear",
    ) -> Any:
        """Quantiles of each column, exactly as pandas has them; cost as for a series."""
        return self._quantile(q, axis, numeric_only, interpolation)

    def any(self, axis: Any = 0, bool_only: bool = False, skipna: bool = True) -> Any:
        """Whether any value is true, for each column or row. One pass, no exchange."""
        return self._truths("any", axis, skipna, bool_only)

    def all(self, axis: Any = 0, bool_only: bool = False, skipna: bool = True) -> Any:
        """Whether all values are true, for each column or row. One pass, no exchange."""
        return self._truths("all", axis, skipna, bool_only)

    def _truths(self, name: str, axis: Any, skipna: bool, bool_only: bool) -> Any:
        frame: Any = self
        if bool_only:
            dtypes = self._node.schema.dtypes  # type: ignore[attr-defined]
            kept = [c for c, dtype in dtypes.items() if pd.api.types.is_bool_dtype(dtype)]
            frame = wrap(Project(self._node, tuple(kept)), self)
        return frame._reduce(Fold(name, skipna), axis, skipna=skipna)  # noqa: SLF001

    def idxmin(self, axis: Any = 0, skipna: bool = True, numeric_only: bool = False) -> Any:
        """Label of the first smallest value of each column, or column of each row.

        One pass, no exchange.

        Raises
        ------
        ValueError
            While computing, if a column has no value, as in pandas.
        """
        return self._reduce(Extreme("idxmin", skipna), axis, numeric_only, skipna=skipna)

    def idxmax(self, axis: Any = 0, skipna: bool = True, numeric_only: bool = False) -> Any:
        """Label of the first largest value of each column, or column of each row; see ``idxmin``."""
        return self._reduce(Extreme("idxmax", skipna), axis, numeric_only, skipna=skipna)

    def nunique(self, axis: Any = 0, dropna: bool = True) -> Any:
        """Number of distinct values of each column, or row; cost of each as in a series."""
        if axis in (1, "columns"):
            # Pandas makes floats of a partition without rows.
            counts = elementwise(self, "nunique", by_column=False, axis=1, dropna=dropna)
            return counts.astype("int64")
        return count_distinct(self, dropna=dropna)

    def value_counts(
        self,
        subset: Any = None,
        normalize: bool = False,
        sort: bool = True,
        ascending: bool = False,
        dropna: bool = True,
    ) -> Any:
        """How often each row is there, in the columns ``subset``; cost as in a series."""
        node: Any = self._node
        names = list(node.columns) if subset is None else subset
        single = not pd.api.types.is_list_like(names)
        names = [names] if single else list(names)
        for name in names:
            if name not in node.columns:
                raise missing_column(name, node.columns)
        if not names:
            msg = "value_counts needs at least one column"
            raise ValueError(msg)
        return value_counts(
            self,
            names,
            normalize=normalize,
            sort=sort,
            ascending=ascending,
            dropna=dropna,
            levels=not single,
        )

    def corr(
        self, method: str = "pearson", min_periods: int = 1, numeric_only: bool = False
    ) -> Any:
        """Correlation of every pair of columns, where both have values.

        One pass; memory grows with the square of the number of columns. ``method`` is
        ``"pearson"``: ranks would need a sort.
        """
        _check_method(method)
        return self._pairwise(PairMoments("corr", min_periods), numeric_only)

    def cov(self, min_periods: int | None = None, ddof: int = 1, numeric_only: bool = False) -> Any:
        """Covariance of every pair of columns, where both have values; cost as in ``corr``."""
        return self._pairwise(PairMoments("cov", min_periods, ddof), numeric_only)

    def _pairwise(self, moments: PairMoments, numeric_only: bool) -> Any:
        return wrap(Pairwise(self._numeric(moments.method, 0, numeric_only), moments), self)

    @property
    def size(self) -> Any:
        """Number of values, rows times columns, as a lazy scalar."""
        node: Any = self._node
        return wrap(combined([CountRows(node)], _Times(len(node.columns))), self)
