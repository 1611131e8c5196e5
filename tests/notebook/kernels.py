"""A real kernel on a wire, as a front end sees it."""

from __future__ import annotations

import contextlib
import os
import time

from jupyter_client.manager import KernelManager

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

SLOW = """
import time
import nbscale as ns

@ns.delayed
def note(i):
    with open({path!r}, "a") as file:
        file.write(f"{{i}}\\n")
    time.sleep({seconds})
    return i

slow = [note(i) for i in range({count})]
"""
"""A cell that makes tasks, each of which adds a line to a file and takes its time."""


def slow(path, count=100, seconds=0.05):
    return SLOW.format(path=str(path), count=count, seconds=seconds)


class Front:
    """A client that keeps what the kernel publishes."""

    def __init__(self, manager):
        self.client = manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.published = []

    def start(self, code):
        """Execute a cell; return the id of the request, and do not wait."""
        return self.client.execute(code)

    def until(self, wanted, timeout=30):
        """The first message published from now on that is wanted."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            message = self.client.get_iopub_msg(timeout=max(0.01, end - time.monotonic()))
            self.published.append(message)
            if wanted(message):
                return message
        raise AssertionError(f"nothing of the kind came within {timeout} s")

    def end(self, request, timeout=30):
        """Wait until a cell is done; return its reply."""
        self.until(
            lambda m: (
                m["msg_type"] == "status"
                and m["content"]["execution_state"] == "idle"
                and m["parent_header"].get("msg_id") == request
            ),
            timeout,
        )
        while True:
            reply = self.client.get_shell_msg(timeout=timeout)
            if reply["parent_header"].get("msg_id") == request:
                return reply["content"]

    def run(self, code):
        """Execute a cell to its end; return its reply."""
        return self.end(self.start(code))

    def of_type(self, *kinds):
        """What was published of some types, in order."""
        return [m for m in self.published if m["msg_type"] in kinds]

    def control(self, kind, content, timeout=10):
        """Send a message on the control channel; return the reply's content."""
        channel = self.client.control_channel
        message = self.client.session.msg(kind, content)
        channel.send(message)
        while True:
            reply = channel.get_msg(timeout=timeout)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return reply["content"]

    def comm(self, comm_id, data, subshell=None):
        """Send a message by a comm, to a subshell if one is named."""
        message = self.client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)


@contextlib.contextmanager
def kernel(path=None):
    """Start a kernel, with a folder of modules of its own if one is named; yield its front."""
    env = dict(os.environ)
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    if path is not None:
        env["PYTHONPATH"] = str(path)
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env=env)
    try:
        front = Front(manager)
        try:
            yield front
        finally:
            front.client.stop_channels()
    finally:
        manager.shutdown_kernel(now=True)
