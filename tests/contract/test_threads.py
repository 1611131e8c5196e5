"""The engine ``threads`` keeps the contract."""

from __future__ import annotations

from nbscale.engines.base import load_engine
from nbscale.testing.engines import EngineTests


class TestThreads(EngineTests):
    share = 4

    def make_engine(self):
        return load_engine("threads")
