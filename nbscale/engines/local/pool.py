"""The processes of the pool: the zygote, the workers, and the sockets to them.

::

    kernel ── ROUTER/DEALER over ipc:// in a folder of mode 0700: signed frames ── worker
       ├───── a socket pair: commands, and the kernel's life ── zygote ── forks ──┘
       └───── a socket pair to each worker: descriptors of shared memory

Everything here happens on the loop's thread. The pool knows no tasks: it starts, stops and names
processes, and passes messages on.
"""

from __future__ import annotations

import contextlib
import errno
import json
import marshal
import mmap
import os
import resource
import secrets
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq

from nbscale.comm import descriptors
from nbscale.comm.frame import Inbound, Outbound
from nbscale.engines.local.worker import AT, HEED, PAGE, ways
from nbscale.engines.loop import Loop
from nbscale.errors import BadFrame, EngineError

__all__ = ["Pool"]

_NUMBER = struct.Struct("<Q")

_FULL = (errno.EAGAIN, errno.ENOBUFS, errno.ETOOMANYREFS)
"""There is no room for more descriptors until the worker has taken some."""

_DYING = 1.0
"""Seconds that killed processes are waited for."""

_MOST_DESCRIPTORS = 1 << 16

_AGAIN = 0.002
"""Seconds until what there was no room for is sent again."""

_HEAVY = ("numpy", "pandas", "pyarrow", "scipy", "sklearn")

_ENVIRONMENT = {
    # One inner thread a task, and a zygote with one thread: more could not be forked.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "MALLOC_ARENA_MAX": "2",
    # joblib in a task works in that task: its processes would be as many again for each worker.
    "JOBLIB_MULTIPROCESSING": "0",
}

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from nbscale.engines.local.zygote import main; main(int(sys.argv[1]))"
)


class _Worker:
    __slots__ = (
        "at",
        "backlog",
        "doomed",
        "greeted",
        "identity",
        "inbound",
        "line",
        "outbound",
        "pid",
        "pidfd",
        "ready",
        "segments",
    )

    def __init__(self, number: int, key: bytes, line: socket.socket, at: mmap.mmap) -> None:
        into, out = ways(number)
        self.outbound, self.inbound = Outbound(key, into), Inbound(key, out)
        # Nobody else can guess it and take its place before it comes; ZeroMQ keeps those with 0.
        self.identity = b"w" + secrets.token_bytes(15)
        self.line = line
        self.at = at
        self.backlog: dict[int, int] = {}  # descriptors for which the line had no room
        self.doomed = False  # it was told to die
        self.pid = 0
        self.pidfd = -1
        self.greeted = self.ready = False
        self.segments: set[int] = set()

    def close(self) -> None:
        self.line.close()
        self.at.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)


class Pool:
    """Processes and the way to them.

    Parameters
    ----------
    loop
        Whose thread everything happens on.
    joined, left, heard, broken
        Called with the number of a worker that is ready; with that of one that died and its exit
        code, negative for a signal; with a number and its messages; with an error when the zygote
        has died or cannot be started.

    Attributes
    ----------
    refused
        How many frames were dropped because they were not what was sent.
    """

    def __init__(
        self,
        loop: Loop,
        joined: Callable[[int], None],
        left: Callable[[int, int], None],
        heard: Callable[[int, list[Any]], None],
        broken: Callable[[BaseException], None],
    ) -> None:
        self._loop = loop
        self._joined, self._left, self._heard, self._broken = joined, left, heard, broken
        self._workers: dict[int, _Worker] = {}
        self._names: dict[bytes, int] = {}
        self._numbers = 0
        self._zygote: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._context: zmq.Context[Any] | None = None
        self._socket: Any = None
        self._folder = ""
        self.refused = 0
        _pools.add(self)

    # Processes ------------------------------------------------------------------------------

    @property
    def starting(self) -> int:
        """How many workers will be ready soon."""
        return sum(not (worker.ready or worker.doomed) for worker in self._workers.values())

    @property
    def numbers(self) -> list[int]:
        """The workers there are, those that are starting included, those told to die not."""
        return [number for number, worker in self._workers.items() if not worker.doomed]

    def pids(self) -> list[int]:
        """Process numbers of the zygote and the workers."""
        zygote = [] if self._zygote is None else [self._zygote.pid]
        return zygote + [worker.pid for worker in self._workers.values() if worker.pid]

    def start(self) -> None:
        """Start the zygote; does nothing if it runs."""
        if self._zygote is not None:
            return
        _allow_descriptors()
        self._folder = tempfile.mkdtemp(prefix="nbs-")  # of mode 0700; 107 bytes at most
        self._context = zmq.Context(io_threads=1)
        self._socket = self._context.socket(zmq.ROUTER)
        for option in (zmq.SNDHWM, zmq.RCVHWM, zmq.LINGER):
            self._socket.setsockopt(option, 0)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._endpoint = f"ipc://{self._folder}/s"
        self._socket.bind(self._endpoint)
        self._line, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._zygote = subprocess.Popen(  # noqa: S603 - this Python, and a text of ours
                [sys.executable, "-c", _START, str(other.fileno()), json.dumps(sys.path)],
                env=os.environ | _ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
                start_new_session=True,
            )
        except (OSError, TypeError) as error:  # the latter where Python is a part of a program
            self.close()
            raise EngineError(f"the pool of processes cannot be started: {error}") from error
        finally:
            other.close()
        mine = [name for name in sys.modules if name.partition(".")[0] == "nbscale"]
        imports = [name for name in _HEAVY if name in sys.modules] + mine
        with contextlib.suppress(OSError):  # if it has ended, that will be heard
            self._line.send(json.dumps({"imports": imports, "folder": self._folder}).encode())
        self._loop.watch(self._line.fileno(), self._hear_zygote)
        self._loop.watch(self._socket, self._hear_workers)

    def fork(self) -> int:
        """Have a worker forked and return its number; it is ready when it says so."""
        self.start()
        assert self._line is not None
        number, key = self._numbers, secrets.token_bytes(32)
        self._numbers += 1
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        at = os.memfd_create("nbscale", os.MFD_CLOEXEC)
        os.ftruncate(at, PAGE)
        worker = self._workers[number] = _Worker(number, key, mine, mmap.mmap(at, PAGE))
        self._names[worker.identity] = number
        settings = {
            "number": number,
            "key": key.hex(),
            "identity": worker.identity.hex(),
            "endpoint": self._endpoint,
        }
        try:
            message = json.dumps({"fork": settings}).encode()
            descriptors.send(self._line, message, [its.fileno(), at])
        except OSError:
            self._loop.post(self._hear_zygote)  # it is gone
        finally:
            its.close()
            os.close(at)
        return number

    def abandon(self) -> None:
        """End everything, because nothing comes; that is told as the end of the zygote."""
        if self._zygote is not None:
            self._zygote.kill()

    def state(self, number: int) -> str:
        """What the system says of a worker: T when a signal has stopped it, Z or '' when dead."""
        worker = self._workers.get(number)
        if worker is None:
            return ""
        try:
            text = Path(f"/proc/{worker.pid}/stat").read_text(errors="replace")
        except OSError:
            return ""
        return text[text.rindex(")") + 2 :][:1]

    def at(self, number: int) -> tuple[int, int]:
        """Stage and task that a worker was at when it was last seen, dead or alive."""
        worker = self._workers.get(number)
        return (-1, -1) if worker is None else AT.unpack_from(worker.at)

    def interrupt(self, number: int) -> None:
        """Make a worker look at its messages, all that were sent until now."""
        worker = self._workers.get(number)
        if worker is not None:
            HEED.pack_into(worker.at, AT.size, worker.outbound.count)
        self._signal(number, signal.SIGINT)

    def kill(self, number: int) -> None:
        """End a worker; it has left when its death is told."""
        worker = self._workers.get(number)
        if worker is not None:
            worker.doomed = True
            self._signal(number, signal.SIGKILL)

    def _signal(self, number: int, what: signal.Signals) -> None:
        worker = self._workers.get(number)
        if worker is not None and worker.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(worker.pidfd, what)

    def close(self) -> None:
        """End all processes and give everything back."""
        zygote, line = self._zygote, self._line
        self._zygote = self._line = None
        workers = list(self._workers.values())
        for number in list(self._workers):
            self.kill(number)
        self._workers.clear()
        self._names.clear()
        if line is not None:
            self._loop.unwatch(line.fileno())
            line.close()
        if self._socket is not None:
            self._loop.unwatch(self._socket)
            self._socket.close(0)
            self._socket = None
        if zygote is not None:
            zygote.kill()  # its children are killed as their parent ends
            zygote.wait()
        end = time.monotonic() + _DYING
        for worker in workers:
            if worker.pidfd >= 0:
                rest = max(0.0, end - time.monotonic())
                _wait_readable(worker.pidfd, rest)  # readable when it is dead
            worker.close()
        if self._context is not None:
            self._context.term()
            self._context = None
        shutil.rmtree(self._folder, ignore_errors=True)

    # Messages -------------------------------------------------------------------------------

    def send(self, number: int, messages: list[Any]) -> None:
        """Send a worker messages, in one frame. To one that is gone: nothing."""
        worker = self._workers.get(number)
        if worker is None:
            return
        frame = worker.outbound.seal(marshal.dumps(messages))
        with contextlib.suppress(zmq.ZMQError):  # its death is told by the zygote
            self._socket.send_multipart([worker.identity, frame])

    def show(self, number: int, segment: int, fd: int) -> None:
        """Give a worker the descriptor of a segment, before a message that names it."""
        worker = self._workers.get(number)
        if worker is not None and segment not in worker.segments:
            worker.segments.add(segment)
            idle = not worker.backlog
            worker.backlog[segment] = fd
            if idle:
                self._push(number)

    def _push(self, number: int) -> None:
        """Send descriptors that were not sent yet, as many as there is room for.

        This thread never waits for a worker, which may be frozen or at a long task. The worker
        does wait: a message that names a segment may come before its descriptor.
        """
        worker = self._workers.get(number)
        if worker is None:
            return
        backlog = worker.backlog
        while backlog:
            segment, fd = next(iter(backlog.items()))
            try:
                message = _NUMBER.pack(segment)
                descriptors.send(worker.line, message, [fd], socket.MSG_DONTWAIT)
            except (BrokenPipeError, ConnectionResetError):
                backlog.clear()  # its death is told by the zygote
                return
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                self._loop.after(_AGAIN, self._push, number)
                return
            del backlog[segment]

    def forget(self, segment: int) -> list[int]:
        """Workers that know a segment, which is no more."""
        known = [n for n, worker in self._workers.items() if segment in worker.segments]
        for number in known:
            self._workers[number].segments.discard(segment)
            self._workers[number].backlog.pop(segment, None)
        return known

    def receive(self, number: int) -> tuple[int, int]:
        """The number and descriptor of a segment that a worker has made, as it says."""
        line = self._workers[number].line
        data, fds = descriptors.receive(line, _NUMBER.size, 1, wait=False)
        return _NUMBER.unpack(data)[0], fds[0]

    def _hear_workers(self) -> None:
        """Pass on what is there; for later messages others get their turn first."""
        for _ in range(64):
            try:
                name, frame = self._socket.recv_multipart(zmq.NOBLOCK)
                number = self._names[name]
            except zmq.Again:
                return
            except (ValueError, KeyError):
                self.refused += 1
                continue
            worker = self._workers[number]
            try:
                messages = marshal.loads(worker.inbound.open(frame))  # noqa: S302 - it was signed
            except BadFrame:
                self.refused += 1
                continue
            if messages[0][0] == "hello":
                worker.greeted = True
                self._welcome(number, worker)
            else:
                self._heard(number, messages)
            if self._socket is None:
                return

    def _welcome(self, number: int, worker: _Worker) -> None:
        """It works when it can be talked to and can be stopped, whichever was told first."""
        if worker.greeted and worker.pidfd >= 0:
            worker.ready = True
            self._joined(number)

    def _hear_zygote(self) -> None:
        if self._line is None:
            return
        try:
            data, fds = descriptors.receive(self._line, 1 << 16, 1, wait=False)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            code = self._zygote.wait() if self._zygote is not None else 0
            self.close()
            self._broken(EngineError(f"the process that forks workers ended with code {code}"))
            return
        message = json.loads(data)
        if "forked" in message:
            worker = self._workers.get(message["forked"])
            if worker is None:
                os.close(fds[0])
                return
            worker.pid, worker.pidfd = message["pid"], fds[0]
            if worker.doomed:
                self.kill(message["forked"])
            self._welcome(message["forked"], worker)
        elif "died" in message:
            number = message["died"]
            self._hear_workers()  # what it said before it died counts
            gone = self._workers.get(number)
            if gone is not None:
                gone.doomed = True
                self._left(number, message["code"])
                if self._workers.pop(number, None) is not None:
                    del self._names[gone.identity]
                    gone.close()


def _allow_descriptors() -> None:
    """Let this process, and those it starts, have as many descriptors as it may.

    Each large value in shared memory takes two. The usual limit of 1024 is meant for programs that
    wait with ``select``.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _wait_readable(fd: int, seconds: float) -> None:
    poll = select.poll()  # `select.select` takes no descriptor above 1023
    poll.register(fd, select.POLLIN)
    poll.poll(1000 * seconds)


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _forget() -> None:
    """In a forked child: let go of the life-lines, and of nothing else."""
    for pool in _pools:
        if pool._line is not None:  # noqa: SLF001 - of this module
            pool._line.close()  # noqa: SLF001
        for worker in pool._workers.values():  # noqa: SLF001
            worker.close()


os.register_at_fork(after_in_child=_forget)
