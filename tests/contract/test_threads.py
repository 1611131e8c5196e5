"""The engine ``threads`` keeps the contract."""

from __future__ import annotations

from nbscale.engines.base import load_engine
from nbscale.testing.engines import InKernelTests


class TestThreads(InKernelTests):
    share = 4

    def make_engine(self):
        return load_engine("threads")
