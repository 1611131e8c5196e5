"""The guard on every row: lazy until computed, no task reads or holds more than its share."""

from __future__ import annotations

import os
import warnings

import pandas as pd
import pytest

import nbscale.dataframe as nd
from nbscale import config
from nbscale.session import runs
from tests.oracle.frames import standard
from tests.oracle.guard import PARTITION, Guarded, nbytes, run_guarded
from tests.oracle.test_frames import CASES

# Every object of a task is traced, which takes most of a minute on a quiet machine for a few rows.
pytestmark = pytest.mark.timeout(400)

PARTITIONS = 32
ROWS = 8_000

# Reviewed exceptions, with the reason in the row itself (``why``): at most 2 % of the rows.
MOST_EXCEPTIONS = 0.02


# Most rows that merge take ten seconds to a minute each under tracemalloc: they are guarded in the
# long check `guard-joins`, and here a merge by a unique key stands for them.
LONG = bool(os.environ.get("NBSCALE_LONG"))


def joins(case):
    kinds = ("inner", "left", "right", "outer", "indicator")
    names = tuple(f"merge {kind}" for kind in kinds)
    return case.two and case.name.startswith((*names, "join", "a column of a merge"))


GUARDED = [case for case in CASES if LONG or not joins(case)]


@pytest.fixture(scope="module")
def frames():
    data = standard("range", PARTITIONS * ROWS)
    other = standard("range", PARTITIONS * ROWS // 4, seed=1)
    assert nbytes(data.iloc[:ROWS]) >= 256_000
    lazy = nd.from_pandas(data, npartitions=PARTITIONS)
    return data, other, lazy, nd.from_pandas(other, npartitions=PARTITIONS // 4)


def test_exceptions_are_few():
    excused = [case.name for case in CASES if case.why]
    assert len(excused) <= MOST_EXCEPTIONS * len(CASES), excused


@pytest.mark.parametrize("case", GUARDED, ids=lambda case: case.name)
def test_no_task_takes_more_than_its_share(case, frames):
    data, other, *lazy = frames
    before = len(runs())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = case.run(*lazy) if case.two else case.run(lazy[0])
        except Exception:  # noqa: BLE001 - what pandas refuses is refused before anything is read
            made = None
        assert case.why or len(runs()) == before, "making the expression computed something"
        if made is None:
            return
        guarded = Guarded()
        try:
            # What counts as small is a share of a partition: say how large one is here.
            with config.set(partition_size=PARTITION):
                run_guarded(guarded, made)
        except Exception as error:  # noqa: BLE001 - whatever it is, pandas must say it, too
            with pytest.raises(type(error)):
                case.run(data, other) if case.two else case.run(data)
    if not case.why:
        guarded.check()


@pytest.mark.parametrize("how", ["inner", "left"])
def test_a_merge_by_a_unique_key_takes_its_share(how, frames):
    data, _, lazy, _ = frames
    right = pd.DataFrame({"num": range(-9, 10), "word": [f"w{i}" for i in range(19)]})
    made = lazy.merge(nd.from_pandas(right, npartitions=2), on="num", how=how)
    before = len(runs())
    guarded = Guarded()
    run_guarded(guarded, made)
    assert len(runs()) == before
    guarded.check()
    assert len(made) == len(data.merge(right, on="num", how=how))
