"""The zygote as the kernel sees it: its process, and the line to it.

Its import list is what the kernel had imported when it was started. Where the kernel has imported
more since, a new one takes its place: see ``Pool.renew``.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

from nbscale.comm import descriptors
from nbscale.engines.loop import Loop
from nbscale.errors import EngineError

__all__ = ["ForkServer", "heavy"]

_HEAVY = ("numpy", "pandas", "pyarrow", "scipy", "sklearn")

_ENVIRONMENT = {
    # One inner thread a task, and a zygote with one thread: more could not be forked.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "MALLOC_ARENA_MAX": "2",
}

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from nbscale.engines.local.zygote import main; main(int(sys.argv[1]))"
)

_MESSAGE = 1 << 16

Heard: TypeAlias = Callable[["ForkServer", dict[str, Any], list[int]], None]
Ended: TypeAlias = Callable[["ForkServer", int], None]


def heavy() -> frozenset[str]:
    """Packages that this process has imported and that take long: workers begin with them."""
    return frozenset(name for name in _HEAVY if name in sys.modules)


class ForkServer:
    """A zygote. It is started at once, and does its imports while the kernel goes on.

    Parameters
    ----------
    loop
        Whose thread everything happens on.
    folder
        Removed by the zygote if the kernel ends without closing it.
    heard, ended
        Called with what it says and descriptors, and with its exit code when it has ended by
        itself.

    Raises
    ------
    EngineError
        If it cannot be started.
    """

    def __init__(self, loop: Loop, folder: str, heard: Heard, ended: Ended) -> None:
        self._loop = loop
        self._heard, self._ended = heard, ended
        self.imports = heavy()
        line, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this Python, and a text of ours
                [sys.executable, "-c", _START, str(other.fileno()), json.dumps(sys.path)],
                env=os.environ | _ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
                start_new_session=True,
            )
        except (OSError, TypeError) as error:  # the latter where Python is a part of a program
            line.close()
            raise EngineError(f"the pool of processes cannot be started: {error}") from error
        finally:
            other.close()
        self._line: socket.socket | None = line
        mine = [name for name in sys.modules if name.partition(".")[0] == "nbscale"]
        imports = [name for name in _HEAVY if name in self.imports] + mine
        with contextlib.suppress(OSError):  # if it has ended, that will be heard
            line.send(json.dumps({"imports": imports, "folder": folder}).encode())
        loop.watch(line.fileno(), self._hear)

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    def fork(self, worker: dict[str, Any], fds: list[int]) -> None:
        """Have a worker forked."""
        assert self._line is not None
        try:
            descriptors.send(self._line, json.dumps({"fork": worker}).encode(), fds)
        except OSError:
            self._loop.post(self._hear)  # it is gone

    def kill(self) -> None:
        """End it and its children, which is then told as its end."""
        self._process.kill()

    def close(self) -> None:
        """End it and its children, and say nothing."""
        line, self._line = self._line, None
        if line is not None:
            self._loop.unwatch(line.fileno())
            # Killed before it reads the end of the line, at which it would remove the folder.
            self._process.kill()
            self._process.wait()
            line.close()

    def forked(self) -> None:
        """In a forked child: let go of the life-line."""
        if self._line is not None:
            self._line.close()

    def _hear(self) -> None:
        if self._line is None:
            return
        try:
            data, fds = descriptors.receive(self._line, _MESSAGE, 1, wait=False)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data, fds = b"", []
        if data:
            self._heard(self, json.loads(data), fds)
            return
        code = self._process.wait()
        self.close()
        self._ended(self, code)
