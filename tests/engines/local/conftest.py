"""One pool for each file, and a board."""

from __future__ import annotations

import pytest

from nbscale.testing.board import Board
from tests.engines.local.pooled import Pooled


@pytest.fixture(scope="module")
def shared():
    """One pool for a whole file."""
    engine = Pooled()
    engine.scale(2)
    engine.start()
    yield engine
    engine.close()


@pytest.fixture
def engine(shared):
    """The pool of the file, found as it was left: whole."""
    shared.wait_ready()
    return shared


@pytest.fixture
def board(tmp_path):
    return Board(tmp_path)
