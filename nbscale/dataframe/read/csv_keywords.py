"""The keywords of ``read_csv``: which pandas knows, and what they mean for cutting a file."""

from __future__ import annotations

import codecs
import csv
import inspect
from collections.abc import Mapping
from typing import Any

import pandas as pd

from nbscale.dataframe.read.csv_split import Dialect

__all__ = ["check_keywords", "dialect_of"]

_REFUSED = {
    "chunksize": "the frame is made of pieces already; use map_partitions or partitions[i]",
    "iterator": "the frame is made of pieces already; use map_partitions or partitions[i]",
}
# In these, the bytes of separators, quotes and line breaks mean nothing else.
_CUTTABLE = ("ascii", "utf-8", "utf-8-sig", "latin-1", "iso8859", "cp125", "koi8", "mac-")


def check_keywords(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Keep of a call's keywords those that reading one piece needs.

    Raises
    ------
    TypeError
        For a keyword that pandas' ``read_csv`` does not have.
    ValueError
        For one that makes no sense for a frame in pieces.

    Examples
    --------
    >>> check_keywords({"sep": ";", "memory_map": True, "iterator": False})
    {'sep': ';'}
    """
    known = inspect.signature(pd.read_csv).parameters
    for name, value in keywords.items():
        if name not in known or name == "filepath_or_buffer":
            raise TypeError(f"read_csv() got an unexpected keyword argument {name!r}")
        if name in _REFUSED and value:
            raise ValueError(f"read_csv of nbscale has no {name}=: {_REFUSED[name]}")
    # How the bytes come to the parser is not its business here, and low_memory changes no answer.
    dropped = {*_REFUSED, "memory_map", "low_memory", "storage_options"}
    kept = {k: v for k, v in keywords.items() if k not in dropped}
    if "delimiter" in kept and "sep" not in kept and kept["delimiter"] is not None:
        kept["sep"] = kept.pop("delimiter")
    return kept


def dialect_of(keywords: Mapping[str, Any]) -> Dialect:
    """What checked keywords mean for cutting.

    Examples
    --------
    >>> dialect_of({"sep": ";"}).separator, dialect_of({"escapechar": "!"}).whole
    (b';', 'escapechar= can hide line breaks')
    """
    plain = keywords.get("dialect") is None
    separator = keywords.get("sep", ",")
    single = isinstance(separator, str) and len(separator) == 1 and separator.isascii()
    quote = keywords.get("quotechar", '"')
    quoting = keywords.get("quoting", csv.QUOTE_MINIMAL)
    has_quotes = quoting != csv.QUOTE_NONE and isinstance(quote, str) and len(quote) == 1
    return Dialect(
        separator=separator.encode() if single and plain else b",",
        quote=quote.encode() if has_quotes and quote.isascii() else None,
        whole=_whole(keywords),
        whole_if_quoted=_whole_if_quoted(keywords),
        compression=keywords.get("compression", "infer"),
    )


def _whole(keywords: Mapping[str, Any]) -> str:
    """Why files cannot be cut at all."""
    separator = keywords.get("sep", ",")
    quote = keywords.get("quotechar", '"')
    reasons = {
        "dialect= may mean anything": keywords.get("dialect") is not None,
        "escapechar= can hide line breaks": keywords.get("escapechar") is not None,
        "only pandas' C engine reads pieces": keywords.get("engine") not in (None, "c"),
        "the separator is no single character": separator != r"\s+"
        and not (isinstance(separator, str) and len(separator) == 1 and separator.isascii()),
        "the quote is no single character": isinstance(quote, str) and not quote.isascii(),
        "skipfooter= is counted from the end": bool(keywords.get("skipfooter")),
        "nrows= is counted from the beginning": keywords.get("nrows") is not None,
        "skiprows= names lines by their number": not _is_number(keywords.get("skiprows", 0)),
        "lines end in their own way": keywords.get("lineterminator") not in (None, "\n"),
        "dtype_backend= infers over the whole": keywords.get("dtype_backend", _DEFAULT)
        is not _DEFAULT,
        "on_bad_lines= looks at the whole": keywords.get("on_bad_lines", "error")
        not in ("error", "skip", "warn"),
        "the encoding mixes bytes": not _cuttable(keywords.get("encoding")),
    }
    return next((why for why, holds in reasons.items() if holds), "")


_DEFAULT = inspect.signature(pd.read_csv).parameters["dtype_backend"].default


def _is_number(skiprows: Any) -> bool:
    return skiprows is None or isinstance(skiprows, int)


def _cuttable(encoding: Any) -> bool:
    if encoding is None:
        return True
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        return False
    return name.startswith(_CUTTABLE)


def _whole_if_quoted(keywords: Mapping[str, Any]) -> str:
    """Why files with quotes cannot be cut."""
    if keywords.get("comment") is not None:
        return "comments may hold quotes"
    if keywords.get("skipinitialspace"):
        return "spaces may stand before quotes"
    if keywords.get("sep", ",") == r"\s+":
        return "spaces separate the fields"
    if not keywords.get("doublequote", True):
        return "quotes are not doubled"
    return ""
