from __future__ import annotations

import csv

import pytest

from nbscale.dataframe.read.csv_keywords import check_keywords, dialect_of


def test_unknown_keywords_are_refused_as_pandas_does():
    with pytest.raises(TypeError, match="unexpected keyword argument 'seperator'"):
        check_keywords({"seperator": ";"})


@pytest.mark.parametrize("keywords", [{"chunksize": 10}, {"iterator": True}])
def test_what_cannot_be_in_pieces_is_refused(keywords):
    with pytest.raises(ValueError, match="map_partitions"):
        check_keywords(keywords)


def test_keywords_that_change_no_answer_are_dropped():
    asked = {"low_memory": False, "memory_map": True, "chunksize": None, "delimiter": ";"}
    assert check_keywords(asked) == {"sep": ";"}


@pytest.mark.parametrize(
    "keywords",
    [
        {"escapechar": "\\"},
        {"engine": "python"},
        {"engine": "pyarrow"},
        {"sep": None},
        {"sep": "||"},
        {"skiprows": [1]},
        {"skipfooter": 1},
        {"nrows": 5},
        {"encoding": "utf-16"},
        {"encoding": "shift-jis"},
        {"encoding": "no such"},
        {"lineterminator": ";"},
        {"dialect": "excel"},
        {"dtype_backend": "pyarrow"},
        {"quotechar": "»"},
        {"on_bad_lines": print},
    ],
)
def test_what_keeps_a_file_whole(keywords):
    assert dialect_of(keywords).whole


@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"sep": "\t"},
        {"sep": r"\s+"},
        {"encoding": "latin-1"},
        {"encoding": "UTF8"},
        {"encoding": "windows-1252"},
        {"skiprows": 3},
        {"engine": "c"},
    ],
)
def test_what_can_be_cut(keywords):
    assert not dialect_of(keywords).whole


def test_quotes():
    assert dialect_of({"quotechar": "'"}).quote == b"'"
    assert dialect_of({"quoting": csv.QUOTE_NONE}).quote is None
    for keywords in ({"comment": "#"}, {"skipinitialspace": True}, {"doublequote": False}):
        assert dialect_of(keywords).whole_if_quoted
