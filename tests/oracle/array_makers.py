"""Rows of the oracle: functions that make arrays, with NumPy's names and nbscale's own.

``run(lib, **chunks)`` works on ``numpy`` without chunks, and on ``nbscale.array`` with and without.
"""

from __future__ import annotations

import numpy as np

from tests.oracle.case import Case

__all__ = ["MAKERS"]

GRID = np.arange(24.0).reshape(4, 6)
DATES = np.array(["2020-01-01", "NaT", "2021-05-06", "1969-12-31", "NaT"], dtype="M8[ns]")

MAKERS = [
    Case("ones", lambda lib, **c: lib.ones((4, 6), **c)),
    Case("ones of integers", lambda lib, **c: lib.ones(7, dtype="i4", **c)),
    Case("zeros", lambda lib, **c: lib.zeros((4, 6), **c)),
    Case("zeros of booleans", lambda lib, **c: lib.zeros((4, 6), bool, **c)),
    Case("zeros of text", lambda lib, **c: lib.zeros(5, "U3", **c)),
    Case("zeros of nothing", lambda lib, **c: lib.zeros((0, 3), **c)),
    Case("empty", lambda lib, **c: lib.empty((4, 6), **c) ** 0),
    Case("full", lambda lib, **c: lib.full((4, 6), 7, **c)),
    Case("full dtype", lambda lib, **c: lib.full(5, 7, "c8", **c)),
    Case("full of NaN", lambda lib, **c: lib.full((3, 2), lib.nan, **c)),
    Case("full of dates", lambda lib, **c: lib.full(3, np.datetime64("2020-01-01", "D"), **c)),
    Case("ones_like", lambda lib, **c: lib.ones_like(lib.zeros((4, 6), "i2"), **c)),
    Case("zeros_like", lambda lib, **c: lib.zeros_like(lib.ones((4, 6), "f4"), **c)),
    Case("zeros_like dtype", lambda lib, **c: lib.zeros_like(GRID, dtype="u1", **c)),
    Case("full_like", lambda lib, **c: lib.full_like(lib.ones((4, 6), "i4"), 2.7, **c)),
    Case("full_like shape", lambda lib, **c: lib.full_like(lib.ones(3), 5, shape=(2, 2), **c)),
    Case("empty_like", lambda lib, **c: lib.empty_like(lib.ones(6, "i8"), **c) * 0),
    Case("arange", lambda lib, **c: lib.arange(17, **c)),
    Case("arange from", lambda lib, **c: lib.arange(3, 17, **c)),
    Case("arange down", lambda lib, **c: lib.arange(17, 3, -4, **c)),
    Case("arange of floats", lambda lib, **c: lib.arange(0.5, 9.3, 0.7, **c)),
    Case("arange of nothing", lambda lib, **c: lib.arange(5, 5, **c)),
    Case("arange dtype", lambda lib, **c: lib.arange(9, dtype="f4", **c)),
    Case("linspace", lambda lib, **c: lib.linspace(0, 1, 13, **c)),
    Case("linspace open", lambda lib, **c: lib.linspace(-3, 5, 7, endpoint=False, **c)),
    Case("linspace of integers", lambda lib, **c: lib.linspace(0, 9, 5, dtype=int, **c)),
    Case("linspace of one", lambda lib, **c: lib.linspace(2, 3, 1, **c)),
    Case("linspace step", lambda lib, **c: lib.linspace(0, 1, 11, retstep=True, **c)[0]),
    Case("eye", lambda lib, **c: lib.eye(5, **c)),
    Case("eye above", lambda lib, **c: lib.eye(4, 6, 2, **c)),
    Case("eye below", lambda lib, **c: lib.eye(6, 4, -3, dtype="i8", **c)),
    Case("identity", lambda lib, **c: lib.identity(5, "f4", **c)),
    Case("array", lambda lib, **c: lib.array([[1, 2, 3], [4, 5, 6]], **c)),
    Case("array dtype", lambda lib, **c: lib.array([1, 0, 2], dtype=bool, **c)),
    Case("array of text", lambda lib, **c: lib.array(["a", "bcd", "é"], **c)),
    Case("array of one", lambda lib, **c: lib.array(3.5, **c) + 0),
    Case("asarray", lambda lib, **c: lib.asarray(GRID, **c)),
    Case("asarray dtype", lambda lib, **c: lib.asarray(GRID, dtype="i4", **c)),
    Case("asarray strided", lambda lib, **c: lib.asarray(GRID[::2, ::-1], **c)),
    Case("asarray of columns", lambda lib, **c: lib.asarray(np.asfortranarray(GRID), **c)),
    Case("asanyarray", lambda lib, **c: lib.asanyarray([True, False], **c)),
    Case("isnat", lambda lib, **c: lib.isnat(lib.asarray(DATES, **c))),
    Case("dates", lambda lib, **c: lib.asarray(DATES, **c) - DATES[0]),
    Case("sum of steps", lambda lib, **c: lib.arange(1000, **c).sum(), "sum"),
    Case("sum of ones", lambda lib, **c: (lib.ones((30, 20), **c) * 2).sum(axis=0), "sum"),
]
