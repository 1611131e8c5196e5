"""Gives workers the descriptors of memory that outlives runs, and has them forget it when it is gone."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable

from nbscale.store.shared import Memory

__all__ = ["Showing"]


class Showing:
    """Memory that workers of a pool were shown. Everything happens on the loop's thread.

    Parameters
    ----------
    show
        Gives a worker a descriptor under a name, unless it has it.
    forget
        Has workers forget a name.
    post
        Has a call made on the loop's thread; may be used anywhere.
    """

    def __init__(
        self,
        show: Callable[[int, int, int], None],
        forget: Callable[[int], None],
        post: Callable[..., None],
    ) -> None:
        self._show, self._forget, self._post = show, forget, post
        # Descriptors of our own: one that is still to be sent must not become another's.
        self._fds: dict[int, int] = {}
        self._pid = os.getpid()

    def show(self, memories: tuple[Memory, ...], worker: int) -> None:
        """Make sure that a worker can map these."""
        for memory in memories:
            fd = self._fds.get(memory.name)
            if fd is None:
                fd = self._fds[memory.name] = os.dup(memory.fd)
                weakref.finalize(memory, _tell, weakref.ref(self), memory.name).atexit = False
            self._show(worker, memory.name, fd)

    def close(self) -> None:
        """Forget everything."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()

    def gone(self, name: int) -> None:
        fd = self._fds.pop(name, None)
        if fd is not None:
            self._forget(name)
            os.close(fd)

    def tell(self, name: int) -> None:
        """Have it forgotten; from any thread, even in a finalizer."""
        if os.getpid() == self._pid:  # a forked child has no loop of this one's
            self._post(self.gone, name)


def _tell(showing: weakref.ref[Showing], name: int) -> None:
    found = showing()
    if found is not None:
        found.tell(name)
