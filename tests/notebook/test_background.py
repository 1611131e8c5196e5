"""Work in the background, and cells that wait for its names."""

from __future__ import annotations

import ast

import pytest
from IPython.core.error import InputRejected

from nbscale.errors import RunCancelled
from nbscale.notebook import background
from nbscale.notebook.background import Background, Waiting


class Info:
    def __init__(self, raw):
        self.raw_cell = raw


def seen(waiting, raw):
    waiting.before_cell(Info(raw))
    tree = ast.parse(raw)
    assert waiting.visit(tree) is tree


def test_a_cell_waits_for_the_names_in_it(monkeypatch):
    work, waiting = Background("cell 1", ("ys",)), Waiting()
    waiting.add(work)
    looks = []

    def sleep(seconds):
        looks.append(seconds)
        work.finish(None)

    monkeypatch.setattr(background.time, "sleep", sleep)
    seen(waiting, "yss + 1")
    assert not looks
    seen(waiting, "print(ys)")
    assert len(looks) == 1
    seen(waiting, "print(ys)")
    assert len(looks) == 1


def test_an_interrupt_ends_the_waiting_and_the_cell_does_not_run(monkeypatch):
    work, waiting = Background("cell 1", ("ys",)), Waiting()
    waiting.add(work)

    def sleep(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(background.time, "sleep", sleep)
    with pytest.raises(InputRejected, match="interrupted while waiting for ys, which cell 1"):
        seen(waiting, "ys")
    assert work.status == "running"


@pytest.mark.parametrize(
    ("error", "status"),
    [(None, "done"), (ValueError("x"), "failed"), (RunCancelled("x"), "cancelled")],
)
def test_how_it_ends(error, status):
    stopped = []
    work = Background("cell 1", ())
    work.follow(lambda: stopped.append(1), lambda: "value")
    with pytest.raises(TimeoutError, match="cell 1 is not over after 0 s; it goes on"):
        work.wait(0)
    work.cancel()
    work.finish(error)
    work.cancel()
    assert stopped == [1]
    assert (work.status, repr(work)) == (status, f"<cell 1: {status}>")
    if error is None:
        assert work.result() == "value"
    else:
        with pytest.raises(type(error)):
            work.result()
