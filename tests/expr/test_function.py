from __future__ import annotations

import pickle
import threading

import pytest

from nbscale.expr.function import Function, capture

FACTOR = 2


def test_a_captured_function_does_not_see_later_changes():
    factor = 2

    def scale(x):
        return x * factor

    captured = capture(scale)
    factor = 3
    assert captured(10) == 20


def test_capture_is_idempotent_and_survives_pickling():
    captured = capture(lambda x: x + 1)
    assert capture(captured) is captured
    again = pickle.loads(pickle.dumps(captured))
    assert isinstance(again, Function)
    assert again.key == captured.key
    assert again(1) == 2


def test_what_cannot_be_pickled_is_named():
    lock = threading.Lock()

    def locked():
        return lock

    with pytest.raises(TypeError, match="locked cannot be pickled"):
        capture(locked)


def test_only_callables_are_captured():
    with pytest.raises(TypeError, match="a function is needed, not int 3"):
        capture(3)


def test_a_traceback_shows_the_users_file():
    def outer():
        def inner():
            raise ValueError("here")

        inner()

    with pytest.raises(ValueError, match="here") as caught:
        capture(outer)()
    assert [str(f.path) for f in caught.traceback[-2:]] == [__file__, __file__]


def test_a_traceback_shows_the_files_of_functions_that_are_called():
    scope = {"__name__": "__main__"}
    for file, text in (
        ("one.py", "def low(x):\n    return 1 / x"),
        ("two.py", "def high(x):\n    return [low(y) for y in [x]]"),
    ):
        exec(compile(text, file, "exec"), scope)
    with pytest.raises(ZeroDivisionError) as caught:
        capture(scope["high"])(0)
    assert [f.frame.code.raw.co_filename for f in caught.traceback[-3:]] == [
        "two.py",
        "two.py",
        "one.py",
    ]
