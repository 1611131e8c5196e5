"""One inner thread a task: BLAS and Arrow use no threads of their own while a run is active.

Several tasks that each start as many threads as there are cores run slower than one after the
other, and a BLAS that splits differently adds in another order: the bits would depend on the
machine. The limits are those of the process, so they are held while any run is active and what was
there before comes back with the end of the last one. Only the loop's thread calls this.
"""

from __future__ import annotations

import os
import sys
from typing import Any

__all__ = ["hold", "release"]

_holders = 0
_restore: list[Any] = []
_controller: tuple[int, Any] | None = None


def hold() -> None:
    """Limit inner threads to one, until the same number of ``release``.

    Some 50 us, and a few ms when modules were imported since: then libraries are looked for.
    """
    global _holders  # noqa: PLW0603 - the limits are the process's, so is the count
    _holders += 1
    if _holders == 1:
        _limit_blas()
        _limit_arrow()


def release() -> None:
    """Undo one ``hold``."""
    global _holders  # noqa: PLW0603
    _holders -= 1
    if _holders == 0:
        while _restore:
            _restore.pop()()


def _limit_blas() -> None:
    global _controller  # noqa: PLW0603
    if "numpy" not in sys.modules:
        return
    count = len(sys.modules)
    if _controller is None or _controller[0] != count:
        import threadpoolctl  # noqa: PLC0415 - 30 ms that `import nbscale` need not spend

        _controller = (len(sys.modules), threadpoolctl.ThreadpoolController())
    _restore.append(_controller[1].limit(limits=1).restore_original_limits)


def _limit_arrow() -> None:
    arrow = sys.modules.get("pyarrow")
    if arrow is None:
        return
    before = arrow.cpu_count()
    if before != 1:
        arrow.set_cpu_count(1)
        _restore.append(lambda: arrow.set_cpu_count(before))


def _forget() -> None:
    """In a forked child: no run is active."""
    global _holders  # noqa: PLW0603
    _holders = 0
    while _restore:
        _restore.pop()()


os.register_at_fork(after_in_child=_forget)
