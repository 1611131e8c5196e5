"""What is said of workers that died, and of programs that cannot be sent to one."""

from __future__ import annotations

import signal

from nbscale.errors import WorkerLost
from nbscale.graph.stage import Stage

__all__ = ["cause_of", "lost", "unsendable"]


def cause_of(code: int) -> str:
    """What a process died of."""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else -code
        return f"by signal {name}"
    return f"with exit code {code}"


def lost(stage: Stage, cause: str, told: str) -> WorkerLost:
    """What is said of a task that cost several workers."""
    places = [str(step.place) for step in stage.program.steps if step.place is not None]
    where = f" ({places[-1]})" if len(places) == 1 else ""
    _, _, told = told.partition(": ")
    return WorkerLost(f"in {stage.name}{where}: {told}; the last one ended {cause}")


def unsendable(stage: Stage, error: BaseException) -> TypeError:
    """What is said of a program that cannot be sent: which operation it is, and why."""
    from nbscale.expr.pickler import dumps  # noqa: PLC0415 - it was loaded for the attempt that failed

    for step in stage.program.steps:
        try:
            dumps(step.kernel)
        except Exception as mistake:  # noqa: BLE001 - whatever it is, it is told of
            where = "" if step.place is None else f" ({step.place})"
            name, why = f"{step.name}{where}", str(mistake)
            break
    else:
        name, why = stage.name, str(error)
    return TypeError(
        f"{name} cannot be sent to the processes that should run it: {why}. Make what it needs "
        "inside the function, or run it in the kernel with engine='inline'"
    )
