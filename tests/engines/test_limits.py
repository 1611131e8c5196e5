"""Cores and bytes: the least of what the machine, its containers and limits allow."""

from __future__ import annotations

import os

import pytest

from nbscale import config
from nbscale.engines import limits

PHYSICAL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def machine(monkeypatch):
    """Eight cores and no rlimits."""
    monkeypatch.setattr(limits, "_affinity", lambda: 8)
    monkeypatch.setattr(limits, "_rlimits", list)


def put(root, path, text):
    path = root / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_groups_the_machine_counts(machine, tmp_path):
    assert limits.cores(tmp_path) == 8
    assert limits.memory(tmp_path) == PHYSICAL


def test_version_two_every_level_upwards_counts(machine, tmp_path):
    put(tmp_path, "proc/self/cgroup", "0::/user/session\n")
    put(tmp_path, "sys/fs/cgroup/user/session/memory.max", "max\n")
    put(tmp_path, "sys/fs/cgroup/user/memory.max", "1000000\n")
    put(tmp_path, "sys/fs/cgroup/user/session/cpu.max", "max 100000\n")
    put(tmp_path, "sys/fs/cgroup/user/cpu.max", "250000 100000\n")
    assert limits.memory(tmp_path) == 1_000_000
    assert limits.cores(tmp_path) == 3


def test_version_one(machine, tmp_path):
    put(tmp_path, "proc/self/cgroup", "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n")
    put(tmp_path, "sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000\n")
    put(tmp_path, "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "50000\n")
    put(tmp_path, "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n")
    assert limits.memory(tmp_path) == 2_000_000
    assert limits.cores(tmp_path) == 1


def test_version_one_without_limits(machine, tmp_path):
    put(tmp_path, "proc/self/cgroup", "4:memory:/\n3:cpu:/\n")
    put(tmp_path, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    put(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    assert limits.memory(tmp_path) == PHYSICAL
    assert limits.cores(tmp_path) == 8


def test_rlimits_count(machine, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "_rlimits", lambda: [5000, 3000])
    assert limits.memory(tmp_path) == 3000


def test_settings_come_first():
    with config.set(memory_limit="1 MB", n_workers=3):
        assert limits.budget() == 1_000_000
        assert limits.workers() == 3
    assert 0 < limits.budget() < PHYSICAL
    assert 1 <= limits.workers() <= (os.cpu_count() or 1)
