"""Cells that run in a process of their own: the kernel's side.

::

    main thread ── CellRun.wait ── shows what comes ─────────────────────────────┐
    a thread of the cell ── takes a process, sends the cell, reads its line ─────┘
                               └── Serving: what the cell wants computed

At most two run at a time; a third waits. Once one was needed, the next is started ahead. Each leads a
group of processes, which is killed when its cell is over, and ends when the kernel does.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Collection
from typing import Any

from nbscale.comm.line import Bulk, Line
from nbscale.engines.base import LOOK_UP, Ticket, deadline
from nbscale.engines.failure import unpack
from nbscale.errors import EngineError, RunCancelled, WorkerLost
from nbscale.notebook.returning import load_names
from nbscale.notebook.serving import Serving
from nbscale.notebook.shipping import Task

__all__ = ["CellRun", "processes"]

MOST = 2
"""Processes that run cells at the same time."""

GRACE = 2.0
"""Seconds that an interrupted cell is given to end."""

_ENDING = 2.0
"""Seconds that a process is given to end when its cell is over."""

_HEAVY = ("numpy", "pandas", "pyarrow", "scipy", "sklearn", "joblib", "matplotlib")
"""Imports that are worth to be done ahead, if the kernel has done them."""

_START = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "import json, sys; sys.path[:] = json.loads(sys.argv[3]); "
    "from nbscale.notebook.driver import main; main(int(sys.argv[1]), int(sys.argv[2]))"
)


class CellRun(Ticket):
    """A cell that runs elsewhere.

    Parameters
    ----------
    task, names
        The cell, and the names it reads.
    space
        Gets what it assigns.
    show
        Shows one message of its output.
    background
        Output is shown by the thread of the cell, instead of by whoever waits.

    Attributes
    ----------
    assigned
        Names that came back.
    left
        What did not, and what to do.
    error
        What ended it, once it is over.
    """

    patience = GRACE + 1

    def __init__(
        self,
        task: Task,
        names: Bulk,
        space: dict[str, Any],
        show: Callable[[tuple[Any, ...]], None],
        *,
        background: bool,
    ) -> None:
        super().__init__(self._start, self._stop)
        self.assigned: dict[str, Any] = {}
        self.left: list[str] = []
        self.error: BaseException | None = None
        self._task, self._names, self._space, self._show = task, names, space, show
        self._background = background
        self._news: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._stopped = self._began = False
        self._process: _Process | None = None
        self._serving: Serving | None = None

    # Whoever waits ------------------------------------------------------------------------------

    def _stay(self, timeout: float | None) -> bool:
        left = deadline(timeout)
        while not self.done:
            rest = left()
            if rest == 0:
                return False
            self._show_next(LOOK_UP if rest is None else min(rest, LOOK_UP))
        while self._show_next(0):
            pass
        return True

    def _leave(self) -> None:
        self.cancel()
        self._stay(self.patience)

    def _show_next(self, timeout: float) -> bool:
        try:
            message = self._news.get(timeout > 0, timeout or None)
        except queue.Empty:
            return False
        self._show(message)
        return True

    # Any thread ---------------------------------------------------------------------------------

    def _start(self) -> None:
        threading.Thread(target=self._work, name="nbscale-cell", daemon=True).start()

    def _stop(self) -> None:
        """Interrupt the cell; what does not heed it, or has not begun with it, is killed."""
        with self._lock:
            self._stopped = True
            process, serving, began = self._process, self._serving, self._began
        if serving is not None:
            serving.stop()
        if process is not None and not began:
            process.kill()
        elif process is not None:
            process.interrupt()
            killer = threading.Timer(GRACE, process.kill)
            killer.daemon = True
            killer.start()

    # The thread of the cell ---------------------------------------------------------------------

    def _work(self) -> None:
        error: BaseException | None = None
        process = None
        try:
            process = processes.take(lambda: self._stopped)
            if process is not None:
                error = self._follow(process)
        except BaseException as mistake:  # noqa: BLE001 - who waits must be told
            error = mistake
        finally:
            self._names.close()
        killed = error is None or isinstance(error, WorkerLost)
        interrupted = self._background and isinstance(error, KeyboardInterrupt)
        if self._stopped and (killed or interrupted):
            error = RunCancelled("the cell was stopped")
        self.error = error
        self.finish(error)
        if process is not None:
            processes.give_back(process)

    def _follow(self, process: _Process) -> BaseException | None:
        serving = Serving(process.line)
        process.line.post(self._task, self._names)
        with self._lock:
            self._process, self._serving = process, serving
            stopped = self._stopped
        if stopped:
            self._stop()
        try:
            while (received := process.line.receive()) is not None:
                message, data = received
                if message[0] == "done":
                    return self._take(message, data)
                if message[0] == "began":
                    with self._lock:
                        self._began = True
                        stopped = self._stopped
                    if stopped:
                        self._stop()
                elif not serving.hear(message, data):
                    self._tell(message)
        finally:
            with self._lock:
                self._process = self._serving = None
            serving.stop()
        return WorkerLost(_told(process.ended()))

    def _tell(self, message: tuple[Any, ...]) -> None:
        if self._background:
            self._show(message)
        else:
            self._news.put(message)

    def _take(self, message: tuple[Any, ...], data: memoryview) -> BaseException | None:
        _, packed, self.left, gone = message
        error = None if packed is None else unpack(packed)
        try:
            self.assigned = load_names(data, self._space)
        except Exception as mistake:  # noqa: BLE001 - what was pickled there cannot be read here
            return error or mistake
        self._space.update(self.assigned)
        for name in gone:
            self._space.pop(name, None)
        return error


def _told(code: int | None) -> str:
    lost = (
        "what the cell assigned is lost, the notebook's names are as they were, and the next cell "
        "can run"
    )
    if code is None:
        return f"the process of this cell is not heard of any more; {lost}"
    if code >= 0:
        return f"the process of this cell ended with code {code} before the cell was over; {lost}"
    name = signal.Signals(-code).name
    why = ", as the system does when memory runs out" if name == "SIGKILL" else ""
    return f"the process of this cell was ended by {name}{why}; {lost}"


class _Process:
    """A process that waits for a cell."""

    def __init__(self, modules: Collection[str]) -> None:
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        life, self._life = os.pipe()  # the kernel alone holds one end, so it closes with the kernel
        fds = (its.fileno(), life)
        command = [sys.executable, "-c", _START, *map(str, fds), json.dumps(sys.path)]
        try:
            self._popen = subprocess.Popen(  # noqa: S603 - this Python, and a text of ours
                command, stdin=subprocess.DEVNULL, pass_fds=fds, start_new_session=True
            )
        except (OSError, TypeError) as error:  # the latter where Python is a part of a program
            mine.close()
            os.close(self._life)
            raise EngineError(f"no process can be started for this cell: {error}") from error
        finally:
            its.close()
            os.close(life)
        self.line = Line(mine)
        self.line.post(tuple(modules))
        self._lock = threading.Lock()
        self._over = False

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def interrupt(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._popen.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End it and what it has started; does nothing if that was done."""
        with self._lock:  # its number is not another's before it was waited for
            if not self._over:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._popen.pid, signal.SIGKILL)

    def ended(self) -> int | None:
        """What it ended with, which it is about to do; None if it does not."""
        try:
            return self._popen.wait(_ENDING)
        except subprocess.TimeoutExpired:
            return None

    def close(self, timeout: float = _ENDING) -> None:
        """Wait until it has ended, or end it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout)
        self.kill()
        with self._lock:
            self._over = True
        self._popen.wait()
        self.line.close()
        with self._lock:
            life, self._life = self._life, -1
        if life >= 0:
            os.close(life)


class _Processes:
    """Those that run a cell, and one for the next."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._room: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(MOST):
            self._room.put(None)
        self._lock = threading.Lock()
        self._spare: _Process | None = None
        self._busy: set[_Process] = set()
        self._closed = self._resting = False

    def take(self, given_up: Callable[[], bool]) -> _Process | None:
        """A process for a cell, when there is room; None if it was given up."""
        while not given_up():
            try:
                self._room.get(timeout=LOOK_UP)
            except queue.Empty:
                continue
            try:
                with self._lock:
                    spare, self._spare = self._spare, None
                    self._resting = False
                    if spare is None or not spare.alive:
                        spare = _Process(_imports())
                    self._busy.add(spare)
                    self._start_ahead()
                    return spare
            except BaseException:
                self._room.put(None)
                raise
        return None

    def give_back(self, process: _Process) -> None:
        """Its cell is over."""
        process.close()
        with self._lock:
            self._busy.discard(process)
            self._start_ahead()
        self._room.put(None)

    def _start_ahead(self) -> None:
        """Start one for the next cell, if there is room: what it imports takes a second."""
        stopped = self._resting or self._closed
        if self._spare is None and len(self._busy) < MOST and not stopped:
            with contextlib.suppress(EngineError):  # the next cell will say it
                self._spare = _Process(_imports())

    def rest(self) -> None:
        """End the one that waits for a cell; the next cell starts its own."""
        with self._lock:
            spare, self._spare = self._spare, None
            self._resting = True  # also if a cell is just ending
        if spare is not None:
            spare.kill()
            spare.close(0)

    def close(self) -> None:
        """End them all, with the kernel."""
        if os.getpid() != self._pid:
            return
        self._closed = True
        with self._lock:
            every = [*self._busy, *([] if self._spare is None else [self._spare])]
            self._spare = None
        for process in every:
            process.kill()
        for process in every:
            process.close(0)


def _imports() -> list[str]:
    mine = [
        name
        for name in sys.modules
        if name.startswith("nbscale.") and not name.startswith("nbscale.notebook.")
    ]
    return [name for name in _HEAVY if name in sys.modules] + mine


processes = _Processes()
atexit.register(processes.close)
