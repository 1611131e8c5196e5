"""Futures: calls that start at once, in the processes of the pool.

::

    submit → arguments (frozen) → desk → batch of 256 → session → engine → Future.settle
               │ futures among them          ↑ in time
               └→ waiting                  clerk: the one thread, which also calls back
"""

from nbscale.futures.calls import Frozen
from nbscale.futures.future import Future
from nbscale.futures.verbs import as_completed, begin, cancel, gather, map, submit, wait

__all__ = [
    "Frozen",
    "Future",
    "as_completed",
    "begin",
    "cancel",
    "gather",
    "map",
    "submit",
    "wait",
]
