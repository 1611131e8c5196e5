from __future__ import annotations

import enum
import subprocess
import sys

import numpy as np
import pytest

from nbscale.expr.token import nonce, token


class Colour(enum.Enum):
    RED = 1


VALUES = [
    None,
    True,
    1,
    1.0,
    -0.0,
    0.0,
    1j,
    "a",
    b"a",
    (1, 2),
    [1, 2],
    (1, (2,)),
    ((1,), 2),
    {"a": 1},
    {"a": 2},
    {1, 2},
    slice(1, 2),
    range(3),
    Colour.RED,
    np.dtype("int64"),
    np.arange(3),
    ...,
    "1",
    ("a", "b"),
    ("ab",),
]


def test_different_values_have_different_tokens():
    tokens = [token(value) for value in VALUES]
    assert len(set(tokens)) == len(VALUES)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_equal_values_have_equal_tokens(value):
    assert token(value) == token(value)


def test_sets_do_not_depend_on_the_order_of_insertion():
    assert token({"a", "b", "c"}) == token({"c", "b", "a"})


def test_tokens_are_the_same_in_another_process():
    code = "from nbscale.expr.token import token; print(token({'x', 'y'}, (1, 'a', None)))"
    run = [sys.executable, "-c", code]
    others = {
        subprocess.run(
            run, capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": str(seed)}
        ).stdout.strip()
        for seed in (1, 2)
    }
    assert others == {token({"x", "y"}, (1, "a", None))}


def test_nonces_never_repeat():
    assert len({nonce() for _ in range(1000)}) == 1000
