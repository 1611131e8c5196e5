"""The engine ``local`` keeps the contract."""

from __future__ import annotations

from nbscale.engines.local import LocalEngine
from nbscale.testing.engines import EngineTests


class TestLocal(EngineTests):
    def make_engine(self):
        return LocalEngine()
