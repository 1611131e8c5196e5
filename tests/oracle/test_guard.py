"""The guard on every row: lazy until computed, no task reads or holds more than its share."""

from __future__ import annotations

import warnings

import pytest

import nbscale.dataframe as nd
from nbscale.session import runs
from tests.oracle.frames import standard
from tests.oracle.guard import nbytes, run_guarded
from tests.oracle.test_frames import CASES

PARTITIONS = 32
ROWS = 8_000
SMALL = 64_000
"""Bytes that no task is blamed for: what pandas and Python need for themselves."""

# Reviewed exceptions, with the reason in the row itself (``why``): at most 2 % of the rows.
MOST_EXCEPTIONS = 0.02


@pytest.fixture(scope="module")
def frames():
    data = standard("range", PARTITIONS * ROWS)
    other = standard("range", PARTITIONS * ROWS // 4, seed=1)
    one = nbytes(data.iloc[:ROWS])
    assert one >= 256_000
    return (
        nd.from_pandas(data, npartitions=PARTITIONS),
        nd.from_pandas(other, npartitions=PARTITIONS // 4),
        one,
    )


def test_exceptions_are_few():
    excused = [case.name for case in CASES if case.why]
    assert len(excused) <= MOST_EXCEPTIONS * len(CASES), excused


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_task_takes_more_than_its_share(case, frames):
    lazy, other, one = frames
    before = len(runs())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = case.run(lazy, other) if case.two else case.run(lazy)
        except Exception:  # noqa: BLE001 - what pandas refuses is refused before anything is read
            made = None
        assert len(runs()) == before, "making the expression computed something"
        reports = run_guarded(made) if made is not None else []
    if case.why:
        return
    for report in reports:
        assert report.read <= 2 * one + SMALL, report
        assert report.held <= 4 * one + SMALL, report
