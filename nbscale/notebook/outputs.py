"""Output of a cell that runs elsewhere, shown as if the cell had run here."""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["Show", "shower"]

Show = Callable[[tuple[Any, ...]], None]


def shower(shell: Any, *, elsewhere: bool) -> Show:
    """What shows messages under the cell that runs now.

    Parameters
    ----------
    shell
        Whose cell it is.
    elsewhere
        Whether it is called from another thread, maybe when the cell is over.
    """
    before = "stdout"

    def show(message: tuple[Any, ...]) -> None:
        nonlocal before
        kind, *rest = message
        if kind == "stream":
            name, text = rest
            if name != before:  # each waits for a while with what it has
                getattr(sys, before).flush()
                before = name
            getattr(sys, name).write(text)
        elif kind == "clear":
            shell.display_pub.clear_output(rest[0])
        elif kind == "display":
            data, metadata, transient, update = rest
            shell.display_pub.publish(
                data=data, metadata=metadata, transient=transient, update=update
            )

    if not elsewhere:
        return show
    # ipykernel keeps the cell that it answers in context variables, which a thread does not have.
    context = contextvars.copy_context()
    return lambda message: context.run(show, message)
