"""What is said of a task for which there was not enough memory, alone as it was the second time."""

from __future__ import annotations

import errno

from nbscale.errors import TaskMemoryError
from nbscale.units import format_bytes

__all__ = ["ended", "is_short", "too_much"]

_REMEDY = "Use smaller partitions (partition_size, chunk_size), or raise memory_limit"


def is_short(error: BaseException) -> bool:
    """Whether an error says that there was not enough memory.

    Examples
    --------
    >>> is_short(MemoryError()), is_short(OSError(errno.ENOMEM, "...")), is_short(OSError())
    (True, True, False)
    """
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) and not isinstance(error, TaskMemoryError)


def too_much(error: BaseException, peak: int, foreseen: int, limit: int) -> TaskMemoryError:
    """The error of a task that raised one for want of memory, at the same line of the user's."""
    told = str(error) or type(error).__name__
    took = f"it took {format_bytes(peak)} and asked for more" if peak else "it asked for too much"
    found = TaskMemoryError(
        f"{told.rstrip('.')}: {took}, alone, where {format_bytes(foreseen)} were foreseen and the "
        f"memory limit is {format_bytes(limit)}. {_REMEDY}"
    )
    found.__dict__.update(error.__dict__)  # such as the step that it was at
    return found.with_traceback(error.__traceback__)


def ended(limit: int) -> TaskMemoryError:
    """The error of a task whose process the system ended for want of memory."""
    return TaskMemoryError(
        "the system ended two processes in turn that ran it, the second with nothing beside it, since "
        f"memory was used up; the memory limit is {format_bytes(limit)}. "
        "Use smaller partitions (partition_size, chunk_size)"
    )
