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


MEMINFO = "MemTotal:        8000000 kB\nMemFree:          200000 kB\nMemAvailable:    5000000 kB\n"
MB = 1_000_000


def group(root, path, **files):
    for name, text in files.items():
        put(root, f"sys/fs/cgroup/{path}/memory.{name}".replace("//", "/"), f"{text}\n")


def recorded(root, name):
    """Files as they are where programs run."""
    if name == "a container, version 2":
        put(root, "proc/self/cgroup", "0::/\n")
        stat = "anon 700000000\nfile 300000000\ninactive_file 200000000\nactive_file 100000000"
        group(root, "", max=2000 * MB, current=1000 * MB, stat=stat, events="low 0\noom_kill 2")
        return 2000 - (1000 - 200)
    if name == "a container, version 1":
        path = "/docker/0123"  # of the host: it is not there inside
        put(root, "proc/self/cgroup", f"9:name=systemd:{path}\n4:memory:{path}\n0::/system.slice\n")
        stat = "inactive_file 7\ntotal_inactive_file 300000000\ntotal_active_file 5"
        group(root, "memory", limit_in_bytes=3000 * MB, usage_in_bytes=1200 * MB, stat=stat)
        group(root, "memory", oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 3")
        return 3000 - (1200 - 300)
    if name == "a pod":
        put(root, "proc/self/cgroup", "0::/kubepods/pod1/jupyter\n")
        group(root, "kubepods/pod1/jupyter", max="max", current=500 * MB, stat="inactive_file 0")
        stat = "inactive_file 100000000"
        group(root, "kubepods/pod1", max=1500 * MB, current=900 * MB, stat=stat)
        group(root, "kubepods", max=9000 * MB, current=8800 * MB, stat="inactive_file 0")
        return 9000 - 8800  # others are many there
    put(root, "proc/self/cgroup", "0::/user.slice/session-2.scope\n")
    group(root, "user.slice/session-2.scope", max="max", current=5, stat="inactive_file 0")
    return 5000 * 1.024  # what the machine has left


KINDS = ["a container, version 2", "a container, version 1", "a pod", "a desktop"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_others_use_is_not_ours(tmp_path, kind):
    left = recorded(tmp_path, kind)
    put(tmp_path, "proc/meminfo", MEMINFO)
    ours = 100 * MB
    expected = ours + left * MB * 0.9
    assert limits.room(6000 * MB, ours, tmp_path) == pytest.approx(max(expected, 750 * MB))
    assert limits.room(100 * MB, ours, tmp_path) == 100 * MB  # the budget, and no more


def test_it_is_read_again(tmp_path):
    recorded(tmp_path, "a container, version 2")
    before = limits.room(6000 * MB, 0, tmp_path)
    group(tmp_path, "", current=400 * MB)
    assert limits.room(6000 * MB, 0, tmp_path) == before + 600 * MB * 0.9


def test_some_is_there_whatever_is_told(tmp_path):
    recorded(tmp_path, "a container, version 2")
    group(tmp_path, "", current=2300 * MB)
    assert limits.room(800 * MB, 0, tmp_path) == 100 * MB


def test_where_nothing_is_told_the_budget_counts(tmp_path):
    assert limits.room(800 * MB, 5, tmp_path) == 800 * MB
    assert limits.oom_kills(tmp_path) == 0


@pytest.mark.parametrize(("kind", "kills"), [(KINDS[0], 2), (KINDS[1], 3), (KINDS[2], 0)])
def test_ends_for_want_of_memory_are_counted(tmp_path, kind, kills):
    recorded(tmp_path, kind)
    assert limits.oom_kills(tmp_path) == kills
    put(tmp_path, "proc/vmstat", "nr_free_pages 1\noom_kill 4\n")
    assert limits.oom_kills(tmp_path) == kills + 4


def test_settings_come_first():
    with config.set(memory_limit="1 MB", n_workers=3):
        assert limits.budget() == 1_000_000
        assert limits.workers() == 3
    assert 0 < limits.budget() < PHYSICAL
    assert 1 <= limits.workers() <= (os.cpu_count() or 1)
