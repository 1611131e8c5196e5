"""Programs of random operations on arrays, by NumPy and lazily: what rows alone do not show."""

from __future__ import annotations

import warnings

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, note, settings

from nbscale import array as na
from nbscale.testing.oracle import assert_same

# Whole numbers, kept small: their sums are exact in floats too, whatever the order. Steps give a
# table again; ``v`` is a row of numbers as long as the table is wide when it begins.
STEPS = {
    "add": lambda x, v: x + 3,
    "double": lambda x, v: x + x,
    "square": lambda x, v: x**2 % 97,
    "negate": lambda x, v: -x,
    "where": lambda x, v: np.where(x > 10, x, -1),
    "where row": lambda x, v: np.where(x[:1] > 5, x, x[:, :1]),
    "clip": lambda x, v: x.clip(-5, 20),
    "centre": lambda x, v: x - x.max(axis=0),
    "less its column": lambda x, v: x - x[:, :1],
    "more its sums": lambda x, v: (x + x.sum(axis=1, keepdims=True)) % 97,
    "times vector": lambda x, v: x * np.arange(1, x.shape[1] + 1) % 97,
    "transpose": lambda x, v: x.T,
    "first rows": lambda x, v: x[:4],
    "last columns": lambda x, v: x[:, -3:],
    "every other": lambda x, v: x[::2, 1::2],
    "backwards": lambda x, v: x[::-1],
    "chosen": lambda x, v: x[[0, -1, 0]],
    "chosen columns": lambda x, v: x[:, [-1, 0]],
    "masked": lambda x, v: x[np.arange(x.shape[0]) % 3 != 1],
    "lazily masked": lambda x, v: x[x[:, 0] > 0],
    "doubled": lambda x, v: np.concatenate([x, x[:2]]),
    "widened": lambda x, v: np.hstack([x, x + 1]),
    "running": lambda x, v: np.cumsum(x, axis=0) % 97,
    "running across": lambda x, v: np.cumsum(x, axis=1) % 97,
    "own product": lambda x, v: x.dot(x.T) % 97,
    "product": lambda x, v: (x.T @ (x + 1)) % 97,
    "reshaped": lambda x, v: x.reshape(x.shape[1], x.shape[0]),
    "flat": lambda x, v: x.reshape(1, -1),
    "broadcast": lambda x, v: np.broadcast_to(x[:1], (5, x.shape[1])),
    "rechunked": lambda x, v: x.rechunk(3) if isinstance(x, na.Array) else x,
    "text and back": lambda x, v: x.astype("i2").astype("f8"),
}
ENDS = {
    "as it is": (lambda x, v: x, "exact"),
    "sum": (lambda x, v: x.sum(), "exact"),
    "sum of rows": (lambda x, v: x.sum(axis=1), "exact"),
    "mean": (lambda x, v: x.mean(axis=0), "sum"),
    "std": (lambda x, v: x.std(axis=0), "moment"),
    "min": (lambda x, v: x.min(), "exact"),
    "argmax": (lambda x, v: x.argmax(axis=0), "exact"),
    "any": (lambda x, v: (x > 50).any(axis=1), "exact"),
    "count": (lambda x, v: np.count_nonzero(x), "exact"),
    "corner": (lambda x, v: x[:2, :2], "exact"),
    "outer": (lambda x, v: np.outer(x[:, 0], v), "exact"),
    "mask": (lambda x, v: x[x > 0], "exact"),
}
MOST = 2_000
"""Elements from which on nothing is added."""

GROW = {"doubled", "widened", "own product", "product", "broadcast"}

TABLES = {
    "whole": np.random.default_rng(0).integers(-9, 30, (7, 10)),
    "floats": np.random.default_rng(1).integers(-9, 30, (6, 8)).astype("f8"),
    "thin": np.random.default_rng(2).integers(0, 50, (23, 2)),
    "one": np.array([[4.0]]),
    "empty": np.empty((0, 4)),
}


@settings(max_examples=120)
@given(
    table=st.sampled_from(sorted(TABLES)),
    chunks=st.sampled_from([-1, 1, 3, (2, -1), (-1, 4)]),
    engine=st.sampled_from(["inline", "threads"]),
    steps=st.lists(st.sampled_from(sorted(STEPS)), max_size=7),
    end=st.sampled_from(sorted(ENDS)),
)
def test_programs(table, chunks, engine, steps, end):
    x, v = TABLES[table], np.arange(3)
    lazy, lazy_v = na.from_array(x, chunks), na.from_array(v, 2)
    run, rule = ENDS[end]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for step in steps:
            if step in GROW and x.size > MOST:
                continue
            try:
                x = STEPS[step](x, v)
            except Exception as error:  # noqa: BLE001 - whatever NumPy says
                refused(error, STEPS[step], lazy, lazy_v)
                return
            lazy = STEPS[step](lazy, lazy_v)
        try:
            want = run(x, v)
            scale = run(np.abs(x), v)
        except Exception as error:  # noqa: BLE001 - whatever NumPy says
            refused(error, run, lazy, lazy_v)
            return
        got = run(lazy, lazy_v)
        note(got.explain())
        assert_same(got.compute(engine=engine), want, rule, scale)


def refused(error, run, *lazy):
    """NumPy raises: so must the lazy array, when made or when computed, with the same type."""
    try:
        run(*lazy).compute(engine="inline")
    except type(error):
        return
    raise AssertionError(f"NumPy raised {error!r}")
