"""A worker: takes batches of tasks from the kernel, runs them one by one, says what became of them.

One thread. What comes is signed by the kernel, what goes is signed by this worker, and nothing is
read before its signature is checked. The kernel stops a task by a message and then SIGINT, whose
handler reads the messages: so a signal hits a task that was told to stop, or nothing.

Messages are plain tuples in ``marshal``'s format: both ends are the same Python.
"""

from __future__ import annotations

import contextlib
import marshal
import mmap
import os
import random
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from types import FrameType
from typing import Any

import zmq

from nbscale.comm.frame import Inbound, Outbound
from nbscale.engines import base, failure
from nbscale.engines.local.carrying import Carrier
from nbscale.engines.local.footprint import Footprint
from nbscale.engines.local.terms import AT, DISTRUST, HEED, PAGE, WAITS, ways
from nbscale.engines.local.timing import Timing
from nbscale.engines.stream import TextStream
from nbscale.errors import BadFrame, OldFrame, RemoteError
from nbscale.expr import reference
from nbscale.store.base import measure
from nbscale.store.codec import (
    decode,
)
from nbscale.store.segments import Extent
from nbscale.store.shared import fetch_with

__all__ = ["main"]

_FLUSH = 0.002
"""Seconds after which what is done is told, though there is more to do."""

_LATE = 0.1
"""Seconds a frame may be under way: a signal is faster."""

_SOON = 0.1
"""Seconds after which what a task prints is told, though it runs on."""

_AGAIN = 0.001
"""Seconds after which it is tried again to stop a task where no exception is taken."""

_MOST_PRINTED = 1 << 16
"""Characters after which it is told at once."""

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
        self._place = place
        self._socket = zmq.Context(io_threads=1).socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        self._socket.setsockopt(zmq.IDENTITY, bytes.fromhex(settings["identity"]))
        self._socket.connect(settings["endpoint"])
        self._values = Carrier(line, number, self.unarmed, self._disarm)
        fetch_with(self._values.shared)
        self._stages: dict[int, _Stage] = {}
        self._footprint = Footprint()
        self._tasks: deque[Any] = deque()
        self._done: list[Any] = []
        self.at: tuple[int, int] | None = None  # the task being run
        self._armed = False  # a signal may hit it
        self._called = False  # a signal came when it could not
        self._given_up = False  # it was told to stop
        self._told = 0.0
        self._thread = threading.get_ident()
        self._timing = Timing()
        self._printed: deque[tuple[int, str, str]] = deque()
        self._unsaid = 0  # characters of it
        for name in ("stdout", "stderr"):
            setattr(sys, name, TextStream(self.write, name, name))
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
                self._values.gone.clear()
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
        if self._values.released:  # after what says that it was held
            extents = [
                tuple(self._values.released.popleft()) for _ in range(len(self._values.released))
            ]
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
                    self._values.forget(number)
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
            data = (
                memoryview(blob) if type(blob) is bytes else self._values.maps.read(Extent(*blob))
            )
            stage.program = decode(data)
            stage.spent = self._timing.of(len(stage.program.steps))
        except BaseException as error:  # noqa: BLE001 - told of by each task of it
            stage.program = _Unreadable(error)

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

    def _disarm(self) -> None:
        self._armed = False

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
        self._values.unread.clear()
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
                self._values.check_read()
                rows, nbytes = measure(value)
                stage.slow = clock() - start > _SLOW
                if measured and stage.slow:
                    # The value is counted twice: it will lie in shared memory, too.
                    peak = nbytes + self._footprint.peak(_bytes_of(maps))
                handle = self._values.kept(value, stage.pieces, grant)
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
                held = self._values.held(maps) if maps else None
                self._done.append((key, task, start, clock(), rows, nbytes, handle, peak, held))
        except _Told:  # it came while the error was being caught
            self._armed = False
            self._done.append((key, task, self._values.held(maps) if maps else None))
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
        held = self._values.held(maps) if maps else None
        if self._values.unread:
            self._done.append((key, task, self._values.unread[0], held))
        elif packed is None:
            self._done.append((key, task, held))
        else:
            peak = self._footprint.peak(_bytes_of(maps)) if measured else 0
            self._done.append((key, task, start, time.monotonic(), packed, peak, held))

    def _inputs(self, stage: _Stage, inputs: Any, maps: list[Any], start: float) -> list[Any]:
        load = self._values.load
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


def _bytes_of(maps: list[Any]) -> int:
    """Bytes of shared memory that a task mapped for itself."""
    return sum(extent.nbytes for extent, _ in maps)


def _packed(error: BaseException) -> bytes:
    try:
        return failure.pack(error)
    except BaseException as mistake:  # noqa: BLE001 - the task must be answered for
        text = f"{type(error).__name__} (it cannot be told: {type(mistake).__name__})"
        return failure.pack(RemoteError(text))


class _Unreadable:
    """In the place of a program that could not be read."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __call__(self, index: Any, inputs: Any, spent: Any) -> Any:
        raise self._error
