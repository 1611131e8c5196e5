"""Futures: calls that start at once, in the processes of the pool.

``submit`` fills a batch; it is handed over when it holds 256 calls, after a millisecond, or when
somebody waits: what a call costs is decided by how many travel together.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import pickle
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from types import TracebackType
from typing import Any, ClassVar, TypeAlias

from nbscale.collection import public
from nbscale.engines.base import LOOK_UP, Ticket, deadline, inside
from nbscale.engines.failure import pack, unpack
from nbscale.errors import RunCancelled, render_for_notebook, trim_traceback
from nbscale.events import Place, user_place
from nbscale.expr.function import Function, capture
from nbscale.expr.unpicklable import can_pickle, culprit
from nbscale.graph.job import Sealed
from nbscale.graph.stage import Program, Stage, Step
from nbscale.record import record
from nbscale.session import Failed, current
from nbscale.store.codec import Dumps, decode, encode
from nbscale.store.shared import Argument, Kept, Memory, naming
from nbscale.units import format_bytes

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

_MOST = 256
"""Calls of a batch."""

_AFTER = 0.001
"""Seconds after which a batch is handed over."""

_AWAKE = 0.01
"""Seconds after a batch in which the next is looked for: to be woken costs more than to look."""
_TABLES = frozenset({"numpy", "pandas", "pyarrow"})
"""Whose values are large, and run no code of the user's when they are read."""

_PLAIN = frozenset({int, float, complex, bool, str, bytes, type(None)})
"""Types whose values cannot change."""


class _Gate:
    """What Python's futures need of a condition, in an eighth of its memory.

    Most futures are waited for by nobody.
    """

    __slots__ = ("_lock", "_sleepers")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._sleepers: list[Any] | None = None

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def acquire(self) -> None:
        self._lock.acquire()

    def release(self) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> None:
        """Let go of the lock, which is held once, until everybody is notified."""
        bed = threading.Lock()
        bed.acquire()
        if self._sleepers is None:
            self._sleepers = []
        self._sleepers.append(bed)
        self._lock.release()
        left = deadline(timeout)
        try:
            # In naps: a signal that comes just before a thread falls asleep does not wake it.
            while not bed.acquire(
                timeout=LOOK_UP if (rest := left()) is None else min(rest, LOOK_UP)
            ):
                if rest == 0:
                    return
        finally:
            self._lock.acquire()

    def notify_all(self) -> None:
        """Wake everybody."""
        sleepers, self._sleepers = self._sleepers, None
        for bed in sleepers or ():
            bed.release()


class Future(concurrent.futures.Future[Any]):
    """The result of a call that will be there: Python's own future, which can also be awaited.

    Works with ``concurrent.futures.wait`` and ``asyncio.wrap_future``. Callbacks run on a thread of
    their own.
    """

    # There may be many that wait, and slots take least.
    __slots__ = ("_trace", "argument", "batch", "call", "kept", "once", "run", "what")

    def __init__(self) -> None:
        super().__init__()
        self._condition = _Gate()  # type: ignore[assignment]
        self.batch: _Batch | None = None
        self.kept: Kept | None = None
        self.argument: Argument | None = None
        self.what = ""
        self.run = self.call = 0  # which call of which run it is, once it was handed over
        self.once = False
        self._trace: TracebackType | None = None

    @classmethod
    def of(cls, kept: Kept, what: str) -> Future:
        """A future that is done, whose value is kept in shared memory."""
        future = cls()
        future.set_result(None)
        future.kept, future.argument, future.what = kept, Argument(kept), what
        return future

    def __repr__(self) -> str:
        if self.kept is None:
            return super().__repr__()
        return f"<Future: {self.what} of {format_bytes(self.kept.nbytes)} in shared memory>"

    def __reduce__(self) -> Any:
        if self.kept is None:
            raise TypeError(
                "a future cannot be pickled; give it as an argument, also in a list, tuple, set "
                "or dict, or take its result()"
            )
        return Future.of, (self.kept, self.what)

    def add_done_callback(self, fn: Callable[[Any], object]) -> None:
        """Have a function called with the future when it is done, on a thread for callbacks."""
        # Whoever ends the call would do it: the loop's thread, which must not be kept waiting.
        super().add_done_callback(lambda future: _desk.call(fn, future))

    @public
    def result(self, timeout: float | None = None) -> Any:
        """Wait for the result and return it.

        Raises
        ------
        TimeoutError
            If it is not there after so many seconds; the call goes on.
        concurrent.futures.CancelledError
            If it was cancelled.
        Exception
            What the call raised.
        """
        if self.kept is not None:
            return self.kept.value()
        error = self._failure(timeout)
        if error is not None:
            # As it came: whoever asked before has added frames of its own to it.
            raise error.with_traceback(self._trace)
        return super().result()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the end and return what the call raised, or None."""
        return self._failure(timeout)

    def _failure(self, timeout: float | None) -> BaseException | None:
        """Wait for the end; what it raised, or what reading its result has raised here."""
        self._hurry()
        error = super().exception(timeout)
        brought: Any = self._result
        if isinstance(brought, Brought):
            # Read by who asks for it: it may take long, and raise, as the user's own code does.
            load = brought.load
            with brought.lock:
                if self._result is brought:
                    try:
                        self._result = load()
                    except Exception as mistake:  # noqa: BLE001 - it is the call's from now on
                        self._result = None
                        self._exception, self._trace = mistake, mistake.__traceback__
            error = self._exception
        return error

    def set_exception(self, exception: BaseException | None) -> None:
        """Take what the call raised."""
        if exception is not None:
            self._trace = exception.__traceback__
        super().set_exception(exception)

    def cancel(self) -> bool:
        """Give the call up; what it is at is stopped if nobody waits for its neighbours either."""
        if not super().cancel():
            return False
        batch = self.batch
        if batch is not None:
            batch.given_up()
        return True

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait for the result, letting others go on meanwhile."""
        self._hurry()
        try:
            return (yield from asyncio.wrap_future(self).__await__())
        except Exception as error:
            render_for_notebook(error)
            trim_traceback(error)
            raise error  # noqa: TRY201 - as in `public`

    def _hurry(self) -> None:
        batch = self.batch
        if batch is not None and batch.ticket is None and not self.done():
            batch.go()

    def settle(self, outcome: Outcome) -> None:
        if not self.set_running_or_notify_cancel():
            return
        done, value = outcome
        if done:
            self.set_result(value)
        else:
            self.set_exception(unpack(value))


Outcome: TypeAlias = tuple[bool, Any]
"""Whether a call returned, and what; what it raised is packed."""


class Frozen:
    """Arguments as they were when the call was submitted."""

    __slots__ = ("_data", "memories")

    def __init__(self, data: Any, memories: tuple[Memory, ...] = ()) -> None:
        self._data = data
        self.memories = memories  # that they name

    @classmethod
    def of(cls, arguments: tuple[tuple[Any, ...], dict[str, Any]], pickler: Dumps) -> Frozen:
        """Pickle arguments; what is kept in shared memory is named."""
        encoded, memories = naming(encode, arguments, pickler)
        return cls(encoded.to_bytes(), memories)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Frozen, (pickle.PickleBuffer(self._data),)

    def load(self) -> Any:
        return decode(memoryview(bytearray(self._data)))


class Brought:
    """A result on its way, still in bytes; both ends of the way are the same Python."""

    __slots__ = ("_data", "lock")

    def __init__(self, data: Any) -> None:
        self._data = data
        self.lock = threading.Lock()

    @classmethod
    def of(cls, value: Any, what: str) -> Brought:
        """Pickle a result.

        Raises
        ------
        TypeError
            If that is not possible: what cannot be pickled is named by its path.
        """
        with contextlib.suppress(Exception):  # what is defined in a notebook is pickled by value
            return cls(encode(value).to_bytes())
        import cloudpickle  # noqa: PLC0415 - few values need it

        try:
            return cls(encode(value, cloudpickle.dumps).to_bytes())
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            if "recursion" in str(error):
                raise
            told = culprit(value, "the result")
            raise TypeError(f"what {what} returns cannot be sent: {told}") from None

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Brought, (pickle.PickleBuffer(self._data),)

    def load(self) -> Any:
        return decode(memoryview(bytearray(self._data)))


def _on_its_way(value: Any, what: str) -> Any:
    """A result as it goes to the kernel, where no code of the user's may run unasked."""
    kind = type(value)
    if kind in _PLAIN or not inside():
        return value
    if kind.__module__.partition(".")[0] in _TABLES and not getattr(
        getattr(value, "dtype", None), "hasobject", False
    ):
        return value
    return Brought.of(value, what)


def _failed(error: BaseException) -> Outcome:
    """The outcome of a call that did not come to its end."""
    return False, pack(error)


@record
class _Calls:
    """The kernel of a batch: task i makes call i."""

    calls: tuple[tuple[Function, Any], ...]
    place: Place | None = None
    plain: ClassVar[bool] = True  # functions and arguments are bytes already, or cannot change

    def __call__(self, index: tuple[int, ...]) -> Outcome:
        function, arguments = self.calls[index[0]]
        try:
            args, kwargs = arguments.load() if type(arguments) is Frozen else arguments
            return True, _on_its_way(function(*args, **kwargs), function.name)
        except (KeyboardInterrupt, RunCancelled):
            raise
        except BaseException as error:  # noqa: BLE001 - it belongs to this call, not to the batch
            where = "" if self.place is None else f" ({self.place})"
            note = f"while running {function.name}{where}"
            if note not in getattr(error, "__notes__", ()):
                error.add_note(note)
            return False, pack(error)


@record
class _OneCall:
    """The kernel of a call that is made once more: what it raises it raises."""

    function: Function
    arguments: Any

    def __call__(self, index: tuple[int, ...]) -> Any:
        given = self.arguments
        args, kwargs = given.load() if type(given) is Frozen else given
        return self.function(*args, **kwargs)


class _Batch:
    """Calls that travel together."""

    def __init__(self) -> None:
        self.futures: list[Future] = []
        self.calls: list[tuple[Function, Any]] = []
        self.captured: dict[int, tuple[Any, Function]] = {}
        self.place: Place | None = None
        self.open = False  # more of the kind are to be expected
        self.due = time.monotonic() + _AFTER
        self.ticket: Ticket | None = None
        self._lock = threading.Lock()

    def add(self, future: Future, function: Function, arguments: Any) -> None:
        future.what = function.name
        self.calls.append((function, arguments))
        self.futures.append(future)
        future.batch = self

    def go(self) -> None:
        """Hand it over; does nothing if it was."""
        _desk.close(self)
        with self._lock:
            if self.ticket is not None:
                return
            wanted = [i for i, future in enumerate(self.futures) if not future.done()]
            if len(wanted) < len(self.calls):
                self.futures = [self.futures[i] for i in wanted]
                self.calls = [self.calls[i] for i in wanted]
            if not wanted:
                return
            names = dict.fromkeys(function.name for function, _ in self.calls)
            shared = dict.fromkeys(
                memory
                for function, arguments in self.calls
                for holder in (function, arguments)
                if type(holder) is not tuple
                for memory in holder.memories
            )
            name = next(iter(names)) + (" and others" if len(names) > 1 else "")
            n = len(self.calls)
            step = Step(_Calls(tuple(self.calls), self.place), (), (0,), name, self.place)
            stage = Stage(
                0, name, (range(n),), (n,), Program.of(0, [step]), (), result=0, gil_free=False,
                user_code=True, places=() if self.place is None else (self.place,), shared=tuple(shared),
                once=frozenset(i for i, future in enumerate(self.futures) if future.once),
                substitute=_failed,
            )  # fmt: skip
            try:
                self.ticket = current().begin(
                    Sealed((stage,)), name, "submitted", self._deliver,
                    self._ended, self.place, n, joins=True, open=self.open,
                )  # fmt: skip
            except BaseException as error:  # noqa: BLE001 - who waits must be told
                self._ended(error)
                return
            for number, future in enumerate(self.futures):
                future.run, future.call = self.ticket.run, self.ticket.first + number
        self.given_up()  # if that was while it was handed over
        if self.ticket.by_waiter:
            with contextlib.suppress(Exception, RunCancelled):  # the futures have it
                self.ticket.wait()

    def _deliver(self, result: int) -> Callable[[tuple[int, ...], Outcome], None]:
        del result  # there is one
        return self._take

    def _take(self, index: tuple[int, ...], outcome: Outcome) -> None:
        if not outcome[0]:
            self._note_failure(index[0], outcome[1])
        self.futures[index[0]].settle(outcome)

    def _note_failure(self, number: int, packed: bytes) -> None:
        """Keep the call for whoever wants to look at it; its neighbours are not kept."""
        name = self.futures[number].what
        step = Step(_OneCall(*self.calls[number]), (), (0,), name, self.place)
        stage = Stage(0, name, (range(1),), (1,), Program.of(0, [step]), ())
        failed = Failed.of((stage,), 0, 0, unpack(packed))
        with self._lock:  # it may still be being handed over
            ticket = self.ticket
        if ticket is not None:
            current().note_failure(ticket.run, failed)

    def _ended(self, error: BaseException | None) -> None:
        """Every call that has no outcome shares that of the run."""
        for future in self.futures:
            future.batch = None  # who keeps a result need not keep what all of these were made from
            if error is not None and not future.done():
                _desk.fail(future, error)

    def given_up(self) -> None:
        """A call was cancelled: stop the run if no other is left."""
        if self.ticket is not None and all(future.done() for future in self.futures):
            self.ticket.cancel()


class _Desk:
    """The batch being filled, and the thread that hands it over in time and runs callbacks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._starting = threading.RLock()
        self._open: _Batch | None = None
        self._opened: deque[_Batch] = deque()  # some of them were handed over before they were due
        self._todo: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._asleep = False

    def add(
        self,
        future: Future,
        function: Any,
        arguments: Any,
        place: Place | None = None,
        *,
        open: bool = False,
    ) -> None:
        full = None
        if not isinstance(function, Function):
            function = self._captured(function)
        with self._lock:
            batch = self._open
            if batch is None:
                batch = self._open = _Batch()
                batch.place = place or user_place()
                batch.open = open
                self._time(batch)
            batch.add(future, function, arguments)
            if len(batch.calls) >= _MOST:
                full, self._open = batch, None
        if full is not None:
            full.go()

    def _captured(self, function: Any) -> Function:
        """The function as it is now; within a batch it is captured once."""
        batch = self._open
        known = None if batch is None else batch.captured.get(id(function))
        if known is None:
            known = (function, _capture(function))
            if batch is not None:
                batch.captured[id(function)] = known
        return known[1]

    def close(self, batch: _Batch) -> None:
        """Nothing is added to a batch any more."""
        with self._lock:
            if self._open is batch:
                self._open = None

    def flush(self) -> None:
        """Hand over what is there."""
        batch = self._open
        if batch is not None:
            batch.go()

    def call(self, function: Callable[[Any], object], future: Any) -> None:
        """Have a callback called; what it raises is logged, as Python's own futures do."""

        def called() -> None:
            try:
                function(future)
            except Exception:  # noqa: BLE001 - nobody waits for it, and others wait to be called
                _log.exception("calling callback for %r raised", future)

        self._post(called)

    def fail(self, future: Future, error: BaseException) -> None:
        def fail() -> None:
            if not future.done() and future.set_running_or_notify_cancel():
                future.set_exception(error)

        self._post(fail)

    def _time(self, batch: _Batch) -> None:
        """Have a batch handed over in time."""
        self._opened.append(batch)
        if self._asleep:
            self._todo.put(None)
        elif self._thread is None:
            self._begin()

    def _post(self, what: Callable[[], object]) -> None:
        self._todo.put(what)  # needs no lock: a future may be given up by a finalizer, anywhere
        if self._thread is None:
            self._begin()

    def _begin(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="nbscale-futures", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        opened, todo = self._opened, self._todo
        idle = 0.0
        while True:
            now = time.monotonic()
            while opened and opened[0].due <= now:
                opened.popleft().go()
                idle = now + _AWAKE
            what = None
            if opened or now < idle:
                with contextlib.suppress(queue.Empty):
                    what = todo.get(timeout=max(0.0, opened[0].due - now) if opened else _AFTER)
            else:
                self._asleep = True  # from here on who opens a batch says so
                if not opened:
                    what = todo.get()
                self._asleep = False
            if what is not None:
                what()
            del what


_desk = _Desk()
_log = logging.getLogger(__name__)


def _forget() -> None:
    global _desk  # noqa: PLW0603 - one per process
    _desk = _Desk()


os.register_at_fork(after_in_child=_forget)


def _futures_in(value: Any, found: list[Future]) -> None:
    """Futures among arguments, also inside lists, tuples, sets and dicts."""
    kind = type(value)
    if kind in _PLAIN:
        return
    if kind is Future:
        found.append(value)
    elif kind in (list, tuple, set, frozenset):
        for item in value:
            _futures_in(item, found)
    elif kind is dict:
        for item in value.values():
            _futures_in(item, found)


def _filled(value: Any, *, named: bool = False) -> Any:
    """Arguments with results in the places of futures, all of which are done.

    ``named``: what is kept in shared memory is not brought here, it is named.
    """
    kind = type(value)
    if kind is Future:
        return value.argument if named and value.argument is not None else value.result()
    if kind in (list, tuple, set, frozenset):
        return kind(_filled(item, named=named) for item in value)
    if kind is dict:
        return {key: _filled(item, named=named) for key, item in value.items()}
    return value


def _capture(function: Any) -> Function:
    """The function as it is now, with what it reads of what is kept."""
    captured, memories = naming(capture, function)
    if captured is not function:
        captured.memories = memories
    return captured


def _frozen(arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> Any:
    """Arguments that no later change reaches."""
    args, kwargs = arguments
    if all(type(a) in _PLAIN for a in args) and all(type(a) in _PLAIN for a in kwargs.values()):
        return arguments
    from nbscale.expr.pickler import dumps  # noqa: PLC0415 - plain arguments need none of it

    try:
        return Frozen.of(arguments, dumps)
    except Exception as error:
        named = {f"argument {n}": a for n, a in enumerate(args)} | kwargs
        bad = next(
            (f"{name}: {culprit(a, name)}" for name, a in named.items() if not can_pickle(a)), error
        )
        raise TypeError(f"an argument cannot be pickled: {bad}") from error


@public
def submit(
    function: Callable[..., Any], /, *args: Any, once: bool = False, **kwargs: Any
) -> Future:
    """Call a function in a process of the pool, at once.

    Parameters
    ----------
    function
        Any function, also one defined in the notebook: it is captured as it is now.
    *args, **kwargs
        Its arguments, as they are now. A future among them, also inside lists, tuples, sets and
        dicts, is waited for and its result put in its place; if it failed, so does this one.

    once
        Never make the call twice: if its worker dies or freezes when it may have begun, the future
        fails with ``WorkerLost``. Otherwise such a call is made again.

    Returns
    -------
    Future
        Its ``result()`` waits.

    Raises
    ------
    TypeError
        If the function or an argument cannot be pickled: it is named by its path.

    Notes
    -----
    Calls travel in batches, so many at once cost less each than one alone. A call that fails, or that
    costs two workers their lives, fails alone. Inside a task the call is made right there, and again
    if that task is; give that one ``once=True``, too.

    Examples
    --------
    >>> import nbscale as ns
    >>> ns.submit(pow, 2, 10).result()
    1024
    """
    future = Future()
    future.once = once
    if inside():
        _call_here(future, function, args, kwargs)
        return future
    found: list[Future] = []
    _futures_in(args, found)
    if kwargs:
        _futures_in(kwargs, found)
    open_ones = [one for one in found if not one.done()]
    if not found:
        _desk.add(future, function, _frozen((args, kwargs)))
    elif not open_ones:
        _with_results(future, function, (args, kwargs), found)
    else:
        captured = _capture(function)
        _Waiting(future, captured, (args, kwargs), found, open_ones)
    return future


def begin(future: Future, function: Function, arguments: Frozen, place: Place | None) -> None:
    """Make a future the result of a call whose arguments were pickled by somebody else.

    Parameters
    ----------
    future
        A new one, which may have callbacks and may have been cancelled.
    function, arguments
        The call.
    place
        Where the user asked for it. Others of the same name and place are told of with it, and more
        of them are expected.
    """
    if not future.cancelled():
        _desk.add(future, function, arguments, place, open=True)


def _call_here(
    future: Future, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    captured = _capture(function)
    try:
        filled = _filled(args), _filled(kwargs)
    except Exception as error:  # noqa: BLE001 - that of an argument is the call's
        future.set_exception(error)
    else:
        future.settle(_Calls(((captured, filled),), user_place())((0,)))


def _with_results(future: Future, function: Any, arguments: Any, found: list[Future]) -> None:
    if any(_follows(future, one) for one in found):
        return
    args, kwargs = _filled(arguments, named=True)
    try:
        _desk.add(future, function, _frozen((args, kwargs)))
    except Exception as error:  # noqa: BLE001 - on the thread of callbacks nobody would see it
        if future.set_running_or_notify_cancel():
            future.set_exception(error)


def _follows(future: Future, one: Future) -> bool:
    """Whether an argument that is done has none to give: then there is no call to be made."""
    if one.cancelled():
        future.cancel()
        return True
    error = one.exception()
    if error is not None and future.set_running_or_notify_cancel():
        future.set_exception(error)
    return error is not None


class _Waiting:
    """A call that waits for the results of others."""

    def __init__(
        self,
        future: Future,
        function: Function,
        arguments: Any,
        found: list[Future],
        open_ones: list[Future],
    ) -> None:
        self._call = (future, function, arguments, found)
        self._left = len(open_ones)
        self._lock = threading.Lock()
        for one in open_ones:
            one.add_done_callback(self._one_done)

    def _one_done(self, one: Future) -> None:
        with self._lock:
            self._left -= 1
            left = self._left
        future = self._call[0]
        if not future.done() and not _follows(future, one) and not left:
            _with_results(*self._call)


@public
def map(function: Callable[..., Any], *iterables: Iterable[Any]) -> list[Future]:
    """Call a function for each item, or each tuple of items, in processes of the pool.

    Parameters
    ----------
    function
        As for ``submit``.
    *iterables
        As many as the function has arguments; the shortest ends it, as Python's ``map``.

    Returns
    -------
    list of Future
        In the order of the items.

    Examples
    --------
    >>> import nbscale as ns
    >>> ns.gather(ns.map(pow, [1, 2, 3], [2, 2, 2]))
    [1, 4, 9]
    """
    return [submit(function, *items) for items in zip(*iterables, strict=False)]


@public
def gather(futures: Any) -> Any:
    """Wait for futures and return their results in their places.

    Parameters
    ----------
    futures
        A future, or lists, tuples, sets and dicts that hold some.

    Raises
    ------
    Exception
        What the first of them that failed, in their order, has raised.

    Examples
    --------
    >>> import nbscale as ns
    >>> ns.gather({"a": ns.submit(abs, -1), "b": [ns.submit(abs, -2)]})
    {'a': 1, 'b': [2]}
    """
    if isinstance(futures, Iterator):
        futures = list(futures)
    _desk.flush()
    return _filled(futures)


@public
def wait(
    futures: Iterable[Future], timeout: float | None = None, return_when: str = "ALL_COMPLETED"
) -> Any:
    """Wait for futures, as ``concurrent.futures.wait``.

    Parameters
    ----------
    futures
        What to wait for.
    timeout
        Seconds, or None for as long as it takes.
    return_when
        ``"ALL_COMPLETED"``, ``"FIRST_COMPLETED"`` or ``"FIRST_EXCEPTION"``.

    Returns
    -------
    done, not_done
        Sets of futures.

    Examples
    --------
    >>> import nbscale as ns
    >>> done, not_done = ns.wait([ns.submit(abs, -1)])
    >>> len(done), len(not_done)
    (1, 0)
    """
    _desk.flush()
    return concurrent.futures.wait(futures, timeout, return_when)


@public
def as_completed(futures: Iterable[Future], timeout: float | None = None) -> Iterator[Future]:
    """Futures in the order in which they are done, as ``concurrent.futures.as_completed``.

    Parameters
    ----------
    futures
        What to wait for.
    timeout
        Seconds for all of them, or None for as long as it takes.

    Raises
    ------
    TimeoutError
        If one is not done in time; they go on.

    Examples
    --------
    >>> import nbscale as ns
    >>> sorted(one.result() for one in ns.as_completed(ns.map(abs, [-1, -2])))
    [1, 2]
    """
    _desk.flush()
    return concurrent.futures.as_completed(futures, timeout)  # type: ignore[return-value]


@public
def cancel(futures: Future | Iterable[Future]) -> None:
    """Give calls up: those not begun are never made, those under way are stopped.

    A call under way shares a batch with others; it is stopped when nobody waits for any of them.

    Parameters
    ----------
    futures
        One or more. Those done stay done.

    Examples
    --------
    >>> import nbscale as ns
    >>> ns.cancel(ns.map(abs, [-1, -2]))
    """
    for one in [futures] if isinstance(futures, Future) else futures:
        one.cancel()
