"""Write the frozen lists again from the Dask and the pandas that are installed.

``python -m tests.surface.freeze`` writes ``dask.txt`` and ``pandas.txt`` beside this file: a line for
each name, with its parameters. They change only when the versions that are compared with do.
"""

from __future__ import annotations

import importlib
import inspect
import warnings
from pathlib import Path

HERE = Path(__file__).parent

PANDAS = {
    "DataFrame": "pandas:DataFrame",
    "Series": "pandas:Series",
    "Index": "pandas:Index",
    "DataFrameGroupBy": "pandas.api.typing:DataFrameGroupBy",
    "SeriesGroupBy": "pandas.api.typing:SeriesGroupBy",
    "Rolling": "pandas.api.typing:Rolling",
    "Resampler": "pandas.api.typing:Resampler",
    "Series.str": "pandas.core.strings.accessor:StringMethods",
    "Series.dt": "pandas.core.indexes.accessors:CombinedDatetimelikeProperties",
    "Series.cat": "pandas.core.arrays.categorical:CategoricalAccessor",
}
_DASK = "dask.dataframe.dask_expr."
DASK = {
    "pd": "dask.dataframe",
    "DataFrame": _DASK + "_collection:DataFrame",
    "Series": _DASK + "_collection:Series",
    "Index": _DASK + "_collection:Index",
    "DataFrameGroupBy": _DASK + "_groupby:GroupBy",
    "SeriesGroupBy": _DASK + "_groupby:SeriesGroupBy",
    "Rolling": _DASK + "_rolling:Rolling",
    "Resampler": "dask.dataframe.tseries.resample:Resampler",
    "Series.str": _DASK + "_str_accessor:StringAccessor",
    "Series.dt": _DASK + "_datetime:DatetimeAccessor",
    "Series.cat": _DASK + "_categorical:CategoricalAccessor",
}


def parameters(member):
    """The names of the parameters; none where it has no signature, as a property has none."""
    if not callable(member):
        return []
    try:
        found = inspect.signature(member).parameters.values()
    except (TypeError, ValueError):
        return []
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return [stars.get(p.kind, "") + p.name for p in found if p.name != "self"]


def names(owner):
    """The public names of a class, or the functions and classes of a module."""
    if inspect.ismodule(owner):
        package = owner.__name__.partition(".")[0]
        return [
            name
            for name in dir(owner)
            if not name.startswith("_")
            and callable(getattr(owner, name))
            and not (
                inspect.isclass(getattr(owner, name))
                and issubclass(getattr(owner, name), BaseException)
            )
            and (getattr(getattr(owner, name), "__module__", None) or package).startswith(package)
        ]
    return [name for name in dir(owner) if not name.startswith("_")]


def lines(homes):
    """The list: ``family.name(parameter, ...)``, and ``family.name`` for what is no method."""
    for family, home in homes.items():
        path, _, attribute = home.partition(":")
        owner = importlib.import_module(path)
        owner = getattr(owner, attribute) if attribute else owner
        for name in sorted(names(owner)):
            member = getattr(owner, name, None)
            listed = f"({', '.join(parameters(member))})" if callable(member) else ""
            yield f"{family}.{name}{listed}"


def main():
    """Write both files."""
    warnings.simplefilter("ignore")  # deprecated names warn when they are looked at
    for package, homes in (("dask", DASK), ("pandas", PANDAS)):
        version = importlib.import_module(package).__version__
        (HERE / f"{package}.txt").write_text(
            "\n".join([f"# {package} {version}", *lines(homes)]) + "\n"
        )


if __name__ == "__main__":
    main()
