from __future__ import annotations

import signal

import pytest

from benchmarks.pools import starting
from benchmarks.registry import Missing


def test_a_peer_that_does_not_start_is_missing_and_says_why():
    with (
        pytest.raises(Missing, match=r"^them does not start: OSError: no memory$"),
        starting("them"),
    ):
        raise OSError("no memory")


def test_a_peer_that_says_nothing_is_missing():
    with pytest.raises(Missing, match="TimeoutError: no answer"), starting("them"):
        signal.raise_signal(signal.SIGALRM)


def test_our_own_pool_has_to_start():
    with pytest.raises(OSError, match="no memory"), starting("nbscale"):
        raise OSError("no memory")


def test_a_library_that_is_not_installed_is_named():
    with pytest.raises(ImportError), starting("them"):
        import a_library_nobody_has  # noqa: F401


def test_the_alarm_is_off_afterwards():
    before = signal.getsignal(signal.SIGALRM)
    with starting("them"):
        assert signal.getsignal(signal.SIGALRM) != before
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.alarm(0) == 0
