"""How much of pandas and of Dask there is: the lists are frozen, and the page tells the truth."""

from __future__ import annotations

import builtins

import pandas as pd
import pytest

import nbscale.dataframe as nd
from tests.surface import freeze, surface

NAMES, PARAMETERS = surface.listed()
# How many names of Dask's dataframe there are, in the version that the list is of.
DASK_COUNTS = {
    "pd": 42,
    "DataFrame": 165,
    "Series": 157,
    "Index": 158,
    "DataFrameGroupBy": 31,
    "SeriesGroupBy": 34,
    "Rolling": 15,
    "Resampler": 17,
    "Series.cat": 14,
    "Series.dt": 53,
}


def test_the_page_is_up_to_date():
    assert surface.PAGE.read_text() == surface.page(), "run python -m tests.surface.surface"


@pytest.mark.parametrize(("family", "count"), DASK_COUNTS.items())
def test_the_list_of_dask_is_whole(family, count):
    assert sum(e.family == family for e in surface.entries("dask")[0].values()) == count


def test_the_list_of_pandas_is_that_of_the_pandas_installed():
    entries, version = surface.entries("pandas")
    if version != f"pandas {pd.__version__}":
        pytest.skip(f"the list is of {version}")
    lines = (surface.HERE / "pandas.txt").read_text().splitlines()[1:]
    assert lines == list(freeze.lines(freeze.PANDAS))
    assert len(entries) == len(lines)


def lazily():
    df = nd.from_pandas(pd.DataFrame({"a": [1, 2, 3], "b": [2.0, 1.0, 0.0]}), npartitions=2)
    return {"df": df, "s": df["a"], "nd": nd}


OBJECTS = {"DataFrame": "df", "Series": "s", "Index": "s.index", "pd": "nd"}


def test_few_of_dasks_names_are_left_out_on_purpose():
    states = [s.state for s in surface.standings("dask").values()]
    assert states.count("listed") <= 0.03 * len(states)


@pytest.mark.parametrize("path", NAMES)
def test_a_listed_name_gives_the_error_that_is_told(path):
    family, _, name = path.rpartition(".")
    owner = eval(OBJECTS[family], lazily())
    error = getattr(builtins, NAMES[path]["raises"])
    with pytest.raises(error, match=name):
        getattr(owner, name)


@pytest.mark.parametrize("path", PARAMETERS)
def test_a_listed_parameter_gives_the_error_that_is_told(path):
    one = PARAMETERS[path]
    error = getattr(builtins, one["raises"])
    with pytest.raises(error, match=path.split(".")[1]):
        eval(one["call"], lazily())


@pytest.mark.parametrize("path", [*NAMES, *PARAMETERS])
def test_nothing_is_listed_that_neither_has(path):
    parameter = path in PARAMETERS
    owner = path.rpartition(".")[0] if parameter else path
    found = [surface.entries(p)[0].get(owner) for p in ("dask", "pandas")]
    assert any(
        e is not None and (not parameter or path.rpartition(".")[2] in (e.parameters or ()))
        for e in found
    )


def test_a_parameter_that_is_not_taken_is_seen():
    entry = surface.Entry("Series", "sum", ("axis", "no_such_parameter"))
    assert surface.standing(entry, nd.Series) == surface.Standing("partly", ("no_such_parameter",))
    entry = surface.Entry("Series", "no_such_name", ())
    assert surface.standing(entry, nd.Series).state == "missing"
