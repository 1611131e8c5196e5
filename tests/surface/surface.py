"""What nbscale.dataframe has of the names and parameters of Dask and of pandas, and the page of it.

``python -m tests.surface.surface`` writes ``docs/pandas.md`` again.
"""

from __future__ import annotations

import functools
import inspect
import re
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import nbscale.dataframe as nd
from nbscale.dataframe.grouping import DataFrameGroupBy, SeriesGroupBy

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "pandas.md"

FAMILIES = {
    "pd": "Functions",
    "DataFrame": "DataFrame",
    "Series": "Series",
    "Index": "Index",
    "DataFrameGroupBy": "DataFrame.groupby",
    "SeriesGroupBy": "Series.groupby",
    "Rolling": "rolling",
    "Resampler": "resample",
    "Series.str": "Series.str",
    "Series.dt": "Series.dt",
    "Series.cat": "Series.cat",
}

# What says where, how or in how many steps Dask computes, of what type the answer is, or what it is
# called in a graph: it changes no value.
NO_MEANING = frozenset(
    {"meta", "split_every", "split_out", "scheduler", "dask_key_name", "shuffle_method"}
)


@dataclass(frozen=True)
class Entry:
    """A name with its parameters, as a list has it; parameters None for what is no method."""

    family: str
    name: str
    parameters: tuple[str, ...] | None

    @property
    def path(self):
        return f"{self.family}.{self.name}"


@dataclass(frozen=True)
class Standing:
    """What nbscale does with a name: ``state``, the parameters that it lacks, those listed."""

    state: str
    lacks: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    reason: str = ""


@functools.cache
def entries(package):
    """The entries of ``dask`` or ``pandas``, by path, and the version they are of."""
    first, *lines = (HERE / f"{package}.txt").read_text().splitlines()
    found = {}
    for line in lines:
        path, name, listed = re.fullmatch(r"((?:Series\.)?\w+)\.(\w+)(?:\((.*)\))?", line).groups()
        parameters = None if listed is None else tuple(filter(None, listed.split(", ")))
        found[f"{path}.{name}"] = Entry(path, name, parameters)
    return found, first.removeprefix("# ")


@functools.cache
def listed():
    """The names that are left out on purpose, and the parameters."""
    table = tomllib.loads((HERE / "listed.toml").read_text())
    names = {name: group for group in table["names"] for name in group["names"]}
    return names, {one["name"]: one for one in table["parameters"]}


def owners():
    """The module or class of nbscale's that stands for each family; None where there is none."""
    series = nd.Series
    return {
        "pd": nd,
        "DataFrame": nd.DataFrame,
        "Series": series,
        "Index": nd.Index,
        "DataFrameGroupBy": DataFrameGroupBy,
        "SeriesGroupBy": SeriesGroupBy,
        "Rolling": getattr(nd.DataFrame, "rolling", None) and nd.dataframe.Rolling,
        "Resampler": getattr(nd.DataFrame, "resample", None) and nd.dataframe.Resampler,
        **{f"Series.{a}": _accessor(series, a) for a in ("str", "dt", "cat")},
    }


def _accessor(series, name):
    """The class that a property of a series gives, by its annotation."""
    found = getattr(series, name, None)
    return None if found is None else inspect.get_annotations(found.fget, eval_str=True)["return"]


def standing(entry, owner):
    """Look at nbscale for a name and every parameter of it."""
    names, parameters = listed()
    if owner is None or not _has(owner, entry.name):
        group = names.get(entry.path)
        return Standing("listed", reason=group["reason"]) if group else Standing("missing")
    member = getattr(owner, entry.name)
    if not entry.parameters or not callable(member):
        return Standing("supported")
    ours = inspect.signature(member).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in ours.values())
    wanted = [p for p in entry.parameters if not p.startswith("*")]
    lacks = () if takes_any else tuple(p for p in wanted if p not in ours and p not in NO_MEANING)
    refused = tuple(p for p in wanted if f"{entry.path}.{p}" in parameters)
    return Standing("partly" if lacks else "supported", lacks, refused)


def _has(owner, name):
    """Whether there is such a name, not only one that a class has for every attribute."""
    try:
        inspect.getattr_static(owner, name)
    except AttributeError:
        return inspect.ismodule(owner) and hasattr(owner, name)
    return True


def standings(package):
    """How every entry of a package stands, by path."""
    have = owners()
    return {path: standing(e, have[e.family]) for path, e in entries(package)[0].items()}


def page():
    """The page as text: counts on top, then a table of every family."""
    (dask, dask_version), (pandas, pandas_version) = entries("dask"), entries("pandas")
    ours = {
        **standings("pandas"),
        **{k: v for k, v in standings("dask").items() if k not in pandas},
    }
    by_pandas, by_dask = standings("pandas"), standings("dask")
    lines = [
        "# pandas' surface, name by name",
        "",
        "Made by `python -m tests.surface.surface` from the code; a test holds it up to date. *Yes*: the name",
        "and all its parameters are there. *Partly*: the parameters named are missing. *Listed*: left out on",
        "purpose, with the reason. *No*: not there yet; it raises `AttributeError`, which says so. What is there",
        "is compared with pandas in values, dtype, index and order by a row of the oracle (`tests/oracle`).",
        "",
        "| | names | yes | partly | listed | no |",
        "|---|---|---|---|---|---|",
        _counts(dask_version, by_dask.values()),
        _counts(pandas_version, by_pandas.values()),
        _counts("pandas alone (Dask lacks it)", [v for k, v in by_pandas.items() if k not in dask]),
    ]
    for family, title in FAMILIES.items():
        paths = sorted(p for p in ours if p.rpartition(".")[0] == family)
        lines += ["", f"## {title}", ""]
        lines += [
            "| of | names | yes | partly | listed | no |",
            "|---|---|---|---|---|---|",
            *(
                _counts(name, [v for k, v in all_.items() if k.rpartition(".")[0] == family])
                for name, all_ in (("Dask", by_dask), ("pandas", by_pandas))
            ),
        ]
        lines += ["", "| name | nbscale | Dask | pandas |", "|---|---|---|---|"]
        lines += [_row(p, by_pandas, by_dask, dask, pandas) for p in paths]
    return "\n".join(lines) + "\n"


def _counts(title, all_):
    states = Counter(s.state for s in all_)
    cells = [
        sum(states.values()),
        *(states[s] for s in ("supported", "partly", "listed", "missing")),
    ]
    return f"| {title} | {' | '.join(map(str, cells))} |"


def _row(path, by_pandas, by_dask, dask, pandas):
    """A line: what nbscale lacks of either, and what Dask's has of the parameters of pandas'."""
    found = [s[path] for s in (by_pandas, by_dask) if path in s]
    lacks = list(dict.fromkeys(p for s in found for p in s.lacks))
    refused = dict.fromkeys(p for s in found for p in s.listed)
    notes = [f"{p}: {listed()[1][f'{path}.{p}']['reason']}" for p in refused]
    state = found[0].state
    if state == "listed":
        ours = f"listed: {found[0].reason}"
    elif state == "missing":
        ours = "no"
    else:
        ours = f"partly, not {', '.join(f'`{p}`' for p in lacks)}" if lacks else "yes"
    ours = "; ".join([ours, *notes])
    theirs = "no" if path not in dask else _compared(dask[path], pandas.get(path))
    name = path.rpartition(".")[2]
    return f"| `{name}` | {ours} | {theirs} | {'yes' if path in pandas else 'no'} |"


def _compared(theirs, pandas):
    if (
        pandas is None
        or not pandas.parameters
        or any(p[:2] == "**" for p in theirs.parameters or ())
    ):
        return "yes"
    less = [p for p in pandas.parameters if p[0] != "*" and p not in (theirs.parameters or ())]
    return f"partly, not {', '.join(f'`{p}`' for p in less)}" if less else "yes"


if __name__ == "__main__":
    PAGE.write_text(page())
