"""A value of each process's own: made once, made anew when its code changed, errors named."""

from __future__ import annotations

import functools
import gc
import os
import pickle
import sqlite3
import threading
import weakref

import pandas as pd
import pytest

import nbscale as ns
import nbscale.dataframe as nd
from nbscale.engines.base import load_engine
from nbscale.expr.function import capture
from nbscale.testing.board import Board
from nbscale.testing.jobs import plain, run, stage


@pytest.fixture
def board(tmp_path):
    return Board(tmp_path)


def marking(board):
    """A factory that says where it is called."""

    def factory():
        board.mark("made", f"{os.getpid()} ")
        return object()

    return factory


@pytest.mark.parametrize("name", ["inline", "threads", "local"])
def test_each_process_makes_it_once(name, board):
    value = ns.per_worker(marking(board))
    engine = load_engine(name)
    engine.scale(1 if name == "inline" else 2)

    def kernel(index):
        if name != "inline":  # which has one task at a time
            board.mark("here")
            board.wait("here", 2)
        return os.getpid(), id(value())

    try:
        for _ in range(2):
            seen = run(engine, plain(stage(0, 20, capture(kernel), result=0)))
            assert len(set(seen)) == (2 if name == "local" else 1)
    finally:
        engine.close()
    made = board.text("made").split()
    assert sorted(made) == sorted({str(pid) for pid, _ in seen})
    value()
    assert len(board.text("made").split()) == len({*made, str(os.getpid())})


def test_a_connection_for_delayed_and_frames(tmp_path):
    path = tmp_path / "rates.db"
    with sqlite3.connect(path) as db:
        db.execute("create table rates (name text, rate real)")
        db.executemany("insert into rates values (?, ?)", [("a", 2.0), ("b", 3.0)])

    rates = ns.per_worker(lambda: sqlite3.connect(path))

    def rate(name):
        return rates().execute("select rate from rates where name = ?", (name,)).fetchone()[0]

    assert ns.compute(*[ns.delayed(rate)(n) for n in "aba"]) == (2.0, 3.0, 2.0)
    frame = nd.from_pandas(pd.DataFrame({"x": [1.0, 2.0]}), npartitions=2)
    assert frame.map_partitions(lambda part: part * rate("a")).compute().x.tolist() == [2.0, 4.0]
    assert ns.gather(ns.map(rate, "ba")) == [3.0, 2.0]
    assert rate("a") == 2.0


def test_only_the_factory_travels():
    made = ns.per_worker(lambda: bytearray(1 << 20))
    made()
    assert len(pickle.dumps(made)) < 2000
    assert pickle.loads(pickle.dumps(made))() is made()


def defined(text):
    """What a cell defines: functions of __main__, under names that stay."""
    names = {"__name__": "__main__"}
    exec(compile(text, "<cell 3>", "exec"), names)
    return names


def test_an_edited_factory_takes_the_place_of_the_old_one():
    def version(n):
        names = defined(f"class Model:\n    n = {n}\ndef load():\n    return Model()")
        value = ns.per_worker(names["load"])
        return value, lambda _: (os.getpid(), value().n, id(value()))

    (old, ask_old), (_, ask_new) = version(1), version(2)
    assert {n for _, n, _ in ns.gather(ns.map(ask_old, range(20)))} == {1}
    assert {n for _, n, _ in ns.gather(ns.map(ask_new, range(20)))} == {2}

    last = weakref.ref(old())
    ns.per_worker(defined("def load():\n    return 3")["load"])()
    gc.collect()
    assert last() is None


def test_the_same_code_again_keeps_the_value(board):
    text = "def load():\n    board.mark('made')\n    return object()"
    for _ in range(3):  # a cell that is run again
        names = defined(text)
        names["board"] = board
        ns.per_worker(names["load"])()
    assert board.count("made") == 1


def test_what_is_made_from_other_arguments_is_another(board):
    def load(name):
        board.mark(name)
        return name

    a, b = (ns.per_worker(functools.partial(load, name)) for name in "ab")
    for _ in range(2):
        assert (a(), b()) == ("a", "b")
    assert (board.count("a"), board.count("b")) == (1, 1)


def closed_over(name):
    def load():
        return name

    return load


def test_two_of_one_function_in_another_do_not_meet():
    a, b = ns.per_worker(closed_over("a")), ns.per_worker(closed_over("b"))
    assert (a(), b(), a()) == ("a", "b", "a")


def test_threads_wait_for_one_value(board):
    def slow():
        board.mark("making")
        board.wait("go")
        return object()

    value, found = ns.per_worker(slow), []
    threads = [threading.Thread(target=lambda: found.append(value())) for _ in range(4)]
    for thread in threads:
        thread.start()
    board.wait("making")
    board.mark("go")
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    assert board.count("making") == 1


@pytest.mark.parametrize("here", [True, False])
def test_an_error_names_the_factory_and_is_tried_again(here, board):
    def connect():
        board.mark("tried")
        if board.count("tried") == 1:
            raise ConnectionError("refused")
        return 5

    value = ns.per_worker(connect)
    ask = value if here else lambda: ns.submit(lambda: value()).result()
    with pytest.raises(ConnectionError, match="refused") as raised:
        ask()
    (note,) = [n for n in raised.value.__notes__ if "connect" in n]
    assert note.startswith("while connect was making its value of this process (")
    assert "test_resource.py" in note
    assert ask() == 5


def test_a_factory_that_asks_for_its_own_value():
    value = ns.per_worker(lambda: None)
    value._factory._loaded = value  # as one does that finds it by the name of a module
    with pytest.raises(RuntimeError, match="asks for the value that it should make"):
        value()


def test_renew_makes_another():
    value = ns.per_worker(object)
    first = value()
    assert value() is first
    value.renew()
    assert value() is not first


def test_a_forked_child_makes_its_own_and_ends_nothing_of_its_parents(board):
    class Connection:
        def __init__(self):
            self.owner = os.getpid()

        def __del__(self):
            board.mark("closed", f"{os.getpid()} ")

    value = ns.per_worker(lambda: Connection())
    mine = value()
    pid = os.fork()
    if not pid:
        own = value().owner == os.getpid()
        value.renew()
        gc.collect()
        os._exit(0 if own else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert value() is mine
    assert board.text("closed").split() == [str(pid)]


def test_what_cannot_be_a_factory():
    with pytest.raises(TypeError, match="a function is needed, not int 3"):
        ns.per_worker(3)
    lock = threading.Lock()
    with pytest.raises(TypeError, match=r"cannot be pickled.*_thread\.lock"):
        ns.per_worker(lambda: lock)
