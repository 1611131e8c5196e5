"""What a task sees and says: prints, errors, chance, its inputs; and what cannot be sent to it."""

from __future__ import annotations

import gc
import pickle
import random
import sys
import threading
import types
import warnings

import numpy as np
import pytest

from nbscale.engines.local import crew
from nbscale.errors import EngineError, RemoteError
from nbscale.events import Place
from nbscale.expr.function import capture
from nbscale.graph.axismap import At
from nbscale.graph.stage import Program, Stage, Step
from nbscale.testing.board import wait_until
from nbscale.testing.jobs import each, everything, over, plain, run, stage
from tests.engines.local.pooled import Pooled, descriptors


def one(kernel, **facts):
    return plain(stage(0, 1, kernel, result=0, **facts))


# Prints -------------------------------------------------------------------------------------


def test_prints_and_warnings_come_to_the_kernel(engine, capsys):
    def kernel(index):
        print("hello")
        sys.stderr.write("oh\n")
        warnings.warn("careful", stacklevel=1)

    run(engine, one(kernel))
    out, err = capsys.readouterr()
    assert out == "hello\n"
    assert "oh\n" in err
    assert "UserWarning: careful" in err


def test_a_task_that_prints_a_lot(engine, capsys):
    def kernel(index):
        for number in range(20_000):
            print(number, "x" * 40)
        return index[0]

    assert run(engine, plain(stage(0, 3, kernel, result=0))) == [0, 1, 2]
    assert capsys.readouterr().out.count("\n") == 60_000


def test_a_print_is_seen_while_the_task_runs(engine, board, monkeypatch):
    seen = []
    stream = types.SimpleNamespace(write=seen.append, flush=lambda: None)

    def kernel(index):
        print("begun")
        board.wait("seen")

    def look():
        wait_until(lambda: "begun" in "".join(seen))
        board.mark("seen")

    monkeypatch.setattr(sys, "stdout", stream)
    other = threading.Thread(target=look)
    other.start()
    run(engine, one(kernel))
    other.join()


def test_a_stream_that_raises_hurts_nobody(engine, monkeypatch):
    def kernel(index):
        print("hello")
        return 3

    def broken(text):
        raise ValueError("closed")

    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", types.SimpleNamespace(write=broken, flush=lambda: None))
        assert run(engine, one(kernel)) == [3]


def test_threads_of_a_task_may_print(engine, capsys):
    def kernel(index):
        threads = [
            threading.Thread(target=lambda: [print("x" * 100) for _ in range(2000)])
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    run(engine, one(kernel))
    assert capsys.readouterr().out.count("x" * 100) == 6000


# Chance -------------------------------------------------------------------------------------


def test_workers_draw_different_numbers(engine, board):
    def kernel(index):
        board.mark("here")
        board.wait("here", 2)
        return (random.random(), float(np.random.rand()))  # noqa: NPY002

    (a, b), (c, d) = run(engine, plain(stage(0, 2, kernel, result=0)))
    assert len({a, b, c, d}) == 4


# Errors -------------------------------------------------------------------------------------


def notebook(text):
    """Names defined as a cell defines them: in __main__, where no other process finds them."""
    module = sys.modules["__main__"]
    exec(compile(text, "<cell 3>", "exec"), module.__dict__)
    return module


def test_an_exception_of_the_notebook_is_caught_by_its_class(engine):
    main = notebook(
        "class Mine(Exception):\n"
        "    pass\n"
        "def fails(index):\n"
        "    error = Mine('text', index)\n"
        "    error.add_note('a note')\n"
        "    raise error from KeyError('cause')\n"
    )
    with pytest.raises(main.Mine) as raised:
        run(engine, one(capture(main.fails)))
    assert raised.value.args == ("text", (0,))
    assert "a note" in raised.value.__notes__
    assert isinstance(raised.value.__cause__, KeyError)
    assert (raised.traceback[-1].frame.code.path, raised.traceback[-1].lineno) == ("<cell 3>", 5)


class Guarded(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()


class Forgetful(Exception):
    """Says itself how it is pickled, and forgets what was added."""

    def __reduce__(self):
        return Forgetful, self.args


class Unreadable(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


class Silent(Exception):
    def __str__(self):
        raise ValueError("no text")


class Laden(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.data = np.zeros(1 << 20)


@pytest.mark.parametrize(
    ("make", "kind", "says"),
    [
        (lambda: Guarded("mine"), RemoteError, "Guarded: mine"),
        (lambda: Forgetful("mine"), Forgetful, "mine"),
        (lambda: Unreadable(1, 2), Unreadable, "1 and 2"),
        (lambda: Silent(), Silent, ""),
        (lambda: Laden("mine"), RemoteError, "Laden: mine"),
        (lambda: ExceptionGroup("both", [KeyError("a"), ValueError("b")]), ExceptionGroup, "both"),
        (lambda: RecursionError("deep"), RecursionError, "deep"),
        (lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), UnicodeDecodeError, "bad"),
        (lambda: OSError(2, "no file", "/x"), FileNotFoundError, "/x"),
    ],
    ids=lambda value: None,
)
def test_any_exception_comes_back_named(engine, make, kind, says):
    def fails(index):
        error = make()
        error.add_note("a note")
        raise error

    place = Place("notebook", 3, cell=7)
    with pytest.raises(kind) as raised:
        run(engine, one(fails, name="assign(f)", place=place))
    if kind is not Silent:
        notes = getattr(raised.value, "__notes__", [])
        assert says in str(raised.value)
        assert "a note" in "\n".join([str(raised.value), *notes])
    assert "while running assign(f) (cell 7, line 3)" in raised.value.__notes__
    assert run(engine, one(lambda index: 1)) == [1]


def test_an_endless_recursion(engine):
    def deeper(index):
        return deeper(index)

    def nested(index):
        value = []
        for _ in range(100_000):
            value = [value]
        return value

    for kernel, kind in ((deeper, RecursionError), (nested, pickle.PicklingError)):
        with pytest.raises(kind, match="recursion"):
            run(engine, one(kernel))
    assert run(engine, one(lambda index: 1)) == [1]


def test_a_value_that_cannot_be_sent_is_named(engine):
    with pytest.raises(TypeError, match="lock") as raised:
        run(engine, one(lambda index: threading.Lock(), name="assign(f)"))
    assert "while running assign(f)" in raised.value.__notes__


# Programs -----------------------------------------------------------------------------------


class Dropped:
    """Can be sent, but not read where it is sent to."""

    def __init__(self, how):
        self._how = how

    def __reduce__(self):
        return self._how, ()

    def __call__(self, index):
        return 0


def fail_to_read():
    raise ValueError("cannot be read")


def test_a_program_that_cannot_be_sent(engine):
    lock = threading.Lock()

    def good(index):
        return 0

    def bad(index, value):
        return lock

    place = Place("notebook", 3, cell=7)
    steps = [Step(good, (), (0,), "first"), Step(bad, (0,), (0,), "assign(f)", place)]
    a = Stage(0, "both", (range(3),), (3,), Program.of(0, steps), (), result=0)
    with pytest.raises(TypeError, match=r"assign\(f\) \(cell 7, line 3\).*lock"):
        run(engine, plain(a))
    assert run(engine, one(lambda index: 1)) == [1]


def test_a_program_that_cannot_be_read(engine):
    with pytest.raises(ValueError, match="cannot be read") as raised:
        run(engine, one(Dropped(fail_to_read), name="assign(f)"))
    assert "while running assign(f)" in raised.value.__notes__[0]
    assert run(engine, one(lambda index: 1)) == [1]


def test_a_large_program(engine):
    table = np.arange(1 << 17)
    a = stage(0, 6, lambda index: int(table[index[0]]), result=0)
    assert run(engine, plain(a)) == list(range(6))
    assert engine.driver.segments.nbytes == 0


def test_workers_that_cannot_start(monkeypatch):
    engine = Pooled()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(EngineError, match="ended with code 1"):
            run(engine, one(lambda index: 1))
        patch.setattr(sys, "executable", "/no/python")
        with pytest.raises(EngineError, match="cannot be started"):
            run(engine, one(lambda index: 1))
    assert run(engine, one(lambda index: 1)) == [1]
    engine.close()


def test_workers_that_end_before_they_are_ready(monkeypatch):
    engine = Pooled()
    with monkeypatch.context() as patch:
        patch.setattr("nbscale.engines.local.pool.PAGE", 1)  # too small to be mapped
        with pytest.raises(EngineError, match="before they are ready, the last one with exit code"):
            run(engine, one(lambda index: 1))
    engine.close()


# Values -------------------------------------------------------------------------------------


def test_changing_an_input_changes_nobody_elses(engine):
    n = 40_000  # 320 kB: mapped, not copied

    def spoil(index, value):
        assert value.flags.writeable
        value[:] = -1
        return 0

    a = stage(0, 1, lambda index: np.arange(n))
    b = stage(1, 6, spoil, over(a, At(6, 1, 0), delivery="one"), user_code=True)
    c = stage(
        2,
        1,
        lambda index, value, zeros: (int(value.sum()), zeros),
        each(a),
        everything(b),
        user_code=True,
        result=0,
    )
    assert run(engine, plain(a, b, c)) == [(n * (n - 1) // 2, [0] * 6)]


@pytest.mark.parametrize("ending", ["returns", "raises"])
def test_an_input_that_is_kept_stays_what_it_was(engine, ending):
    n = 40_000

    def keep(index, value):
        import builtins

        kept = vars(builtins).setdefault("kept", [])
        kept.append(value)
        if ending == "raises":
            raise ValueError("kept all the same")
        return index[0]

    def look(index):
        import builtins

        kept = vars(builtins).get("kept", [])
        return [(int(value[0]), bool((value == value[0]).all())) for value in kept]

    def forget(index):
        import builtins

        vars(builtins).pop("kept", None)
        gc.collect()

    a = stage(0, 1, lambda index: np.full(n, 77))
    b = stage(1, 1, keep, each(a), user_code=True, result=0)
    for _ in range(4):
        if ending == "raises":
            with pytest.raises(ValueError, match="all the same"):
                run(engine, plain(a, b))
        else:
            assert run(engine, plain(a, b)) == [0]
    for number in range(30):
        c = stage(0, 4, lambda index, number=number: np.full(n, number))
        d = stage(1, 4, lambda index, value: int(value.sum()), each(c), result=0)
        assert run(engine, plain(c, d)) == [n * number] * 4
    found = [pair for pairs in run(engine, plain(stage(0, 8, look, result=0))) for pair in pairs]
    assert found
    assert set(found) == {(77, True)}
    assert any(engine.driver._leases.values())

    def given_back():
        run(engine, plain(stage(0, 8, forget, result=0)))
        return not any(engine.driver._leases.values())

    wait_until(given_back, "the leases to come back")


def test_an_input_that_is_kept_until_the_next(engine):
    def keep(index, value):
        import builtins

        vars(builtins)["last"] = value
        return int(value[0])

    def forget(index):
        import builtins

        vars(builtins).pop("last", None)

    n = 60
    a = stage(0, n, lambda index: np.full(40_000, index[0]))
    b = stage(1, n, keep, each(a), user_code=True, result=0)
    for _ in range(3):
        assert run(engine, plain(a, b)) == list(range(n))
    run(engine, plain(stage(0, 8, forget, result=0)))
    assert engine.driver.segments.nbytes == 0


def test_a_thousand_small_values_of_unknown_size(engine):
    def make(index):
        return bytes([index[0] % 256]) * 5000

    before = len(descriptors())
    a = stage(0, 1500, make)
    b = stage(1, 1, lambda index, values: sum(map(len, values)), everything(a), result=0)
    assert run(engine, plain(a, b)) == [1500 * 5000]
    assert len(descriptors()) < before + 20


def test_more_descriptors_than_fit_on_the_way(engine, monkeypatch):
    monkeypatch.setattr("nbscale.store.segments.LARGE", 1 << 16)
    size = 1 << 17  # of a segment of its own each

    def make(index):
        return np.empty(size, np.uint8)

    n = 1000
    a = stage(0, n, make)
    b = stage(1, 1, lambda index, values: len(values), everything(a), result=0)
    assert run(engine, plain(a, b)) == [n]
    assert engine.driver.segments.nbytes == 0


def test_nothing_leaks_over_many_runs(engine):
    def one_run():
        a = stage(0, 4, lambda index: np.zeros(5 << 20, np.uint8) + 1)
        b = stage(1, 4, lambda index, value: int(value[::4096].sum()), each(a), user_code=True)
        c = stage(2, 1, lambda index, values: sum(values), everything(b), result=0)
        assert run(engine, plain(a, b, c)) == [4 * 1280]

    def counts():
        return [len(descriptors(pid)) for pid in ("self", engine.zygote, *engine.workers)]

    assert run(engine, plain(stage(0, 8, lambda index: 0, result=0))) == [0] * 8
    before = counts()
    for _ in range(70):
        one_run()
    after = counts()
    # What is idle is kept for the next use, up to a limit that does not depend on the runs, and each
    # segment has two descriptors. One lost for each value would be 280.
    most = 2 * (crew._SPARE // (5 << 20)) + 16
    assert all(b <= a + most for a, b in zip(before, after, strict=True)), (before, after)
    assert engine.driver.segments.nbytes == 0
    assert not engine.driver._stages
    assert not engine.driver._causes


def test_a_pickled_engine_is_a_new_one(engine):
    again = pickle.loads(pickle.dumps(engine))
    assert again is not engine
