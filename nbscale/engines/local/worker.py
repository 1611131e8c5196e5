"""A worker: takes batches of tasks from the kernel, runs them one by one, says what became of them.

One thread. What comes is signed by the kernel, what goes is signed by this worker, and nothing is
read before its signature is checked. The kernel stops a task by a message and then SIGINT, whose
handler reads the messages: so a signal hits a task that was told to stop, or nothing.

Messages are plain tuples in ``marshal``'s format: both ends are the same Python.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import marshal
import mmap
import os
import pickle
import random
import signal
import socket
import struct
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeVar

import zmq

from nbscale.comm import descriptors
from nbscale.comm.frame import Inbound, Outbound
from nbscale.engines import base, failure
from nbscale.engines.local.footprint import Footprint
from nbscale.engines.local.timing import Timing
from nbscale.errors import BadFrame, OldFrame, RemoteError
from nbscale.expr import reference
from nbscale.store.base import measure
from nbscale.store.codec import (
    Encoded,
    decode,
    decode_piece,
    dumps,
    encode_pieces,
    join,
    piece_span,
    split,
)
from nbscale.store.segments import Extent, Maps, make_segment
from nbscale.store.shared import fetch_with
from nbscale.store.spill import read_span

__all__ = ["AT", "DISTRUST", "HEED", "INLINE", "PAGE", "WAITS", "main", "ways"]

DISTRUST = 71
"""The exit code of a worker that got a frame that is not what was sent to it."""

T = TypeVar("T")

INLINE = 4096
"""Bytes up to which a value travels in the message."""

COPIED = 256 << 10
"""Bytes up to which what a function of the user's gets is copied instead of mapped."""

_FLUSH = 0.002
"""Seconds after which what is done is told, though there is more to do."""

AT = struct.Struct("<qq")
"""Stage and task that a worker is at, in memory the kernel can read when the worker is dead."""

HEED = struct.Struct("<q")
"""After it: how many frames there are to be read by a worker that is interrupted."""

WAITS = AT.size + HEED.size
"""Where behind them a worker says that it waits for work: 1, else 0."""

PAGE = WAITS + 1

_LATE = 0.1
"""Seconds a frame may be under way: a signal is faster."""

_SOON = 0.1
"""Seconds after which what a task prints is told, though it runs on."""

_AGAIN = 0.001
"""Seconds after which it is tried again to stop a task where no exception is taken."""

_MOST_PRINTED = 1 << 16
"""Characters after which it is told at once."""

_NUMBER = struct.Struct("<Q")
_OWN = 1 << 40


def ways(number: int) -> tuple[bytes, bytes]:
    """The names of the ways between the kernel and a worker: to it and from it."""
    return b"kernel>%d" % number, b"%d>kernel" % number


_SLOW = 0.002
"""Seconds from which a task is worth a look at the memory it took."""


class _Stage:
    """What a stage's tasks need. Its program is read by the first of them.

    ``pieces``: see ``Remote.in_pieces``. ``slack``: bytes that the worker may keep for later tasks.
    ``slow``: its last task took so long that the next one is measured.
    """

    __slots__ = ("blob", "deliveries", "pieces", "program", "slack", "slow", "spent", "user_code")

    def __init__(
        self, blob: Any, deliveries: tuple[str, ...], pieces: str, user_code: bool, slack: int
    ) -> None:
        self.blob, self.deliveries = blob, deliveries
        self.pieces, self.user_code = pieces, user_code
        self.slack = slack
        self.slow = True  # as far as is known
        self.program: Any = None
        self.spent: list[float] | None = None
        """Seconds since they were told, see ``Timing``; None if they are not taken."""


class _Unread(OSError):
    """A part of a file of spilled values cannot be read, or is not what was written."""


class _Told(KeyboardInterrupt):
    """The task was told to stop."""


def main(settings: dict[str, Any], line: socket.socket, at: int) -> None:
    """Work until the process is killed. It was just forked."""
    random.seed()
    if "numpy" in sys.modules:
        import numpy as np  # noqa: PLC0415 - only if the zygote has it

        np.random.seed()  # noqa: NPY002 - what was forked would repeat itself
    base.enter(f"worker {settings['number']}")
    reference.follow_files()
    _Worker(settings, line, mmap.mmap(at, PAGE)).run()


def _is_finalizing(frame: FrameType | None) -> bool:
    """Whether an object is at its end, where Python takes no exception: it prints and drops it."""
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


class _Worker:
    def __init__(self, settings: dict[str, Any], line: socket.socket, place: mmap.mmap) -> None:
        number, key = settings["number"], bytes.fromhex(settings["key"])
        into, out = ways(number)
        self._in, self._out = Inbound(key, into), Outbound(key, out)
        self._line = line
        self._place = place
        self._number = number
        self._socket = zmq.Context(io_threads=1).socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        self._socket.setsockopt(zmq.IDENTITY, bytes.fromhex(settings["identity"]))
        self._socket.connect(settings["endpoint"])
        self._maps = _Maps(self)
        fetch_with(self.shared)
        self._fds: dict[int, int] = {}
        self._stages: dict[int, _Stage] = {}
        self._footprint = Footprint()
        self._tasks: deque[Any] = deque()
        self._done: list[Any] = []
        self._released: deque[Extent] = deque()
        self.at: tuple[int, int] | None = None  # the task being run
        self._armed = False  # a signal may hit it
        self._called = False  # a signal came when it could not
        self._given_up = False  # it was told to stop
        self._gone: set[int] = set()  # what was forgotten since there was nothing to do
        self._unread: list[int] = []  # files that could not be read
        self._made = 0
        self._told = 0.0
        self._thread = threading.get_ident()
        self._timing = Timing()
        self._printed: deque[tuple[int, str, str]] = deque()
        self._unsaid = 0  # characters of it
        for name in ("stdout", "stderr"):
            setattr(sys, name, _Stream(self, name))
        os.register_at_fork(after_in_child=self._forked)

    def _forked(self) -> None:
        """In a child that a task has forked: it is no worker, and what it prints is its own."""
        self._armed = False
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__

    # Messages -------------------------------------------------------------------------------

    def run(self) -> None:
        """Work until the process is killed."""
        signal.signal(signal.SIGINT, self._interrupted)
        signal.signal(signal.SIGALRM, self._interrupted)
        signal.siginterrupt(signal.SIGALRM, False)
        self._send([("hello", os.getpid())])
        clock = time.monotonic
        tasks = self._tasks
        while True:
            if not tasks:
                self._gone.clear()
                self._tell()
                self._place[WAITS] = 1
                frame = self._socket.recv()
                self._place[WAITS] = 0
                self._take(frame)
                self._timing.begin()
            while tasks:
                self._attempt(tasks.popleft())
                if clock() - self._told > _FLUSH:
                    self._tell()
                    self._look()
                    self._told = clock()
                elif len(self._done) == 1:
                    # Should the next task take long, this one is told of all the same.
                    signal.setitimer(signal.ITIMER_REAL, 2 * _FLUSH)

    def _send(self, messages: list[Any]) -> None:
        self._socket.send(self._out.seal(marshal.dumps(messages)))

    def _tell(self) -> None:
        """Send what is done."""
        messages: list[Any] = []
        printed = self._printed
        if printed:
            self._unsaid = 0
            messages += [("print", *printed.popleft()) for _ in range(len(printed))]
        if self._done:
            messages.append(("spent", self._timing.told()))
            messages.append(("done", self._done))
            self._done = []
        if self._released:  # after what says that it was held
            extents = [tuple(self._released.popleft()) for _ in range(len(self._released))]
            messages.append(("released", extents))
        if messages:
            self._send(messages)

    def _look(self) -> None:
        """Take the messages that are there."""
        while True:
            try:
                frame = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._take(frame)

    def _take(self, frame: bytes) -> None:
        try:
            messages = marshal.loads(self._in.open(frame))  # noqa: S302 - it was signed
        except OldFrame:
            return
        except BadFrame:
            os._exit(DISTRUST)  # what was sent is lost; another is given it when this one is dead
        for message in messages:
            kind = message[0]
            if kind == "tasks":
                self._tasks.extend(message[1])
            elif kind == "stage":
                self._add(*message[1:])
            elif kind == "stop":
                self._stop(message[1])
            elif kind == "recall":
                self._give_back(message[1])
            elif kind == "forget":
                for key in message[1]:
                    self._stages.pop(key, None)
                for number in message[2]:
                    self._forget(number)
                if message[1] and not self._tasks and self.at is None:
                    self._footprint.give_back(0)

    def _add(
        self,
        key: int,
        blob: Any,
        deliveries: tuple[str, ...],
        pieces: str,
        user_code: bool,
        slack: int,
    ) -> None:
        # Read later: this may be called while a task is in the middle of an import.
        self._stages[key] = _Stage(blob, deliveries, pieces, user_code, slack)

    def _read(self, stage: _Stage) -> None:
        blob, stage.blob = stage.blob, None
        try:
            data = memoryview(blob) if type(blob) is bytes else self._maps.read(Extent(*blob))
            stage.program = decode(data)
            stage.spent = self._timing.of(len(stage.program.steps))
        except BaseException as error:  # noqa: BLE001 - told of by each task of it
            stage.program = _Unreadable(error)

    def fetch(self, number: int) -> int:
        """The descriptor of a segment, which is there or under way."""
        while number not in self._fds:
            self._receive(wait=True)
        return self._fds.pop(number)

    def shared(self, name: int) -> int:
        """The descriptor of memory that outlives runs, which is there or under way."""
        return self._file(name)

    def _receive(self, *, wait: bool) -> None:
        data, fds = descriptors.receive(self._line, _NUMBER.size, 1, wait=wait)
        if not data:
            os._exit(0)  # the kernel is gone
        self._fds[_NUMBER.unpack(data)[0]] = fds[0]

    def _forget(self, number: int) -> None:
        """A segment is no more; its descriptor may have come for a task that was not run here."""
        self._maps.forget(number)
        self._gone.add(number)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._receive(wait=False)
        fd = self._fds.pop(number, None)
        if fd is not None:
            os.close(fd)

    def write(self, stream: str, text: str) -> None:
        """Take what was printed; from any thread."""
        self._printed.append((-1 if self.at is None else self.at[0], stream, text))
        if not self._unsaid:
            signal.setitimer(signal.ITIMER_REAL, _SOON)
        self._unsaid += len(text)
        if self._unsaid > _MOST_PRINTED and threading.get_ident() == self._thread:
            with self.unarmed():
                self._tell()

    @contextlib.contextmanager
    def unarmed(self) -> Iterator[None]:
        """Let no signal hit the task for a while; one that came is obeyed afterwards."""
        armed, self._armed = self._armed, False
        try:
            yield
        finally:
            self._armed = armed
        if armed and self._called:
            self._obey()

    # Stopping -------------------------------------------------------------------------------

    def _interrupted(self, _: int, frame: FrameType | None) -> None:
        """There is a message that may concern the task being run, or something to be told."""
        if self._armed and not _is_finalizing(frame):
            self._obey()
        else:
            self._called = True
            if self._armed:
                signal.setitimer(signal.ITIMER_REAL, _AGAIN)

    def _obey(self) -> None:
        self._armed = self._called = False  # the messages are read by one at a time
        self._look()
        (count,) = HEED.unpack_from(self._place, AT.size)
        end = time.monotonic() + _LATE
        while self._in.count < count and time.monotonic() < end:
            self._socket.poll(int(1000 * _LATE))
            self._look()
        self._tell()  # what was done before must not wait for this task
        if self._given_up:
            raise _Told
        self._armed = True
        if self._called:
            self._obey()

    def _give_back(self, count: int) -> None:
        """Another worker has nothing to do: give back tasks that did not begin, the last first."""
        for _ in range(min(count, len(self._tasks))):
            item = self._tasks.pop()
            self._done.append((item[0], item[1], None))

    def _stop(self, tasks: list[tuple[int, int]]) -> None:
        waiting = {(item[0], item[1]) for item in self._tasks}
        for task in tasks:
            if task in waiting:
                self._done.append((*task, None))
        gone = set(tasks)
        if waiting & gone:
            left = [item for item in self._tasks if (item[0], item[1]) not in gone]
            self._tasks.clear()
            self._tasks.extend(left)
        if self.at in gone:
            self._given_up = True

    # Tasks ----------------------------------------------------------------------------------

    def _attempt(self, item: Any) -> None:
        """Run a task and note what became of it."""
        key, task, index, inputs, grant, fence = item
        stage = self._stages[key]
        clock = time.monotonic
        AT.pack_into(self._place, 0, key, task)
        self.at, self._given_up = (key, task), False
        self._unread.clear()
        if stage.program is None:
            self._read(stage)
        measured, peak = stage.slow, 0
        if measured:
            self._footprint.begin(fence)
        start = clock()
        spent = stage.spent
        maps: list[Any] = []
        try:
            try:
                self._armed = True
                if self._called:
                    self._obey()
                value = stage.program(index, self._inputs(stage, inputs, maps, start), spent)
                ran = clock()
                self._check_read()
                rows, nbytes = measure(value)
                stage.slow = clock() - start > _SLOW
                if measured and stage.slow:
                    # The value is counted twice: it will lie in shared memory, too.
                    peak = nbytes + self._footprint.peak(_bytes_of(maps))
                handle = self._kept(value, stage.pieces, grant)
                self._armed = False
                if spent is not None:
                    spent[-2] += clock() - ran
                    self._timing.note(key, spent)
            except BaseException as error:  # noqa: BLE001 - what a task raises belongs to its run
                self._armed = False
                packed = None if isinstance(error, _Told) else _packed(error)
                del error
                self._failed(key, task, start, packed, maps, measured)
            else:
                del value
                held = self._held(maps) if maps else None
                self._done.append((key, task, start, clock(), rows, nbytes, handle, peak, held))
        except _Told:  # it came while the error was being caught
            self._armed = False
            self._done.append((key, task, self._held(maps) if maps else None))
        self.at = None
        if stage.slow:
            self._footprint.give_back(stage.slack)

    def _failed(
        self,
        key: int,
        task: int,
        start: float,
        packed: bytes | None,
        maps: list[Any],
        measured: bool,
    ) -> None:
        """Note that a task has no value: it could not read its inputs, was told to stop, or raised."""
        held = self._held(maps) if maps else None
        if self._unread:
            self._done.append((key, task, self._unread[0], held))
        elif packed is None:
            self._done.append((key, task, held))
        else:
            peak = self._footprint.peak(_bytes_of(maps)) if measured else 0
            self._done.append((key, task, start, time.monotonic(), packed, peak, held))

    def _inputs(self, stage: _Stage, inputs: Any, maps: list[Any], start: float) -> list[Any]:
        load = self._load
        user = stage.user_code
        found: list[Any] = []
        for delivery, refs in zip(stage.deliveries, inputs, strict=True):
            if delivery == "one":
                found.append(load(refs, user, maps))
            elif delivery == "list":
                found.append([load(ref, user, maps) for ref in refs])
            else:
                found.append(load(ref, user, maps) for ref in refs)
        if stage.spent is not None:
            stage.spent[-2] += time.monotonic() - start
        return found

    def _load(self, ref: Any, user: bool, maps: list[Any]) -> Any:
        """The value of a reference (see ``remote.Remote``)."""
        if type(ref) is bytes:
            return pickle.loads(ref)
        if len(ref) == 2:
            return self._load(ref[0], user, maps)[ref[1]]
        if len(ref) == 3:
            return decode(self._read_file(*ref))
        extent = Extent(*ref[:4])
        if not user:
            data = self._maps.read(extent)
            return decode(data) if len(ref) == 4 else decode_piece(data, ref[4])
        part = extent
        if len(ref) == 5:
            start, end = piece_span(self._maps.read(extent), ref[4])
            part = extent._replace(start=extent.start + start, nbytes=end - start)
        return decode(self._mapped(part, extent, maps))

    def _read_file(self, name: int, span: tuple[int, int], checksum: int) -> memoryview:
        try:
            return read_span(self._file(name), span, checksum)
        except OSError as error:
            self._unread.append(name)
            raise _Unread(str(error)) from error

    def _check_read(self) -> None:
        """Whoever looked at what could not be read may have gone on without."""
        if self._unread:
            raise _Unread

    def _file(self, name: int) -> int:
        """The descriptor of a file, which is there or under way.

        Raises
        ------
        OSError
            It was found broken after the task was given out.
        """
        with self.unarmed():
            while name not in self._fds:
                if name in self._gone:
                    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
                self._receive(wait=True)
        return self._fds[name]

    def _mapped(self, part: Extent, extent: Extent, maps: list[Any]) -> memoryview:
        """Bytes that may be written to, of a part of an extent: a copy, or a map of this reader's own."""
        if part.nbytes <= COPIED:
            return memoryview(bytearray(self._maps.read(part)))
        made, view = self._maps.private(part)
        maps.append((extent, weakref.ref(made)))
        return view

    def _held(self, maps: list[Any]) -> list[tuple[int, ...]] | None:
        """Extents whose maps the task has left alive: the kernel must keep them."""
        held = []
        for again in (False, True):
            if not any(ref() is not None for _, ref in maps):
                return None
            if not again:
                gc.collect()  # a cycle may be all that holds it
        for extent, ref in maps:
            made = ref()
            if made is not None:
                held.append(tuple(extent))
                weakref.finalize(made, self._released.append, extent).atexit = False
        return held

    def _kept(self, value: Any, pieces: str, grant: Any) -> Any:
        """Put a value where the kernel finds it and return where that is."""
        if pieces == "cut" and not isinstance(value, (list, tuple)):
            value = [value[i] for i in range(len(value))]
        if pieces and isinstance(value, (list, tuple)):
            encoded = _with_any(encode_pieces, value)
            if encoded.nbytes <= INLINE:
                return [dumps(piece) for piece in value]
            return self._written(encoded, grant, "pieces")
        pickled, buffers = _with_any(split, value)
        if not buffers and len(pickled) <= INLINE:
            return pickled
        encoded = join(pickled, buffers)
        if encoded.nbytes <= INLINE:
            return dumps(value)
        return self._written(encoded, grant, "value")

    def _written(self, encoded: Encoded, grant: Any, what: str) -> Any:
        nbytes = encoded.nbytes
        if grant is not None and nbytes <= grant[2]:
            encoded.write(self._maps.write(Extent(*grant)))
            return ("grant", nbytes, what)
        self._made += 1
        number = _OWN * (self._number + 1) + self._made
        fd = make_segment(64 + nbytes)
        try:
            os.pwrite(fd, _NUMBER.pack(1), 0)
            for start, part in encoded.parts:
                _write_all(fd, part, 64 + start)
            self._armed = False  # what was sent will be told of
            descriptors.send(self._line, _NUMBER.pack(number), [fd])
        finally:
            os.close(fd)
        return ("own", nbytes, what, number)


def _bytes_of(maps: list[Any]) -> int:
    """Bytes of shared memory that a task mapped for itself."""
    return sum(extent.nbytes for extent, _ in maps)


def _packed(error: BaseException) -> bytes:
    try:
        return failure.pack(error)
    except BaseException as mistake:  # noqa: BLE001 - the task must be answered for
        text = f"{type(error).__name__} (it cannot be told: {type(mistake).__name__})"
        return failure.pack(RemoteError(text))


def _write_all(fd: int, part: Any, start: int) -> None:
    view = memoryview(part).cast("B")
    while view:
        done = os.pwrite(fd, view, start)
        view, start = view[done:], start + done


def _with_any(make: Callable[..., T], value: Any) -> T:
    """Pickle a value in the fast way, or in the one that takes more."""
    try:
        return make(value)
    except Exception:  # noqa: BLE001 - what is defined in a notebook is pickled by value
        import cloudpickle  # noqa: PLC0415 - few values need it

        return make(value, cloudpickle.dumps)


class _Maps(Maps):
    """Maps whose making no signal can cut in two: a descriptor comes once."""

    def __init__(self, worker: _Worker) -> None:
        super().__init__(worker.fetch)
        self._worker = worker

    def _made(self, number: int) -> tuple[int, memoryview, memoryview]:
        with self._worker.unarmed():
            return super()._made(number)


class _Unreadable:
    """In the place of a program that could not be read."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __call__(self, index: Any, inputs: Any, spent: Any) -> Any:
        raise self._error


class _Stream:
    """Text that a task writes, on its way to the cell that asked."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, worker: _Worker, name: str) -> None:
        self._worker = worker
        self.name = name

    def write(self, text: str) -> int:
        worker = self._worker
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            worker.write(self.name, text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Do nothing: it is told soon."""

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return 1 if self.name == "stdout" else 2

    def writable(self) -> bool:
        return True
