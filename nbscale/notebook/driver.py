"""The process that runs a cell: an IPython of its own, whose output goes to the kernel.

::

    main thread     imports ── waits for a cell ── runs it ── packs names ── ends
    a thread        reads the line: the cell, then answers to what it has asked for
    nbscale-line    sends: output, questions, and in the end the names

It runs one cell and ends, so no cell finds what another has left behind.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import importlib
import os
import re
import select
import signal
import socket
import sys
import threading
import time
from typing import Any

from IPython.core.compilerop import CachingCompiler
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets import Type
from traitlets.config import Config

from nbscale import config
from nbscale.comm.line import Line
from nbscale.engines.failure import pack
from nbscale.engines.stream import TextStream
from nbscale.errors import RemoteError, trim_traceback
from nbscale.notebook.client import DriverSession
from nbscale.notebook.names import altered_in
from nbscale.notebook.returning import pack_names_back
from nbscale.notebook.shipping import Frozen, Namespace, Task
from nbscale.notebook.source import Source, show_lines
from nbscale.session import become

__all__ = ["main"]

_MOST_WAITING = 10_000
"""Messages, or pieces of text, after which whoever prints waits until some were sent."""

_PRIVATE = re.compile(r"_(i*|_*|\d+|i\d+|oh|ih|dh|exit_code)")
"""Names that IPython itself assigns."""


def main(fd: int, life: int) -> None:
    """Run one cell.

    Parameters
    ----------
    fd
        The line to the kernel.
    life
        The reading end of a pipe whose other end the kernel alone holds.
    """
    _end_with(life)
    os.set_inheritable(fd, False)
    line = Line(socket.socket(fileno=fd))
    session = DriverSession(line)
    become(session)
    received = line.receive()
    if received is None:
        return
    for name in received[0]:
        with contextlib.suppress(Exception):  # a cell that needs it will say what is wrong
            importlib.import_module(name)
    shell = _made()
    received = line.receive()
    if received is None:
        return
    task, names = received
    threading.Thread(target=_hear, args=(line, session), name="nbscale-hear", daemon=True).start()
    shell.display_pub.output = output = _Output(line)
    for name in ("stdout", "stderr"):
        setattr(sys, name, TextStream(output.write, name, f"<{name}>"))
    _Cell(shell, line, task, names).run()
    line.end()
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__


def _end_with(life: int) -> None:
    """Have the system end this process when the kernel does, whatever it is at."""
    os.set_inheritable(life, False)
    fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([life], [], [], 0)[0]:
        os._exit(0)


def _hear(line: Line, session: DriverSession) -> None:
    while (received := line.receive()) is not None:
        session.hear(*received)
    os.kill(os.getpid(), signal.SIGKILL)


class _Output:
    """What the cell writes and shows, on its way to the kernel, in order.

    Text that was not sent yet takes in what is written next, so that many small writes cost little.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._lock = threading.RLock()  # a finalizer may print while its thread holds it
        self._open: list[str] = []
        self._kind = ""

    def post(self, message: tuple[Any, ...]) -> None:
        """Send a message after what was written before."""
        self._wait()
        with self._lock:
            self._kind, self._open = "", []
            self._line.post(message)

    def write(self, kind: str, text: str) -> None:
        """Send text for one of the streams."""
        self._wait()
        with self._lock:
            if kind == self._kind:
                self._open.append(text)
                return
            parts = self._open = [text]
            self._kind = kind
            self._line.post(lambda: self._taken(kind, parts))

    def _taken(self, kind: str, parts: list[str]) -> tuple[Any, ...]:
        with self._lock:
            if self._open is parts:
                self._kind, self._open = "", []
            return "stream", kind, "".join(parts)

    def _wait(self) -> None:
        """Let who writes without end wait for the kernel."""
        while self._line.waiting > _MOST_WAITING or len(self._open) > _MOST_WAITING:
            time.sleep(0.001)


class _Publisher(DisplayPublisher):
    output: _Output

    def publish(
        self,
        data: Any,
        metadata: Any = None,
        source: Any = None,
        *,
        transient: Any = None,
        update: bool = False,
        **_: Any,
    ) -> None:
        self.output.post(("display", data, metadata or {}, transient or {}, update))

    def clear_output(self, wait: bool = False) -> None:
        self.output.post(("clear", wait))


class _Hook(DisplayHook):
    """Shows the value of an expression as the notebook does, without keeping it."""

    def __call__(self, result: Any = None) -> None:
        shell: Any = self.shell
        if result is None or self.semicolon_at_end_of_expression(shell.source.text):
            return
        data, metadata = self.compute_format_data(result)
        self.fill_exec_result(result)
        if data:
            shell.display_pub.publish(data, metadata)


class _Compiler(CachingCompiler):
    """Compiles what the cell says under the name that it has in the kernel."""

    source: Source | None = None

    def get_code_name(self, raw_code: str, transformed_code: str, number: int) -> str:
        if self.source is not None and raw_code == self.source.text:
            return self.source.file
        return str(super().get_code_name(raw_code, transformed_code, number))

    def cache(self, transformed_code: str, number: int = 0, raw_code: str | None = None) -> str:
        name = str(super().cache(transformed_code, number, raw_code))
        if self.source is not None and name == self.source.file:
            show_lines(self.source)
        return name


class _Shell(InteractiveShell):
    compiler_class = Type(_Compiler)
    display_pub_class = Type(_Publisher)
    displayhook_class = Type(_Hook)
    source: Source | None = None

    def transform_cell(self, raw_cell: str) -> str:
        """IPython's, below as many lines as the magic takes: errors name the line of the cell."""
        text: str = super().transform_cell(raw_cell)
        source = self.source
        return source.below(text) if source is not None and raw_cell == source.text else text

    def init_virtualenv(self) -> None:
        """Do nothing: the path is that of the kernel."""

    def _showtraceback(self, etype: Any, evalue: Any, stb: list[str]) -> None:
        """Keep what is to be shown: the error of the cell itself is raised in the kernel."""
        self.shown.append((evalue, stb))

    shown: list[tuple[BaseException, list[str]]]


def _made() -> Any:
    """The shell, made before anything of the user's: matplotlib asks for it when it is imported."""
    quiet = Config()
    quiet.HistoryManager.enabled = False  # it would write to the user's history, on a thread
    return _Shell.instance(user_ns={}, config=quiet)


class _Cell:
    def __init__(self, shell: Any, line: Line, task: Task, names: memoryview) -> None:
        self._shell, self._line, self._task, self._names = shell, line, task, names

    def run(self) -> None:
        """Run it, and say what came of it."""
        error: BaseException | None
        space: dict[str, Any] = {}
        before: dict[str, Any] = {}
        try:
            space = self._prepare(self._shell)
            before = dict(space)
            error = self._executed(self._shell)
        except BaseException as mistake:  # noqa: BLE001 - the kernel must be told of it
            error = mistake
        packed = None if error is None else _packed(error)
        try:
            bulk, left = pack_names_back(self._new(space, before), space)
        except BaseException as mistake:  # noqa: BLE001 - the same
            packed = packed or _packed(mistake)
            bulk, left = pack_names_back({}, space)
        gone = [name for name in before if name not in space]
        self._line.post(("done", packed, left, gone), bulk)

    def _prepare(self, shell: Any) -> dict[str, Any]:
        """Make what is around the cell as it is in the kernel; returns the cell's names."""
        task = self._task
        os.environ.clear()
        os.environ.update(task.environment)
        sys.path[:] = task.path
        os.chdir(task.folder)
        fields = dataclasses.fields(task.settings)
        config.set(**{field.name: getattr(task.settings, field.name) for field in fields})
        shell.shown = []
        shell.source = task.source
        shell.compile.source = task.source
        shell.execution_count = task.number
        shell.ast_node_interactivity = task.interactivity
        # Functions that came have these globals, so the cell must have them, too.
        space = Namespace(Frozen(self._names), task.files).load(once=True)
        shell.user_module, shell.user_ns = shell.prepare_user_module(None, space)
        shell.init_sys_modules()
        shell.init_user_ns()
        return space

    def _executed(self, shell: Any) -> BaseException | None:
        # Ignored from the start of the process, and again when the cell is over.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            self._line.post(("began",))
            result = shell.run_cell(self._task.source.text, store_history=False)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        error: BaseException | None = result.error_before_exec or result.error_in_exec
        for other, lines in shell.shown:
            if other is not error:
                print("\n".join(lines), file=sys.stderr)  # noqa: T201 - it is for the user
        return error

    def _new(self, space: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
        """Names that the cell has assigned, or parts of which."""
        nothing = object()
        names = {
            name
            for name, value in space.items()
            if value is not before.get(name, nothing) and not _PRIVATE.fullmatch(name)
        }
        with contextlib.suppress(SyntaxError):
            text = InteractiveShell.instance().transform_cell(self._task.source.text)
            names |= altered_in(text).intersection(space)
        return {name: space[name] for name in sorted(names)}


def _packed(error: BaseException) -> bytes:
    trim_traceback(error, inside=True)
    with contextlib.suppress(AttributeError):
        del error._render_traceback_  # type: ignore[attr-defined]  # it is of this shell
    try:
        return pack(error)
    except Exception as mistake:  # noqa: BLE001 - the cell must be answered for
        text = f"{type(error).__name__} (it cannot be told: {type(mistake).__name__})"
        return pack(RemoteError(text))
