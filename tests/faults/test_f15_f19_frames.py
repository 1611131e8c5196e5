"""F15 to F19: frames that were cut, changed, repeated or made by others; and who may connect at all."""

from __future__ import annotations

import marshal
import os
import random
import secrets
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from nbscale.comm.frame import Inbound, Outbound
from nbscale.engines.base import RunInfo
from nbscale.engines.local import pool as pools
from nbscale.errors import BadFrame
from nbscale.testing import leaks
from nbscale.testing.board import wait_until
from nbscale.testing.jobs import Results, plain, run, stage
from tests.engines.local.pooled import SLACK, Pooled, descriptors

pytestmark = pytest.mark.timeout(100)

KEY = secrets.token_bytes(32)
WAY = b"7>kernel"
PAYLOAD = marshal.dumps([("done", [("evil",)])])


@st.composite
def mutations(draw):
    """A frame that is not what was sent: changed, cut, longer, spliced, of another number or way."""
    out = Outbound(
        draw(st.sampled_from([KEY, b"k" * 32])), draw(st.sampled_from([WAY, b"kernel>7"]))
    )
    out._number = draw(st.sampled_from([0, 1, 1 << 40]))
    payload = draw(st.binary(max_size=200))
    frame = bytearray(out.seal(payload))
    kind = draw(st.sampled_from(["flip", "cut", "longer", "length", "splice", "none"]))
    if kind == "flip":
        frame[draw(st.integers(0, len(frame) - 1))] ^= draw(st.integers(1, 255))
    elif kind == "cut":
        del frame[draw(st.integers(0, len(frame) - 1)) :]
    elif kind == "longer":
        frame += draw(st.binary(min_size=1, max_size=50))
    elif kind == "length":
        frame[4:12] = draw(st.sampled_from([0, 1 << 31, 1 << 63, 2**64 - 1])).to_bytes(8, "little")
    elif kind == "splice":
        other = Outbound(KEY, WAY).seal(payload + b".")
        at = draw(st.integers(1, min(len(frame), len(other)) - 1))
        frame[at:] = other[at:]
    return bytes(frame), payload


@settings(max_examples=2000)
@given(mutations())
def test_f15_no_mutation_of_a_frame_is_opened(mutation):
    frame, payload = mutation
    into = Inbound(KEY, WAY)
    genuine = Outbound(KEY, WAY).seal(payload)
    if frame in (genuine, Outbound(KEY, WAY).seal(payload + b".")):  # nothing was changed
        assert bytes(into.open(frame)).startswith(payload)
    else:
        with pytest.raises(BadFrame):
            into.open(frame)
        assert bytes(into.open(genuine)) == payload  # what is refused costs nothing


class Between:
    """In the place of the pool's socket: spoils two of the first frames that go one way."""

    def __init__(self, socket, seed, kind, way):
        self._socket = socket
        self._chance = random.Random(seed)
        self._kind, self._way = kind, way
        self._again = []
        self.spoiled = 0

    def __getattr__(self, name):
        return getattr(self._socket, name)

    def recv_multipart(self, flags):
        if self._again:
            return self._again.pop()
        name, frame = self._socket.recv_multipart(flags)
        if self._way == "to the kernel":
            frames = self._spoil(frame)
            self._again = [[name, frame] for frame in frames[1:]]
            if not frames:
                return self.recv_multipart(flags)
            frame = frames[0]
        return [name, frame]

    def send_multipart(self, parts):
        name, frame = parts
        for sent in self._spoil(frame) if self._way == "to a worker" else [frame]:
            self._socket.send_multipart([name, sent])

    def _spoil(self, frame):
        """What arrives in the place of a frame."""
        if self.spoiled >= 2 or self._chance.random() > 0.5:
            return [frame]
        self.spoiled += 1
        if self._kind == "flip":
            at = self._chance.randrange(len(frame))
            return [frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]]
        if self._kind == "cut":
            return [frame[: self._chance.randrange(len(frame))]]
        if self._kind == "long":
            return [frame[:4] + (1 << 63).to_bytes(8, "little") + frame[12:]]
        return [frame, frame]


@pytest.mark.parametrize("way", ["to the kernel", "to a worker"])
@pytest.mark.parametrize("kind", ["flip", "cut", "long", "repeat"])
def test_f15_a_frame_that_is_spoiled_on_its_way_costs_its_worker_only(
    engine, monkeypatch, kind, way
):
    pool = engine.pool
    for seed in range(3):
        between = Between(pool._socket, seed, kind, way)
        with monkeypatch.context() as patch:
            patch.setattr(pool, "_socket", between)
            job = plain(stage(0, 300, lambda index: index[0] * 3, result=0))
            assert run(engine, job) == [3 * n for n in range(300)], seed
        engine.wait_ready()


def sealed(key, way, number, payload=PAYLOAD):
    out = Outbound(key, way)
    out._number = number
    return out.seal(payload)


class Stranger:
    """Somebody who connects to the pool's socket."""

    def __init__(self, pool, name=b"stranger"):
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.IDENTITY, name)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(pool._endpoint)

    def close(self):
        self.socket.close()
        self._context.term()


def test_f16_strangers_get_no_answer(engine):
    """No key, a wrong key, the key of a worker that is gone, a worker of another pool."""
    pool = engine.pool
    number, worker = next((n, w) for n, w in pool._workers.items() if w.ready)
    old_key = worker.outbound._key
    engine.pool.kill(number)
    engine.wait_ready()
    other = Pooled()
    other.scale(1)
    other.wait_ready(1)
    theirs = next(iter(other.pool._workers.values()))
    new = next(n for n in pool._workers)
    frames = [
        PAYLOAD,
        sealed(b"\0" * 32, b"%d>kernel" % new, 0),
        sealed(old_key, b"%d>kernel" % number, 0),
        sealed(old_key, b"%d>kernel" % new, 0),
        sealed(theirs.outbound._key, b"%d>kernel" % new, 0),
    ]
    before = pool.refused
    stranger = Stranger(pool)
    begun = time.monotonic()
    for frame in frames * 200:
        stranger.socket.send(frame)
    wait_until(lambda: pool.refused == before + 1000, "the frames to be refused")
    took = time.monotonic() - begun
    assert not stranger.socket.poll(0)
    assert took < 1.0 * SLACK  # a millisecond each
    stranger.close()
    other.close()


def test_f17_nothing_that_was_sent_is_taken_again(engine, monkeypatch):
    """1000 replays: at once, to another worker's way, and after their worker was replaced."""
    pool = engine.pool
    recorded = []
    take = Inbound.open

    def record(into, frame):
        payload = take(into, frame)
        recorded.append((into._way, bytes(frame)))
        return payload

    monkeypatch.setattr(Inbound, "open", record)
    while len(recorded) < 40:
        run(engine, plain(stage(0, 40, lambda index: index[0], result=0)))
    monkeypatch.undo()
    frames = [frame for _, frame in recorded[:40]]
    refused = pool.refused
    count = 0
    stranger = Stranger(pool, b"double")
    for round_ in range(2):
        for number in list(pool._workers):
            pool._names[b"double"] = number  # as if it could take a worker's name
            for frame in frames * 7:
                if count < (500 if round_ == 0 else 1000):
                    stranger.socket.send(frame)
                    count += 1
            wait_until(lambda sent=count: pool.refused == refused + sent, "the replays")
        del pool._names[b"double"]
        if round_ == 0:
            for number in list(pool._workers):
                engine.pool.kill(number)
            engine.wait_ready()
    assert count == 1000
    assert pool.refused == refused + 1000
    stranger.close()


def listeners():
    """Sockets of TCP and UDP that listen or are bound, by inode."""
    found = set()
    for table, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        path = Path(f"/proc/net/{table}")
        for line in path.read_text().splitlines()[1:] if path.exists() else []:
            fields = line.split()
            if fields[3] == state:
                found.add(f"socket:[{fields[9]}]")
    return found


def test_f18_nobody_listens_to_the_network(engine):
    """There is no mode that does: no setting, no argument, no listener while work goes on."""
    run(engine, plain(stage(0, 9, lambda index: index[0], result=0)))
    pids = [os.getpid(), *engine.pool.pids()]
    assert len(pids) == 4
    sockets = {target for pid in pids for target in descriptors(pid)}
    assert not sockets & listeners()
    assert engine.pool._endpoint.startswith("ipc://")
    # No file of ours names a transport that reaches further.
    home = Path(pools.__file__).parents[2]
    for path in home.rglob("*.py"):
        text = path.read_text()
        assert "tcp://" not in text.replace("tcp://…", "")
        assert "0.0.0.0" not in text


def test_f19_another_user_cannot_connect(engine):
    folder = Path(engine.pool._folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.stat().st_uid == os.getuid()
    assert not folder.is_symlink()
    if os.getuid() != 0:
        return  # the modes say it all; only root can become another to try
    text = (
        "import os, socket, sys\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "one = socket.socket(socket.AF_UNIX)\n"
        "try:\n    one.connect(sys.argv[1])\n"
        "except PermissionError:\n    sys.exit(7)\n"
    )
    done = subprocess.run([sys.executable, "-c", text, f"{folder}/s"], check=False)
    assert done.returncode == 7


def test_f19_a_link_in_the_place_of_the_folder_is_not_followed(engine, tmp_path, monkeypatch):
    """A folder with a guessed name is never used: each is made anew, by whoever starts the pool."""
    target = tmp_path / "theirs"
    target.mkdir()
    monkeypatch.setattr("tempfile._get_candidate_names", lambda: iter(["taken", "free"]))
    taken = Path(engine.pool._folder).parent / "nbs-taken"
    taken.symlink_to(target)
    try:
        other = Pooled()
        other.scale(1)
        other.wait_ready(1)
        assert other.pool._folder.endswith("nbs-free")
        other.close()
    finally:
        taken.unlink()
    assert not list(target.iterdir())


def test_f15_what_is_refused_is_not_kept(engine):
    pool = engine.pool
    stranger = Stranger(pool)
    frame = secrets.token_bytes(200_000)
    before, refused = leaks.allocated(), pool.refused
    for _ in range(200):  # 40 MB
        stranger.socket.send(frame)
    wait_until(lambda: pool.refused == refused + 200, "the frames")
    stranger.close()
    assert leaks.allocated() - before < 8 << 20
    results = Results()
    ticket = engine.run(
        plain(stage(0, 3, lambda index: 1, result=0)), info=RunInfo(1), deliver=results
    )
    ticket.wait()
    assert results.of(0) == [1, 1, 1]
