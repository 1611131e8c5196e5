"""What a column of text turns out to hold, piece by piece: the states of a column, and their join.

pandas looks at a whole column and takes the narrowest of integer, float, bool and text that fits all
of it. Looking at pieces gives a state for each piece; ``join`` gives the state of the whole, so that
any cut of a file ends in the same dtype:

    empty    no row yet
    null     only missing values: float64
    bool     true and false: bool; with missing values ``bool?``: object
    int64    integers; ``uint64`` if one is too large; ``int+`` (object) if larger still
    float64  numbers, some of them fractions, or integers with missing values
    str      anything else, as text
    nat      only missing times; any other times: their own dtype, such as datetime64[us]
    given    what the user asked for by ``dtype=`` or ``converters=``: taken as it comes
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

__all__ = ["coerce", "dtype_of", "join", "state_of"]

_NUMBERS = ("int64", "uint64", "float64")
_DTYPES = {
    "empty": "object",
    "null": "float64",
    "bool?": "object",
    "int+": "object",
    "nat": "datetime64[s]",
}
_EXACT = 2**53


def state_of(column: pd.Series) -> str:
    """The state of a column as pandas read it without being told a dtype.

    Examples
    --------
    >>> [state_of(pd.Series(v)) for v in ([1, 2], [1.5], [None], ["a"], [True, None], [])]
    ['int64', 'float64', 'null', 'str', 'bool?', 'empty']
    """
    name = str(column.dtype)
    if not len(column):
        return "empty"
    if name in ("float64", "object") or name.startswith("datetime64"):
        kept = column.dropna()
        if not len(kept):
            return "nat" if name.startswith("datetime64") else "null"
        if name == "object":
            kinds = {type(v) for v in kept}
            if kinds <= {bool}:
                return "bool?" if len(kept) < len(column) else "bool"
            return "int+" if kinds <= {int} else "str"
    return name


def join(a: str, b: str) -> str:
    """The state of a column of which one part is in state ``a`` and another in ``b``.

    Examples
    --------
    >>> join("int64", "null"), join("bool", "null"), join("int64", "str"), join("bool", "int64")
    ('float64', 'bool?', 'str', 'str')
    """
    if b in {a, "empty"}:
        return a
    if a == "empty":
        return b
    if "given" in (a, b):
        return "given"
    pair = {a, b}
    if "null" in pair:
        (other,) = pair - {"null"}
        return {"int64": "float64", "bool": "bool?", "uint64": "str"}.get(other, other)
    if "nat" in pair:
        (other,) = pair - {"nat"}
        return other if other.startswith("datetime64") else "str"
    if pair <= {"bool", "bool?"}:
        return "bool?"
    if pair <= set(_NUMBERS):
        return "uint64" if pair == {"int64", "uint64"} else "float64"
    if pair <= {"int64", "uint64", "int+"}:
        return "int+"
    return "str"


def dtype_of(state: str) -> Any:
    """The dtype that a whole column in a state has.

    Examples
    --------
    >>> dtype_of("null"), dtype_of("bool?"), dtype_of("int64")
    ('float64', 'object', 'int64')
    """
    return _DTYPES.get(state, state)


def coerce(column: pd.Series, found: str, state: str) -> pd.Series | None:
    """Make a piece that was found in one state look as in a wider one, if its values tell how.

    Returns
    -------
    Series or None
        None if the text itself is needed: it must be parsed once more.
    """
    if state == "given" or str(column.dtype) == dtype_of(state):
        return column
    wanted: Any = dtype_of(state)
    if found in ("null", "empty") or (found == "nat" and state.startswith("datetime64")):
        return pd.Series(np.full(len(column), np.nan), column.index, wanted, column.name)
    if wanted == "object":
        return column.astype(object)
    if wanted == "float64" and found in ("int64", "uint64"):
        # Larger integers may be rounded otherwise than their text is when read as a float.
        large = found == "uint64" or bool((column.abs() > _EXACT).any())
        return None if large else column.astype(wanted)
    if wanted == "uint64" and found == "int64" and not (column < 0).any():
        return column.astype(wanted)
    return None
