"""What reading any block of some CSV files needs, as one small record.

It is worked out on the first rows of the first file by asking pandas, never by a copy of its rules:
which column becomes the index, whether single columns can be parsed alone, and so on.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeAlias

import pandas as pd

from nbscale.dataframe.read.csv_dtype import join, state_of
from nbscale.dataframe.read.csv_errors import Misfit
from nbscale.dataframe.read.csv_head import Preamble
from nbscale.dataframe.read.csv_split import Dialect
from nbscale.record import record

__all__ = ["Ask", "CsvForm", "form_of", "narrowed"]

Ask: TypeAlias = "Callable[[Mapping[str, Any]], pd.DataFrame]"
"""Reads the sample with these keywords."""


@record
class CsvForm:
    """All that reading any block of any of the files needs.

    Attributes
    ----------
    keywords
        Sorted keywords for pandas.
    dialect
        How the files are written.
    preamble
        Header and first record of the first file, as bytes.
    header_size
        Bytes of the header alone.
    preamble_rows
        Rows that pandas makes of the preamble.
    columns
        Names of the columns that pandas makes of a file, those of the index with them.
    states
        What each column holds (``csv_dtype``).
    index
        Names of the columns that become the index.
    index_names
        What the levels of the index are called.
    pushable
        Whether pandas can be told to parse some columns only.
    fields
        Fields in a record if too long ones are to be told though not all columns are parsed, else 0.
    """

    keywords: tuple[tuple[str, Any], ...]
    dialect: Dialect
    preamble: bytes
    header_size: int
    columns: tuple[Hashable, ...]
    states: tuple[str, ...]
    index: tuple[Hashable, ...] = ()
    index_names: tuple[Hashable, ...] = ()
    pushable: bool = True
    fields: int = 0
    preamble_rows: int = 0

    def state(self, column: Hashable) -> str:
        """What a column holds."""
        return self.states[self.columns.index(column)]

    def widened(self, misfits: Sequence[Misfit]) -> CsvForm:
        """The form with columns as wide as was found."""
        found = {m.column: m.found for m in misfits}
        states = tuple(found.get(c, s) for c, s in zip(self.columns, self.states, strict=True))
        return dataclasses.replace(self, states=states)

    def behind(self, preamble: Preamble) -> CsvForm:
        """The form for a file that begins like this."""
        return dataclasses.replace(
            self,
            preamble=preamble.data,
            header_size=preamble.header_size,
            preamble_rows=preamble.rows,
        )

    def joined(self, frame: pd.DataFrame) -> CsvForm:
        """The form with what one more sample holds; columns it lacks are missing values there."""
        columns, states = list(self.columns), list(self.states)
        for name in frame.columns:
            if name not in columns:
                columns.append(name)
                states.append("null")
        for i, column in enumerate(columns):
            found = state_of(frame[column]) if column in frame.columns else "null"
            states[i] = join(states[i], found)
        return dataclasses.replace(self, columns=tuple(columns), states=tuple(states))


def form_of(
    ask: Ask, keywords: dict[str, Any], dialect: Dialect
) -> tuple[CsvForm | None, tuple[Hashable, ...]]:
    """Work out the form, without its preamble and with nothing known of its columns' states.

    Returns
    -------
    CsvForm or None
        None if the rows have an index that is no column of its own, so that files stay whole.
    tuple
        Columns that are to become categories.
    """
    plain = ask(keywords)
    keywords = _dates_by_name(plain, keywords)
    implicit = not _names_index(keywords) and not isinstance(plain.index, pd.RangeIndex)
    if implicit and not dialect.whole:
        return None, ()
    keywords, raw, index = _without_index(ask, plain, keywords)
    keywords, categories = _without_categories(raw, keywords)
    columns = tuple(raw.columns)
    given = _given(columns, keywords)
    pushable = not implicit and _pushable(ask, raw, keywords)
    strict = keywords.get("on_bad_lines", "error") == "error" and keywords.get("usecols") is None
    plainly = keywords.get("comment") is None and keywords.get("sep", ",") != r"\s+"
    counted = pushable and strict and plainly and keywords.get("index_col") is None
    form = CsvForm(
        keywords=tuple(sorted(keywords.items())),
        dialect=dialect,
        preamble=b"",
        header_size=0,
        columns=columns,
        states=tuple("given" if c in given else "empty" for c in columns),
        index=index,
        index_names=tuple(plain.index.names) if index else (),
        pushable=pushable,
        fields=len(columns) if counted else 0,
    )
    return form, categories


def narrowed(keywords: Mapping[str, Any], names: Sequence[Hashable]) -> dict[str, Any]:
    """Keywords that make pandas parse some columns only."""
    fewer = {**keywords, "usecols": list(names)}
    dates = fewer.get("parse_dates")
    if isinstance(dates, (list, tuple)):
        fewer["parse_dates"] = [d for d in dates if d in fewer["usecols"]]
    return fewer


def _dates_by_name(plain: pd.DataFrame, keywords: dict[str, Any]) -> dict[str, Any]:
    """Say by name which columns hold dates: numbers count the columns that are parsed."""
    dates = keywords.get("parse_dates")
    if not isinstance(dates, (list, tuple)) or _names_index(keywords):
        return keywords
    names = [d if d in plain.columns else plain.columns[d] for d in dates]
    return {**keywords, "parse_dates": names}


def _names_index(keywords: Mapping[str, Any]) -> bool:
    index = keywords.get("index_col")
    return index is not None and index is not False


def _without_index(
    ask: Ask, plain: pd.DataFrame, keywords: dict[str, Any]
) -> tuple[dict[str, Any], pd.DataFrame, tuple[Hashable, ...]]:
    """Say by name which columns become the index, so that they are columns while reading."""
    if not _names_index(keywords):
        return keywords, plain, ()
    asked = keywords["index_col"]
    asked = list(asked) if isinstance(asked, (list, tuple)) else [asked]
    without = {k: v for k, v in keywords.items() if k != "index_col"}
    dates = without.pop("parse_dates", None)
    raw = ask(without)
    names = tuple(c if c in raw.columns else raw.columns[c] for c in asked)
    if dates is True:
        dates = list(names)
    if dates:
        without = _dates_by_name(raw, {**without, "parse_dates": dates})
        raw = ask(without)
    return without, raw, names


def _without_categories(
    raw: pd.DataFrame, keywords: dict[str, Any]
) -> tuple[dict[str, Any], tuple[Hashable, ...]]:
    """Read columns as text whose categories nobody knows yet."""
    dtype = keywords.get("dtype")
    if isinstance(dtype, Mapping):
        found = tuple(c for c in raw.columns if c in dtype and _is_open_category(dtype[c]))
        texts = dict.fromkeys(found, "str")
        return ({**keywords, "dtype": {**dtype, **texts}} if found else keywords), found
    if dtype is not None and _is_open_category(dtype):
        return {**keywords, "dtype": "str"}, tuple(raw.columns)
    return keywords, ()


def _is_open_category(dtype: Any) -> bool:
    if isinstance(dtype, str):
        return dtype == "category"
    return isinstance(dtype, pd.CategoricalDtype) and dtype.categories is None


def _given(columns: Sequence[Hashable], keywords: Mapping[str, Any]) -> set[Hashable]:
    """Columns whose dtype is the user's business."""
    dtype = keywords.get("dtype")
    if dtype is not None and (not isinstance(dtype, Mapping) or hasattr(dtype, "default_factory")):
        return set(columns)
    named = {*(dtype or {}), *(keywords.get("converters") or {})}
    given: set[Hashable] = set()
    for position, column in enumerate(columns):
        # pandas gives what is said of `a` to its second column of that name, `a.1`, too.
        base = re.sub(r"\.\d+$", "", column) if isinstance(column, str) else column
        if column in named or position in named or (base in named and base in columns):
            given.add(column)
    return given


def _pushable(ask: Ask, raw: pd.DataFrame, keywords: dict[str, Any]) -> bool:
    """Whether pandas gives the same for one column as for all: tried on the sample."""
    if keywords.get("on_bad_lines", "error") != "error" and keywords.get("usecols") is None:
        return False  # which line is bad depends on which columns are parsed
    if not raw.columns.is_unique or len(raw.columns) < 2:
        return False
    for name in (raw.columns[0], raw.columns[-1]):
        try:
            one = ask(narrowed(keywords, [name]))
        except ValueError:
            return False
        if not one.equals(raw[[name]]):
            return False
    return True
