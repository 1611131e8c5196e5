"""joblib's ``Parallel``, and with it scikit-learn's ``n_jobs``, in the processes of the pool.

::

    Parallel ── batches of calls ──> submit ── pickled; large arrays are named ──> futures ──> pool
                                        └── not more at a time than n_jobs

joblib makes the batches, larger ones where calls are short, and hands in the next when one is done.
Only what it documents for backends is used, besides the calls in a batch, ``items``.
"""

from __future__ import annotations

import contextlib
import io
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import joblib
import numpy as np
from joblib.parallel import AutoBatchingMixin, ParallelBackendBase

from nbscale.engines import limits
from nbscale.engines.base import inside
from nbscale.events import Place, user_place
from nbscale.expr.function import Function, capture
from nbscale.expr.pickler import Pickler
from nbscale.expr.unpicklable import can_pickle, culprit
from nbscale.futures import Frozen, Future, begin, cancel
from nbscale.ml.files import in_file
from nbscale.ml.once import Once
from nbscale.session import current
from nbscale.store.shared import Argument

__all__ = ["NbscaleBackend"]


class NbscaleBackend(AutoBatchingMixin, ParallelBackendBase):
    """The backend ``"nbscale"`` of joblib.

    Parameters
    ----------
    scatter
        A list of arrays or frames to share at once and for as long as the backend is set, as of
        Dask's backend. Seldom needed: what is large is shared when it is met, once for each
        ``Parallel`` call. A later change of them is not seen.
    nesting_level
        Of joblib.

    Notes
    -----
    Arrays and frames of 256 KB and more are copied into shared memory once, wherever they are in the
    calls, and mapped by the workers. One that is an argument of a call is that call's own: it may be
    changed, and no other call sees it. Arrays in files (``numpy.memmap``) are mapped from their files.

    ``n_jobs`` is at most the number of workers. Inside a task it is 1: the calls are made one after
    the other, right there.

    Examples
    --------
    >>> import joblib, nbscale
    >>> with joblib.parallel_config(backend="nbscale"):
    ...     joblib.Parallel()(joblib.delayed(pow)(i, 2) for i in range(4))
    [0, 1, 4, 9]
    """

    supports_retrieve_callback = True
    default_n_jobs = -1

    def __init__(
        self,
        scatter: Any = None,
        nesting_level: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(nesting_level=nesting_level, **options)
        if scatter is not None and not isinstance(scatter, (list, tuple)):
            raise TypeError(f"scatter must be a list or a tuple, not {type(scatter).__name__}")
        self._once = Once(scatter or ())
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Future, Function, Frozen]] = deque()
        self._running: set[Future] = set()
        self._most = sys.maxsize
        self._calls = 0
        self._place: Place | None = None

    # What joblib asks -----------------------------------------------------------------------

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many calls run at the same time if so many are asked for."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if inside() or not current().for_calls().capabilities.parallel:
            return 1
        workers = limits.workers()
        if n_jobs is None:
            return workers
        return min(n_jobs, workers) if n_jobs > 0 else max(workers + 1 + n_jobs, 1)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **options: Any) -> int:
        """Get ready for a call of ``Parallel``; joblib's options for memory maps mean nothing here."""
        self.parallel = parallel
        jobs = self.effective_n_jobs(n_jobs)
        # With all of them, batches wait at the workers and not here, which saves a journey.
        self._most = jobs if jobs < limits.workers() else sys.maxsize
        return jobs

    def start_call(self) -> None:
        with self._lock:
            self._calls += 1
        self._place = user_place("joblib", "sklearn")

    def stop_call(self) -> None:
        with self._lock:
            self._calls -= 1
            over = not self._calls
        if over:
            self._once.clear()

    def terminate(self) -> None:
        self.reset_batch_stats()
        # It refers to this one: as a cycle they would keep what is scattered.
        self.parallel = _Quiet()

    def submit(self, func: Any, callback: Callable[[Any], None] | None = None) -> Future:
        """Have a batch of calls made."""
        future = Future()
        future.add_done_callback(self._done)
        if callback is not None:
            future.add_done_callback(callback)
        try:
            call = _named(func.items), self._frozen(func.items)
        except Exception as error:  # noqa: BLE001 - on the thread of callbacks nobody would see it
            future.set_exception(error)
            return future
        with self._lock:
            self._waiting.append((future, *call))
        self._advance()
        return future

    def retrieve_result_callback(self, out: Future) -> Any:
        """The results of a batch that is done."""
        try:
            return out.result()
        except Exception as error:
            _tell_where(error)
            raise

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Stop what runs and forget what waits."""
        with self._lock:
            waiting = [future for future, *_ in self._waiting]
            self._waiting.clear()
            running = list(self._running)
        cancel(waiting + running)

    # ----------------------------------------------------------------------------------------

    def _frozen(self, calls: list[Any]) -> Frozen:
        own = [
            (function, tuple(map(self._own, args)), {k: self._own(v) for k, v in kwargs.items()})
            for function, args, kwargs in calls
        ]
        try:
            return Frozen.of(((own,), {}), self._dumps)
        except Exception as error:
            bad = next(
                (culprit(value, name) for name, value in _parts(calls) if not can_pickle(value)),
                None,
            )
            if bad is None:
                raise
            raise TypeError(f"a call cannot be pickled: {bad}") from error

    def _own(self, value: Any) -> Any:
        """In the place of a shared argument: one of each call's own, though they travel together."""
        if isinstance(value, np.ndarray) and in_file(value) is not None:
            return value
        kept = self._once.kept(value)
        return value if kept is None else Argument(kept)

    def _dumps(self, value: Any, **options: Any) -> bytes:
        file = io.BytesIO()
        _Pickler(file, self._once, **options).dump(value)
        return file.getvalue()

    def _advance(self) -> None:
        """Hand over what waits, as much as may run."""
        while True:
            with self._lock:
                if not self._waiting or len(self._running) >= self._most:
                    return
                future, function, arguments = self._waiting.popleft()
                self._running.add(future)
            begin(future, function, arguments, self._place)

    def _done(self, future: Any) -> None:
        with self._lock:
            self._running.discard(future)
        self._advance()


class _Quiet:
    """What is asked of a ``Parallel`` that is over, should another one still use its backend."""

    verbose = 0


def _make_calls(calls: list[Any]) -> list[Any]:
    """Make the calls of a batch, in a task: what they do in parallel, they do one after the other."""
    with joblib.parallel_config(backend="sequential"):
        return [function(*args, **kwargs) for function, args, kwargs in calls]


_CAPTURED = capture(_make_calls)


def _named(calls: list[Any]) -> Function:
    """Runs are called by what the user's, or scikit-learn's, function is called."""
    function = calls[0][0]
    name = getattr(function, "__name__", None) or type(function).__name__
    return Function(_CAPTURED.payload, name, _CAPTURED.files)


def _parts(calls: list[Any]) -> Iterator[tuple[str, Any]]:
    for function, args, kwargs in calls:
        name = getattr(function, "__name__", None) or type(function).__name__
        yield name, function
        yield from ((f"argument {i} of {name}", value) for i, value in enumerate(args))
        yield from ((f"{key} of {name}", value) for key, value in kwargs.items())


def _tell_where(error: BaseException) -> None:
    """Note where it was raised: joblib takes the traceback away."""
    if error.__traceback__ is None:
        return
    trace = error.__traceback__
    while trace.tb_next is not None and _is_ours(trace.tb_frame.f_globals.get("__name__", "")):
        trace = trace.tb_next
    with contextlib.suppress(AttributeError):  # it has slots
        error.add_note("in a process of the pool:\n" + "".join(traceback.format_tb(trace)).rstrip())


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in ("concurrent", "joblib", "nbscale", "threading")


class _Pickler(Pickler):
    """Pickles as for any other call, but for what is shared and what lies in files."""

    def __init__(self, file: Any, once: Once, **options: Any) -> None:
        super().__init__(file, **options)
        self._once = once

    def reducer_override(self, obj: Any) -> Any:
        """How an object is pickled, unless in the usual way."""
        if isinstance(obj, np.ndarray):
            found = in_file(obj)
            if found is not None:
                return found
        kept = self._once.kept(obj)
        if kept is not None:
            return Argument(kept).__reduce__()
        return super().reducer_override(obj)
