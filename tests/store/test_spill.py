"""Values on disk: what comes back is what was written, or an error; no file has a name."""

from __future__ import annotations

import os
import random
import resource
from pathlib import Path

import pytest

from nbscale import config
from nbscale.errors import SpillFull
from nbscale.store import spill as spills
from nbscale.store.spill import (
    Spill,
    SpillDamaged,
    SpillStopped,
    find_folder,
    is_in_memory,
)

MOUNTS = r"""
21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
25 21 0:23 / /dev/shm rw,relatime - tmpfs tmpfs rw,size=24684084k
30 21 0:30 / /tmp rw,nosuid shared:1 - tmpfs tmpfs rw
31 30 8:1 / /tmp/big\040disk rw shared:2 master:1 - xfs /dev/sdb rw
32 21 8:2 / /data rw - ext4 /dev/sdc rw
33 32 0:31 / /data rw - tmpfs tmpfs rw
"""


def read(file):
    there = bytearray(file.nbytes)
    file.read_into(memoryview(there))
    return bytes(there)


@pytest.mark.parametrize("nbytes", [0, 1, 1 << 16, (4 << 20) + 1, 9 << 20])
def test_what_was_written_comes_back(tmp_path, nbytes):
    data = random.Random(nbytes).randbytes(nbytes)
    file = Spill(tmp_path).write(memoryview(data))
    assert file.nbytes == nbytes
    assert read(file) == read(file) == data
    assert not list(tmp_path.iterdir())


def test_a_disk_that_knows_no_files_without_names(tmp_path, monkeypatch):
    opened = os.open

    def no(path, flags, *args, **kw):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(95, "Operation not supported")
        return opened(path, flags, *args, **kw)

    monkeypatch.setattr(os, "open", no)
    assert read(Spill(tmp_path).write(memoryview(b"hello"))) == b"hello"
    assert not list(tmp_path.iterdir())


def test_every_flip_of_a_bit_is_found(tmp_path):
    chance = random.Random(0)
    data = chance.randbytes(300_000)
    file = Spill(tmp_path).write(memoryview(data))
    for _ in range(200):
        at = chance.randrange(len(data))
        os.pwrite(file._fd, bytes([data[at] ^ 1 << chance.randrange(8)]), at)
        with pytest.raises(SpillDamaged, match="are not what was written"):
            read(file)
        os.pwrite(file._fd, data[at : at + 1], at)
    assert read(file) == data


@pytest.mark.parametrize("left", [0, 1, 299_999])
def test_a_file_that_was_cut_is_found(tmp_path, left):
    file = Spill(tmp_path).write(memoryview(os.urandom(300_000)))
    os.ftruncate(file._fd, left)
    with pytest.raises(SpillDamaged, match=f"ends at byte {left}"):
        read(file)


def test_there_is_not_so_much_room(tmp_path, monkeypatch):
    monkeypatch.setattr(Spill, "free", lambda self: 2)
    with pytest.raises(SpillFull, match=r"needs 3 B, has 2 B\. Make room"):
        Spill(tmp_path).write(memoryview(b"abc"))


def test_the_room_ends_while_it_is_written(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5 << 20, before[1]))
    try:
        with pytest.raises(SpillFull, match=r"needs 9\.44 MB"):
            Spill(tmp_path).write(memoryview(bytes(9 << 20)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_what_nobody_wants_any_more_is_stopped(tmp_path):
    asked = []

    def wanted():
        asked.append(1)
        return len(asked) < 2

    with pytest.raises(SpillStopped):
        Spill(tmp_path).write(memoryview(bytes(20 << 20)), wanted)
    file = Spill(tmp_path).write(memoryview(b"hello"))
    with pytest.raises(SpillStopped):
        file.read_into(memoryview(bytearray(5)), lambda: False)


@pytest.mark.parametrize(
    ("folder", "in_memory"),
    [
        ("/var/tmp", False),
        ("/tmp", True),
        ("/tmp/some", True),
        ("/tmp/big disk/x", False),
        ("/tmpx", False),
        ("/dev/shm", True),
        ("/data/x", True),  # the later of two at one place
    ],
)
def test_what_lies_in_memory(tmp_path, folder, in_memory):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert is_in_memory(Path(folder), mounts) == in_memory


def test_the_first_folder_on_a_disk_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(spills, "is_in_memory", lambda folder: folder != Path.cwd())
    monkeypatch.chdir(tmp_path)
    assert find_folder() == tmp_path
    monkeypatch.setattr(spills, "is_in_memory", lambda folder: True)
    assert find_folder() is None


def test_the_setting(tmp_path):
    with config.set(spill_folder=str(tmp_path)):
        assert find_folder(config.get().spill_folder) == tmp_path
    with pytest.raises(ValueError, match="spill_folder must be a folder that can be written to"):
        config.set(spill_folder=str(tmp_path / "none"))
