"""pandas' API on frames that are computed later: ``import nbscale.dataframe as nd``.

Readers are loaded when they are first asked for: who has a pandas frame need not wait for them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from nbscale.dataframe.concat import concat
from nbscale.dataframe.dataframe import DataFrame, Index, Scalar, Series
from nbscale.dataframe.join import merge
from nbscale.dataframe.source import from_pandas

if TYPE_CHECKING:
    from nbscale.dataframe.read.csv import read_csv
    from nbscale.dataframe.read.parquet import read_parquet

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

_READERS = {
    "read_csv": "nbscale.dataframe.read.csv",
    "read_parquet": "nbscale.dataframe.read.parquet",
}


def __getattr__(name: str) -> Any:
    if name not in _READERS:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    reader = getattr(importlib.import_module(_READERS[name]), name)
    globals()[name] = reader
    return reader


def __dir__() -> list[str]:
    return sorted({*globals(), *_READERS})
