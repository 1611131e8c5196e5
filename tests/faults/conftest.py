"""A pool that every test of a fault gets whole and must leave whole: see ``holds``."""

from __future__ import annotations

import pytest

from nbscale import session
from nbscale.testing.board import Board
from tests.engines.local.pooled import Pooled
from tests.faults.holds import Whole


def pytest_collection_modifyitems(items):
    for item in items:
        if "/faults/" in str(item.path):
            for name in (
                "PytestUnhandledThreadExceptionWarning",
                "PytestUnraisableExceptionWarning",
            ):
                item.add_marker(pytest.mark.filterwarnings(f"error::pytest.{name}"))


_warm = set()


@pytest.fixture(scope="module")
def shared():
    """One pool for a whole file."""
    engine = Pooled()
    engine.scale(2)
    engine.start()
    yield engine
    engine.close()


@pytest.fixture
def engine(shared, monkeypatch, request):
    """The pool, which is also that of the session.

    ``warm_up`` of the file is called once, first: what libraries load at first use is not lost.
    """
    monkeypatch.setitem(session.current()._engines, "local", (shared, (None, None)))
    if request.module not in _warm:
        _warm.add(request.module)
        getattr(request.module, "warm_up", lambda: None)()
    before = Whole(shared)
    yield shared
    before.check()


@pytest.fixture
def board(tmp_path):
    return Board(tmp_path)
