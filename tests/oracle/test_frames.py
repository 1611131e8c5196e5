"""Every row of the table, on every standard frame, cut in several ways, on every engine."""

from __future__ import annotations

import importlib
import pkgutil
import warnings

import pandas as pd
import pytest

import tests.oracle
from nbscale import config
from nbscale.expr.node import Adaptive, walk
from nbscale.testing.oracle import assert_same
from tests.oracle.frames import CUTS, FRAMES, as_if_large, standard_cut

TABLES = [
    importlib.import_module(f"tests.oracle.{module.name}")
    for module in pkgutil.iter_modules(tests.oracle.__path__)
    if module.name.startswith("frame_cases_")
]
CASES = [case for table in TABLES for case in table.CASES]
ENGINES = {"one": ("inline",), "five": ("local",), "holes": ("threads",)}
"""Every row on every frame meets every engine; not every engine every cut, to save time."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_shows_itself_and_its_plan(case):
    name = case.on[0] if case.on else "repeats"
    lazy = [standard_cut(name, "five")[1], standard_cut(name, "five", rows=20, seed=1)[1]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = case.run(*lazy[: 1 + case.two])
        except Exception:  # noqa: BLE001 - pandas refuses it, too, or another test fails
            return
        assert "not computed" in repr(made)
        assert "stages:" in made.explain()
        if hasattr(made, "_repr_html_"):
            assert "not computed" in made._repr_html_()


def test_names_are_unique():
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)), [n for n in names if names.count(n) > 1]


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equal_to_pandas(case, how):
    for name in case.on or FRAMES:
        pairs = [standard_cut(name, how)]
        if case.two:
            pairs.append(standard_cut(name, how, rows=20, seed=1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                check(case, [p.copy() for p, _ in pairs], [lazy for _, lazy in pairs], ENGINES[how])
            except BaseException as error:
                error.add_note(f"case {case.name!r} on the frame {name!r}, cut {how!r}")
                raise


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equal_to_pandas_as_if_large(case, monkeypatch):
    as_if_large(monkeypatch)
    for name in case.on or FRAMES:
        pairs = [standard_cut(name, "five")]
        if case.two:
            pairs.append(standard_cut(name, "five", rows=20, seed=1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                check(
                    case,
                    [p.copy() for p, _ in pairs],
                    [lazy for _, lazy in pairs],
                    ["threads"],
                    looks_first,
                )
            except BaseException as error:
                error.add_note(f"case {case.name!r} on the frame {name!r}")
                raise


def looks_first(made):
    """Whether how it is computed depends on what is seen while it runs."""
    return any(isinstance(node, Adaptive) for node in walk((made._node,)))


def check(case, plain, lazy, engines, wanted=lambda made: True):
    try:
        want = case.run(*plain)
    except Exception as error:  # noqa: BLE001 - whatever pandas raises is what is expected
        check_raises(case, lazy, error)
        return
    scale = absolute(case, plain) if case.rule == "sum" else None
    made = case.run(*lazy)
    if not wanted(made):
        return
    for engine in engines:
        # Fixed as a setting, not as an argument: what calls the user's function runs inline.
        with config.set(engine=engine):
            got = made.compute()
        try:
            assert_same(got, want, case.rule, scale)
        except AssertionError as error:
            error.add_note(f"engine {engine}")
            raise


def check_raises(case, lazy, error):
    """pandas raises: so must the lazy frame, when made or when computed, with the same type."""
    with pytest.raises(type(error)):
        case.run(*lazy).compute(engine="inline")


def absolute(case, plain):
    """The same operation on absolute values: what rounding is measured against."""
    positive = [
        frame.assign(**{c: frame[c].abs() for c in frame.select_dtypes("float")}) for frame in plain
    ]
    try:
        return case.run(*positive)
    except Exception:  # noqa: BLE001 - then the answer itself is the measure
        return None


def test_frames_are_cut_as_said():
    _, lazy = standard_cut("range", "holes")
    lengths = lazy.map_partitions(lambda part: pd.Series([len(part)])).compute().tolist()
    assert lengths == [0, 15, 0, 15, 0, 15, 0, 15, 0]
