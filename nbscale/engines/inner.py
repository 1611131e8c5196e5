"""One inner thread a task: BLAS and Arrow use no threads of their own while a run is active.

Several tasks that each start as many threads as there are cores run slower than one after the
other, and a BLAS that splits differently adds in another order: the bits would depend on the
machine. There are two kinds of limits. Those of the process (OpenBLAS, Arrow) are held while any
run is active, by the loop's thread; those of a thread (OpenMP, MKL) by each thread for itself. What
was there before comes back.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

__all__ = ["here", "hold", "release"]

Undo: TypeAlias = Callable[[], object]

_holders = 0
_undo: list[Undo] = []
_found: tuple[int, list[Any]] = (0, [])


def hold() -> None:
    """Limit what is the process's, until the same number of ``release``. For the loop's thread.

    Some 20 us, and a few ms when modules were imported since: then libraries are looked for.
    """
    global _holders  # noqa: PLW0603 - the limits are the process's, so is the count
    _holders += 1
    if _holders == 1:
        _undo.extend(_limit(lib) for lib in _libraries() if not _is_of_thread(lib))
        _undo.extend(_limit_arrow())


def release() -> None:
    """Undo one ``hold``."""
    global _holders  # noqa: PLW0603
    _holders -= 1
    if _holders == 0:
        while _undo:
            _undo.pop()()


@contextlib.contextmanager
def here() -> Iterator[None]:
    """Limit what is the calling thread's own."""
    undo = [_limit(lib) for lib in _libraries() if _is_of_thread(lib)]
    try:
        yield
    finally:
        while undo:
            undo.pop()()


def _libraries() -> list[Any]:
    """Libraries with inner threads that are loaded; looked for again when modules were imported."""
    global _found  # noqa: PLW0603 - what is loaded is the process's
    if "numpy" not in sys.modules:
        return []
    if _found[0] != len(sys.modules):
        import threadpoolctl  # noqa: PLC0415 - 30 ms that `import nbscale` need not spend

        _found = (len(sys.modules), threadpoolctl.ThreadpoolController().lib_controllers)
    return _found[1]


def _is_of_thread(lib: Any) -> bool:
    layer = getattr(lib, "threading_layer", "")
    return lib.internal_api in {"mkl", "openmp"} or layer == "openmp"


def _limit(lib: Any) -> Undo:
    # threadpoolctl lets a single thread of the process change OpenBLAS: the first that tried. We
    # count who needs the limit ourselves, and must not depend on who that was.
    change = getattr(lib, "_real_set_num_threads", lib.set_num_threads)
    before = lib.num_threads
    change(1)
    return lambda: change(before)


def _limit_arrow() -> Iterator[Undo]:
    arrow = sys.modules.get("pyarrow")
    before = 1 if arrow is None else arrow.cpu_count()
    if arrow is not None and before != 1:
        arrow.set_cpu_count(1)
        yield lambda: arrow.set_cpu_count(before)


def _forget() -> None:
    """In a forked child: no run is active."""
    global _holders  # noqa: PLW0603
    _holders = 0
    while _undo:
        _undo.pop()()


os.register_at_fork(after_in_child=_forget)
