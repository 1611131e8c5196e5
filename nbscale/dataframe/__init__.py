"""pandas' API on frames that are computed later: ``import nbscale.dataframe as nd``."""

from __future__ import annotations

from nbscale.dataframe.dataframe import DataFrame, Index, Scalar, Series
from nbscale.dataframe.join import concat, merge
from nbscale.dataframe.read.csv import read_csv
from nbscale.dataframe.read.parquet import read_parquet
from nbscale.dataframe.source import from_pandas

__all__ = [
    "DataFrame",
    "Index",
    "Scalar",
    "Series",
    "concat",
    "from_pandas",
    "merge",
    "read_csv",
    "read_parquet",
]
