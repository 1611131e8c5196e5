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
import tempfile
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq

from nbscale.comm import descriptors
from nbscale.comm.frame import Inbound, Outbound
from nbscale.engines.local.forkserver import ForkServer, heavy
from nbscale.engines.local.terms import AT, HEED, PAGE, WAITS, ways
from nbscale.engines.loop import Loop
from nbscale.errors import BadFrame, EngineError, OldFrame

__all__ = ["Pool"]

_NUMBER = struct.Struct("<Q")

_FULL = (errno.EAGAIN, errno.ENOBUFS, errno.ETOOMANYREFS)
"""There is no room for more descriptors until the worker has taken some."""

_DYING = 1.0
"""Seconds that killed processes are waited for."""

_MOST_DESCRIPTORS = 1 << 16

_LEAST_DESCRIPTORS = 32
"""With fewer a pool does not start."""

_AGAIN = 0.002
"""Seconds until what there was no room for is sent again."""


class _Worker:
    __slots__ = (
        "at",
        "backlog",
        "doomed",
        "greeted",
        "identity",
        "inbound",
        "line",
        "number",
        "outbound",
        "pid",
        "pidfd",
        "ready",
        "segments",
        "server",
    )

    def __init__(
        self, number: int, key: bytes, line: socket.socket, at: mmap.mmap, server: ForkServer
    ) -> None:
        self.number = number
        into, out = ways(number)
        self.outbound, self.inbound = Outbound(key, into), Inbound(key, out)
        # Nobody else can guess it and take its place before it comes; ZeroMQ keeps those with 0.
        self.identity = b"w" + secrets.token_bytes(15)
        self.line = line
        self.at = at
        self.server = server
        self.backlog: dict[int, int] = {}  # descriptors for which the line had no room
        self.doomed = False  # it was told to die
        self.pid = 0
        self.pidfd = -1
        self.greeted = self.ready = False
        self.segments: set[int] = set()

    @property
    def place(self) -> tuple[int, int]:
        """Stage and task that it has begun last."""
        return AT.unpack_from(self.at)

    def close(self) -> None:
        self.line.close()
        self.at.close()
        pidfd, self.pidfd = self.pidfd, -1  # a forked child may fork, and would close another's
        if pidfd >= 0:
            os.close(pidfd)


class Pool:
    """Processes and the way to them.

    Parameters
    ----------
    loop
        Whose thread everything happens on.
    joined, left, heard, broken, renewed, distrusted
        Called with the number of a worker that is ready; with that of one that died and its exit
        code, negative for a signal; with a number and its messages; with an error when the zygote
        has died; when there is a new zygote; with the number of a worker whose frames are not what
        it sent.

    Attributes
    ----------
    refused
        How many frames were dropped because they were not what was sent.
    failure
        Why the last worker that was told of could not even be forked, or ''.
    """

    def __init__(
        self,
        loop: Loop,
        joined: Callable[[int], None],
        left: Callable[[int, int], None],
        heard: Callable[[int, list[Any]], None],
        broken: Callable[[BaseException], None],
        renewed: Callable[[], None],
        distrusted: Callable[[int], None],
    ) -> None:
        self._loop = loop
        self._joined, self._left, self._heard, self._broken = joined, left, heard, broken
        self._renewed, self._distrusted = renewed, distrusted
        self._workers: dict[int, _Worker] = {}
        self._names: dict[bytes, int] = {}
        self._numbers = 0
        self._server: ForkServer | None = None
        self._coming: ForkServer | None = None  # still at its imports
        self._outdated: list[ForkServer] = []  # those whose last workers are still at work
        self._renewable = True
        self._context: zmq.Context[Any] | None = None
        self._socket: Any = None
        self._folder = ""
        self._ends: dict[int, tuple[int, int] | None] = {}  # what they were at when all was closed
        self.refused = 0
        self.failure = ""  # why no process could be forked
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
        """Process numbers of the zygotes and the workers."""
        zygotes = [server.pid for server in self._servers()]
        return zygotes + [worker.pid for worker in self._workers.values() if worker.pid]

    def _servers(self) -> list[ForkServer]:
        return [s for s in (self._server, self._coming, *self._outdated) if s is not None]

    def start(self) -> None:
        """Start the zygote; does nothing if it runs."""
        if self._server is not None:
            return
        _allow_descriptors()
        _require_descriptors()
        self._renewable = True
        self._folder = tempfile.mkdtemp(prefix="nbs-")  # of mode 0700; 107 bytes at most
        self._context = zmq.Context(io_threads=1)
        self._socket = self._context.socket(zmq.ROUTER)
        for option in (zmq.SNDHWM, zmq.RCVHWM, zmq.LINGER):
            self._socket.setsockopt(option, 0)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._endpoint = f"ipc://{self._folder}/s"
        self._socket.bind(self._endpoint)
        try:
            self._server = self._new_server()
        except EngineError:
            self.close()
            raise
        self._loop.watch(self._socket, self._hear_workers)

    def _new_server(self) -> ForkServer:
        return ForkServer(self._loop, self._folder, self._hear_server, self._server_ended)

    def renew(self) -> None:
        """Start a new zygote if the kernel has imported a heavy package since this one began.

        It takes the place of the old one when it has done its imports, which is told. Until then
        everything goes on as it was.
        """
        server = self._server
        if server is None or self._coming is not None or not self._renewable:
            return
        if heavy() - server.imports:
            try:
                self._coming = self._new_server()
            except EngineError:
                self._renewable = False  # the one there is will do

    def is_outdated(self, number: int) -> bool:
        """Whether a worker came from an old zygote."""
        worker = self._workers.get(number)
        return worker is not None and worker.server is not self._server

    def fork(self) -> int:
        """Have a worker forked and return its number; it is ready when it says so."""
        self.start()
        assert self._server is not None
        number, key = self._numbers, secrets.token_bytes(32)
        self._numbers += 1
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        at = os.memfd_create("nbscale", os.MFD_CLOEXEC)
        os.ftruncate(at, PAGE)
        server, page = self._server, mmap.mmap(at, PAGE)
        worker = self._workers[number] = _Worker(number, key, mine, page, server)
        self._names[worker.identity] = number
        settings = {
            "number": number,
            "key": key.hex(),
            "identity": worker.identity.hex(),
            "endpoint": self._endpoint,
        }
        server.fork(settings, [its.fileno(), at])
        its.close()
        os.close(at)
        return number

    def abandon(self) -> None:
        """End everything, because nothing comes; that is told as the end of the zygote."""
        for server in self._servers():
            server.kill()

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

    def own(self, number: int) -> int:
        """Bytes of memory that a worker does not share; 0 if it is gone."""
        worker = self._workers.get(number)
        if worker is None or not worker.pid:
            return 0
        try:
            pages = Path(f"/proc/{worker.pid}/statm").read_text().split()
        except OSError:
            return 0
        return (int(pages[1]) - int(pages[2])) * mmap.PAGESIZE

    def at(self, number: int) -> tuple[int, int] | None:
        """Stage and task that a worker has begun last, dead or alive; None if that is not known."""
        worker = self._workers.get(number)
        return self._ends.get(number, (-1, -1)) if worker is None else worker.place

    def waits(self, number: int) -> bool:
        """Whether a worker says that it waits for work."""
        worker = self._workers.get(number)
        return worker is not None and worker.at[WAITS] == 1

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
            if worker.pidfd >= 0 and not _wait_readable(worker.pidfd, 0):
                # While it lives, its number is its group's: what its tasks have started ends with it.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(worker.pid, signal.SIGKILL)
            self._signal(number, signal.SIGKILL)

    def _signal(self, number: int, what: signal.Signals) -> None:
        worker = self._workers.get(number)
        if worker is not None and worker.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(worker.pidfd, what)

    def close(self) -> None:
        """End all processes and give everything back."""
        servers = self._servers()
        self._ends.clear()
        self._server = self._coming = None
        self._outdated.clear()
        workers = list(self._workers.values())
        for number in list(self._workers):
            self.kill(number)
        self._workers.clear()
        self._names.clear()
        if self._socket is not None:
            self._loop.unwatch(self._socket)
            self._socket.close(0)
            self._socket = None
        for server in servers:
            server.close()  # its children are killed as their parent ends
        end = time.monotonic() + _DYING
        for worker in workers:
            dead = False
            if worker.pidfd >= 0:
                rest = max(0.0, end - time.monotonic())
                dead = _wait_readable(worker.pidfd, rest)  # readable when it is dead
            if worker.ready:
                self._ends[worker.number] = worker.place if dead else None
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
                worker = self._workers[number]
            except zmq.Again:
                return
            except (ValueError, KeyError):
                self.refused += 1
                continue
            try:
                messages = marshal.loads(worker.inbound.open(frame))  # noqa: S302 - it was signed
            except OldFrame:
                self.refused += 1
                continue
            except BadFrame:
                # It came over the worker's own connection: what the worker did say is lost, and
                # whoever is told would wait for it for ever.
                self.refused += 1
                if not worker.doomed:
                    self._distrusted(number)
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

    def _hear_server(self, server: ForkServer, message: dict[str, Any], fds: list[int]) -> None:
        if "ready" in message:
            if server is self._coming:
                self._replace(server)
        elif "forked" in message:
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
            self.failure = message.get("why", "")
            self._hear_workers()  # what it said before it died counts
            gone = self._workers.get(number)
            if gone is not None:
                gone.doomed = True
                self._left(number, message["code"])
                if self._workers.pop(number, None) is not None:
                    del self._names[gone.identity]
                    gone.close()
                self._let_go(server)

    def _replace(self, server: ForkServer) -> None:
        """Fork from a new zygote from now on."""
        old, self._server, self._coming = self._server, server, None
        if old is not None:
            self._outdated.append(old)
            self._let_go(old)
        self._renewed()

    def _let_go(self, server: ForkServer) -> None:
        """End an old zygote that has no workers any more."""
        if server in self._outdated and all(w.server is not server for w in self._workers.values()):
            self._outdated.remove(server)
            server.close()

    def _server_ended(self, server: ForkServer, code: int) -> None:
        if server is self._coming:
            self._coming, self._renewable = None, False  # the one there is will do
            return
        self.close()
        self._broken(EngineError(f"the process that forks workers ended with code {code}"))


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


def _require_descriptors() -> None:
    """Raise where there are too few descriptors to start: ZeroMQ would end the process.

    Raises
    ------
    EngineError
        If there are.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = sum(1 for _ in Path("/proc/self/fd").iterdir())
    if most != resource.RLIM_INFINITY and most - used < _LEAST_DESCRIPTORS:
        raise EngineError(
            f"the pool of processes cannot be started: {used} open files of {most} are in use, and "
            f"it needs {_LEAST_DESCRIPTORS} more; close some, or raise the limit (ulimit -n)"
        )


def _wait_readable(fd: int, seconds: float) -> bool:
    poll = select.poll()  # `select.select` takes no descriptor above 1023
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(1000 * seconds))


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _forget() -> None:
    """In a forked child: let go of the life-lines, and of nothing else."""
    for pool in _pools:
        for server in pool._servers():  # noqa: SLF001 - of this module
            server.forked()
        for worker in pool._workers.values():  # noqa: SLF001
            worker.close()


os.register_at_fork(after_in_child=_forget)
