"""Stop while the cell blocks: what the button asks for, and the ways by which it asks.

The main thread waits for the run, so it cannot hear. Two ways lead to other threads:

- the *control channel*: ipykernel serves it on a thread of its own, in version 6 and 7 alike. The
  button sends a message ``nbscale_request`` of ours.
- the widget's *comm*: from version 7 on, front ends send its messages to a subshell. The button
  tries it where it cannot reach the control channel, or gets no answer there.

Whoever hears only posts to the engine.
"""

from __future__ import annotations

import signal
import threading
from typing import Any

from nbscale.session import current

__all__ = ["REQUEST", "answer_requests", "stop"]

REQUEST = "nbscale_request"
REPLY = "nbscale_reply"

GRACE = 1.0
"""Seconds the task in the waiting thread is given to end, before it is interrupted."""


def stop(run: int) -> bool:
    """Stop a run; False if it is not under way. From any thread, and returns at once.

    A task in the user's own thread (engine ``inline``) can be stopped only as the notebook's own
    stop button does it: by an interrupt. It is given a second to end first.
    """
    session = current()
    if not session.cancel(run):
        return False
    if session.waiter(run) is threading.main_thread():
        timer = threading.Timer(GRACE, _interrupt, (run,))
        timer.daemon = True
        timer.start()
    return True


def _interrupt(run: int) -> None:
    """Interrupt the main thread, if it is still held by the run."""
    main = threading.main_thread()
    if current().waiter(run) is main and main.ident is not None:
        signal.pthread_kill(main.ident, signal.SIGINT)


def answer_requests(kernel: Any) -> bool:
    """Answer what front ends ask for on the control channel; False if this kernel has none."""
    handlers = getattr(kernel, "control_handlers", None)
    if not isinstance(handlers, dict):
        return False

    def answer(stream: Any, ident: Any, parent: Any) -> None:
        run = parent.get("content", {}).get("stop")
        stopped = isinstance(run, int) and stop(run)
        kernel.session.send(stream, REPLY, {"status": "ok", "stopped": stopped}, parent, ident)

    handlers[REQUEST] = answer
    return True
