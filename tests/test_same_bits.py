"""The same bits, whoever computes: engines, numbers of workers, budgets."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

import nbscale as ns
import nbscale.array as na
import nbscale.dataframe as nd
from nbscale import config


def frame():
    rng = np.random.default_rng(0)
    n = 20_000
    data = pd.DataFrame(
        {
            "k": rng.choice(list("abcdefgh"), n),
            "x": rng.normal(size=n) * 10.0 ** rng.integers(-8, 9, n),
            "i": rng.integers(0, 500, n),
        }
    )
    return nd.from_pandas(data, npartitions=37)


EXPRESSIONS = {
    "sum": lambda: frame().x.sum(),
    "mean": lambda: frame().x.mean(),
    "std": lambda: frame().x.std(),
    "groupby": lambda: frame().groupby("k").x.mean(),
    "groupby many": lambda: frame().groupby("i").x.sum(),
    "value_counts": lambda: frame().k.value_counts(),
    "sort": lambda: frame().sort_values("x"),
    "cumsum": lambda: frame().x.cumsum(),
    "array sum": lambda: na.random.default_rng(1).random((500, 700), chunks=(100, 90)).sum(),
    "array mean": lambda: (
        na.random.default_rng(1).random((500, 700), chunks=(100, 90)).mean(axis=0)
    ),
    "product": lambda: _product(na.random.default_rng(1).random((300, 200), chunks=(64, 70))),
}


def _product(x):
    return x.dot(x.T) - x.mean(axis=1)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_same_bits(name):
    seen = set()
    for engine in ("inline", "threads"):
        for workers in (1, 2, 4):
            for limit in ("64 MB", "2 GB"):
                with config.set(n_workers=workers, memory_limit=limit):
                    (value,) = ns.compute(EXPRESSIONS[name](), engine=engine)
                seen.add(pickle.dumps(value))
    assert len(seen) == 1
