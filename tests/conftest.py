"""What every test starts from: fixed settings, whatever the environment of the developer says."""

from __future__ import annotations

import signal
import threading

import pytest
from hypothesis import settings

from nbscale import config
from tests import pools

# Shells have what they start in the background ignore interrupts, and so would the tests of them.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A machine under load is slow, which is no defect; a failing example is printed to be replayed.
settings.register_profile("nbscale", deadline=None, print_blob=True)
settings.load_profile("nbscale")


@pytest.fixture(autouse=True)
def default_settings(monkeypatch):
    """Give the test the default settings, and take back what it sets."""
    monkeypatch.setattr(config, "_current", config.Settings())


@pytest.fixture(autouse=True)
def nothing_is_left_over(default_settings, request):
    """Check after each test that it left nothing behind, and that the pools that live work."""
    before = pools.Before()
    yield
    before.check(logs="caplog" not in request.fixturenames)  # those look at what is logged
