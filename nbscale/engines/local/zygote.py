"""The zygote: a process with the heavy imports done, from which workers are forked in milliseconds.

It has one thread and a session of its own, so an interrupt of the kernel does not reach it. It
reads commands from a socket that is also its life-line: when the kernel is gone, so is it, and the
system kills its children with it. It says which child died of what. Each child has a group of its
own, in which is what its tasks start: that ends with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import sys
import traceback
from typing import Any

from nbscale.comm import descriptors

__all__ = ["main"]

_SET_PDEATHSIG = 1
_MESSAGE = 1 << 16


def main(fd: int) -> None:
    """Serve until the kernel is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    kernel = socket.socket(fileno=fd)
    hello = _receive(kernel)
    if hello is None:
        return
    told, _ = hello
    for name in told["imports"]:
        with contextlib.suppress(Exception):  # a worker that needs it will say what is wrong
            importlib.import_module(name)
    import nbscale.engines.local.worker  # noqa: F401, PLC0415 - so that forked ones have it

    gc.collect()
    gc.freeze()
    _send(kernel, {"ready": True})
    children: dict[int, int] = {}
    while True:
        readable, _, _ = select.select([kernel.fileno(), wake], [], [])
        if wake in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 4096)
            _reap(kernel, children)
        if kernel.fileno() in readable:
            received = _receive(kernel)
            if received is None:
                shutil.rmtree(told["folder"], ignore_errors=True)
                for pid in children:
                    _kill_group(pid)
                os._exit(0)  # the children are killed as their parent ends
            command, fds = received
            _fork(kernel, wake, woken, command["fork"], fds, children)


def _fork(
    kernel: socket.socket,
    wake: int,
    woken: int,
    worker: dict[str, Any],
    fds: list[int],
    children: dict[int, int],
) -> None:
    parent = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        for fd in fds:
            os.close(fd)
        _send(kernel, {"died": worker["number"], "code": 1, "why": str(error)})
        return
    if pid == 0:
        os.setpgid(0, 0)
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == parent:
                kernel.close()
                os.close(wake)
                os.close(woken)
                from nbscale.engines.local import worker as workers  # noqa: PLC0415

                line, at = fds
                workers.main(worker, socket.socket(fileno=line), at)
                code = 0
        except BaseException:  # noqa: BLE001 - a mistake of ours; the kernel is told of the end
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(code)
    for fd in fds:
        os.close(fd)
    with contextlib.suppress(OSError):  # it was faster
        os.setpgid(pid, pid)
    children[pid] = worker["number"]
    pidfd = os.pidfd_open(pid)  # it cannot be another's: nobody but this process reaps it
    _send(kernel, {"forked": worker["number"], "pid": pid}, [pidfd])
    os.close(pidfd)


def _reap(kernel: socket.socket, children: dict[int, int]) -> None:
    while children:
        try:
            dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if dead is None:
                return
            _kill_group(dead.si_pid)  # while the number cannot be another's
            pid, status = os.waitpid(dead.si_pid, 0)
        except ChildProcessError:
            return
        number = children.pop(pid, None)
        if number is not None:
            _send(kernel, {"died": number, "code": os.waitstatus_to_exitcode(status)})


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _send(to: socket.socket, message: dict[str, Any], fds: list[int] | None = None) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the end is read as an end
        descriptors.send(to, json.dumps(message).encode(), fds or [])


def _receive(source: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    try:
        data, fds = descriptors.receive(source, _MESSAGE, 2)
    except ConnectionResetError:
        return None
    return (json.loads(data), fds) if data else None
