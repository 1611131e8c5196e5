"""F26 to F28: exceptions, recursion and closures that do not travel well are told of as they are."""

from __future__ import annotations

import contextvars
import functools
import io
import pickle
import queue
import select
import socket
import sqlite3
import sys
import tempfile
import threading
import traceback
import types
import weakref

import numpy as np
import pytest

import nbscale as ns
from nbscale.errors import NbscaleError, RemoteError
from tests.faults.holds import fails

pytestmark = pytest.mark.timeout(60)


# F26: exceptions ----------------------------------------------------------------------------


class TwoArguments(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")
        self.one, self.two = one, two


class OnlyByKeyword(Exception):
    def __init__(self, *, code):
        super().__init__(f"code {code}")
        self.code = code


class Guarded(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()


class Laden(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.data = np.zeros(13 << 20)


class Framed(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.frame = sys._getframe()


class Forgetful(Exception):
    def __reduce__(self):
        return Forgetful, ()


class Liar(Exception):
    def __reduce__(self):
        return ValueError, ("another",)


class CannotBeMade(Exception):
    def __reduce__(self):
        return int, ("no number",)


class Slotted(Exception):
    __slots__ = ("place",)


class Silent(Exception):
    def __str__(self):
        raise ValueError("no text")


class Wild(BaseException):
    pass


class Loud(Exception):
    def __init__(self):
        super().__init__("x" * (5 << 20))


class Many(TwoArguments, KeyError):
    pass


class Circular(Exception):
    def __init__(self):
        super().__init__("circular")
        self.itself = self


def local_class():
    class Local(Exception):
        pass

    return Local("of a function")


def chained():
    try:
        {}["a"]
    except KeyError as cause:
        try:
            raise ValueError("second") from cause  # noqa: TRY301 - to have a cause
        except ValueError as error:
            return error


def in_context():
    try:
        {}["a"]
    except KeyError:
        try:
            raise ValueError("second")  # noqa: TRY301 - that is the case
        except ValueError as error:
            return error


def noted():
    error = ValueError("noted")
    error.add_note("a note of the user's")
    return error


def stop():
    return StopIteration(3)


EXCEPTIONS = {
    "two arguments": (lambda: TwoArguments(1, 2), TwoArguments, "1 and 2"),
    "only by keyword": (lambda: OnlyByKeyword(code=3), OnlyByKeyword, "code 3"),
    "with a lock": (lambda: Guarded("mine"), RemoteError, "Guarded: mine"),
    "with 100 MB": (lambda: Laden("mine"), RemoteError, "Laden: mine"),
    "with a frame": (lambda: Framed("mine"), RemoteError, "Framed: mine"),
    "forgets its text": (lambda: Forgetful("mine"), Forgetful, "mine"),
    "says it is another": (lambda: Liar("mine"), Liar, "mine"),
    "cannot be made again": (lambda: CannotBeMade("mine"), CannotBeMade, "mine"),
    "with slots": (lambda: Slotted("mine"), Slotted, "mine"),
    "without text": (Silent, Silent, ""),
    "no Exception": (lambda: Wild("mine"), Wild, "mine"),
    "5 MB of text": (Loud, RemoteError, "Loud: xxx"),
    "of two bases": (lambda: Many(1, 2), Many, ""),
    "that holds itself": (Circular, RemoteError, "Circular: circular"),
    "of a function": (local_class, None, "of a function"),
    "with a cause": (chained, ValueError, "KeyError: 'a'"),
    "in a context": (in_context, ValueError, "KeyError: 'a'"),
    "with a note": (noted, ValueError, "a note of the user's"),
    "a group": (
        lambda: ExceptionGroup("both", [KeyError("a"), Guarded("b")]),
        None,
        "both",
    ),
    "a nested group": (
        lambda: BaseExceptionGroup("all", [ExceptionGroup("in", [KeyError("k")]), Wild("w")]),
        BaseExceptionGroup,
        "KeyError: 'k'",
    ),
    "of the system": (lambda: OSError(2, "no file", "/x"), FileNotFoundError, "/x"),
    "of Unicode": (
        lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        UnicodeDecodeError,
        "bad",
    ),
    "of syntax": (lambda: SyntaxError("bad", ("f.py", 3, 1, "x =", 3, 4)), SyntaxError, "f.py"),
    "the end of an iterator": (stop, StopIteration, "3"),
    "of a generator": (lambda: GeneratorExit("mine"), GeneratorExit, "mine"),
}


def raises(error):
    raise error


@pytest.mark.parametrize("name", EXCEPTIONS)
@pytest.mark.parametrize("face", ["submit", "delayed"])
def test_f26_any_exception_comes_back_named(engine, name, face):
    make, kind, says = EXCEPTIONS[name]

    def task():
        raises(make())

    def call():
        if face == "submit":
            ns.submit(task).result(30)
        else:
            ns.delayed(task)().compute(engine="local")

    if kind is None:  # of a class that is made anew wherever it is read
        with pytest.raises(Exception, match=says):
            call()
    elif kind is Silent:
        with pytest.raises(kind):
            call()
    elif says.startswith("Loud"):
        with pytest.raises(kind, match=says) as raised:
            call()
        assert len(str(raised.value)) < 1 << 17
    else:
        with pytest.raises(kind) as raised:
            call()
        assert type(raised.value) is kind
        assert says in "".join(traceback.format_exception(raised.value))
    assert ns.submit(abs, -1).result(30) == 1


# F27: recursion -----------------------------------------------------------------------------


def deeper(number):
    return deeper(number + 1)


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def test_f27_an_endless_recursion(engine):
    fails(RecursionError, ns.submit(deeper, 0).result, "maximum recursion depth")
    fails(
        RecursionError, lambda: ns.delayed(deeper)(0).compute(engine="local"), "maximum recursion"
    )


def test_f27_a_result_that_is_too_deep(engine):
    fails(pickle.PicklingError, ns.submit(nested, 100_000).result, "recursion")


def test_f27_an_argument_that_is_too_deep(engine):
    value = nested(100_000)
    fails(RecursionError, lambda: ns.submit(len, value), "recursion")


def test_f27_a_long_chain_of_calls(engine):
    value = ns.delayed(abs)(-1)
    for _ in range(3000):
        value = value + 1
    assert value.compute(engine="local") == 3001


# F28: closures ------------------------------------------------------------------------------


class Holder:
    def __init__(self, value):
        self.inner = {"a": [1, value]}


class Bound:
    def __init__(self):
        self.lock = threading.Lock()

    def method(self):
        return 1


class Thread(threading.local):
    pass


def by_default(held=threading.Lock()):  # noqa: B008 - that is the case
    return held


def closure(value):
    def mine():
        return value

    return mine


class NoPickle:
    def __reduce__(self):
        raise TypeError("NoPickle does not want to")


def _file():
    return tempfile.TemporaryFile("wb")  # closed by the test


CLOSURES = {
    "a lock": (threading.Lock, "_thread.lock"),
    "a reentrant lock": (threading.RLock, "_thread.RLock"),
    "an event": (threading.Event, "lock"),
    "a condition": (threading.Condition, "RLock"),
    "a queue": (queue.Queue, "lock"),
    "a generator": (lambda: (n for n in range(3)), "builtins.generator"),
    "a socket": (lambda: socket.socket(), "socket.socket"),
    "a file": (_file, "_io."),
    "an epoll": (lambda: select.epoll(), "epoll"),
    "a database": (lambda: sqlite3.connect(":memory:"), "sqlite3.Connection"),
    "a weak reference": (lambda: weakref.ref(Holder), "ReferenceType"),
    "of a thread": (Thread, "Thread"),
    "a context": (contextvars.copy_context, "Context"),
    "a context variable": (lambda: contextvars.ContextVar("mine"), "ContextVar"),
    "a frame": (lambda: sys._getframe(), "frame"),
    "a poll": (lambda: select.poll(), "poll"),
    "in an object": (lambda: Holder(threading.Lock()), "inner['a'][1]: _thread.lock"),
    "in a namespace": (lambda: types.SimpleNamespace(x=threading.Lock()), ".x: _thread.lock"),
    "by its own will": (NoPickle, "NoPickle"),
    "a text stream": (lambda: io.TextIOWrapper(io.FileIO(0, closefd=False)), "_io.TextIOWrapper"),
}


@pytest.mark.parametrize("name", CLOSURES)
def test_f28_what_cannot_be_sent_is_named_by_its_path(engine, name):
    make, says = CLOSURES[name]
    value = make()
    mine = closure(value)
    for call in (lambda: ns.submit(mine), lambda: ns.delayed(mine)):
        fails(TypeError, call, "mine.__closure__['value']", says)
    fails(TypeError, lambda: ns.submit(len, value), "argument 0", says)
    close = getattr(value, "close", None)
    if close is not None:
        close()


@pytest.mark.parametrize(
    ("function", "path"),
    [
        (lambda: Bound().method, "method.__self__.lock"),
        (lambda: functools.partial(closure, threading.Lock()), "args[0]"),
        (lambda: functools.partial(closure, value=threading.Lock()), "keywords['value']"),
        (lambda: closure(closure(threading.Lock())), "__closure__['value'].__closure__['value']"),
    ],
    ids=["method", "partial", "keyword", "closure in a closure"],
)
def test_f28_the_path_leads_through_functions(engine, function, path):
    fails(TypeError, lambda: ns.submit(function()), path, "_thread.lock")


def test_f28_a_result_that_cannot_be_sent_is_named(engine):
    fails(
        TypeError,
        ns.submit(lambda: {"a": threading.Lock()}).result,
        "the result['a']: _thread.lock",
    )
    assert issubclass(RemoteError, NbscaleError)
