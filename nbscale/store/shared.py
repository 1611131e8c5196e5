"""Memory that outlives runs: a value copied once, which every process maps and nobody changes.

::

    keep(value) ─> [name │ value] ── its descriptor, once to each process ──> private maps
                        └── nobody refers to it and nobody maps it ──> the next value

Segments belong to an engine, which knows when their extents are free. This memory belongs to whoever
holds a ``Kept``: it is there before an engine starts and after one is closed. Its bytes do not change
while somebody reads them. A map is private: the system copies a page when it is written to, and nobody
else sees that.

Nobody counts the readers, which may be killed at any time: the system does. Each process opens the
memory for itself and locks what it has opened (``flock``), and that lock lasts as long as there is a
descriptor or a map made from it. Who made the memory uses it again once it gets a lock that excludes
all others. New pages cost more than the copy, so this doubles the speed of the next value.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import pickle
import secrets
import struct
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

from nbscale.errors import NbscaleError, Stuck
from nbscale.store.codec import Dumps, Encoded, decode, encode

__all__ = [
    "Argument",
    "Kept",
    "Memory",
    "Offer",
    "accept",
    "fetch_with",
    "held",
    "keep",
    "keep_all",
    "naming",
    "offer",
    "trim",
]

T = TypeVar("T")

_INLINE = 16 << 10
"""Bytes up to which a value is kept as bytes and travels with each call: descriptors are scarce."""

_ALONE = 4 << 20
"""Bytes from which each of several values that are kept together gets memory of its own."""

_ALIGN = 64

_HEAD = 64
"""Bytes before the value: the name, which tells a reader that it has what it was told of."""

_NAMES = 1 << 62
"""Names begin here, above the numbers of segments, which processes are told in the same way."""

_NAME = struct.Struct("<Q")

_REUSED = 1 << 20
"""Bytes from which memory is worth being used again."""

_SPARE = 256 << 20
"""Bytes of memory that is kept for the next value."""

Fetch: TypeAlias = Callable[[int], int]
"""Gives a descriptor of the memory of that name; it stays the giver's."""


Offer: TypeAlias = tuple[int, int, int, int]
"""Memory of another process: its number there, the descriptor there, its name, its bytes."""


class Memory:
    """Bytes that do not change while somebody refers to them or to a map of them.

    Attributes
    ----------
    name
        The same in every process, and never used again.
    fd
        Its descriptor, for others.
    nbytes
        Of it.
    """

    __slots__ = ("__weakref__", "_lock", "_made_by", "fd", "name", "nbytes")

    def __init__(self, name: int, fd: int, lock: int, nbytes: int) -> None:
        self.name, self.fd, self.nbytes = name, fd, nbytes
        self._lock = lock
        self._made_by = 0 if fd == lock else os.getpid()
        _known[name] = self

    def __del__(self) -> None:
        os.close(self._lock)
        if self._made_by == os.getpid():
            _spares.add(self.fd, _HEAD + self.nbytes)
        elif self._made_by:  # by the process that this one was forked from
            os.close(self.fd)

    def __reduce__(self) -> Any:
        # Another process would take the numbers of descriptors for its own, and close them.
        raise TypeError("memory travels by its descriptor: see naming() and offer()")

    def map(self, start: int, nbytes: int) -> memoryview:
        """Bytes of it for the caller to change: nobody else sees it. They live as long as the map."""
        page = (_HEAD + start) // mmap.PAGESIZE * mmap.PAGESIZE
        skip = _HEAD + start - page
        # Python's maps hold a descriptor, and with it the lock.
        made = mmap.mmap(self._lock, skip + nbytes, mmap.MAP_PRIVATE, offset=page)
        return memoryview(made)[skip:]


class _Spares:
    """Memory made here that nobody here refers to any more, for the next value."""

    def __init__(self) -> None:
        self._left: list[tuple[int, int]] = []

    @property
    def nbytes(self) -> int:
        return sum(nbytes for _, nbytes in list(self._left))

    def add(self, fd: int, nbytes: int) -> None:
        """Keep it, or close it; called by finalizers, wherever they run: it must not wait."""
        # A worker's memory is counted by nobody after its task.
        if nbytes < _REUSED or nbytes + self.nbytes > _SPARE or _fetch is not None:
            os.close(fd)
        else:
            self._left.append((fd, nbytes))

    def take(self, nbytes: int) -> int | None:
        """The descriptor of memory that nobody maps, the one whose size is nearest."""
        left = []
        with contextlib.suppress(IndexError):
            while True:
                left.append(self._left.pop())
        left.sort(key=lambda one: abs(one[1] - nbytes))
        found = next((one for one in left if _is_free(one[0])), None)
        self._left += [one for one in left if one is not found]
        return None if found is None else found[0]

    def trim(self, most: int) -> None:
        """Give back what is more than so many bytes."""
        with contextlib.suppress(IndexError):  # another thread took the last
            while self.nbytes > most:
                os.close(self._left.pop(0)[0])

    def forget(self) -> None:
        """In a forked child: the memory is its parent's."""
        self.trim(0)


class Kept:
    """A value that is kept, for as long as this lives.

    Pickled inside ``naming`` it is a name and a place, which takes a microsecond; elsewhere its bytes
    go with it, so it can be sent anywhere.
    """

    __slots__ = ("__weakref__", "_data", "_memory", "_start", "nbytes")

    def __init__(self, memory: Memory | None, data: bytes, start: int, nbytes: int) -> None:
        self._memory, self._data, self._start = memory, data, start
        self.nbytes = nbytes

    def value(self) -> Any:
        """The value, made anew: large buffers lie in a private map, the rest is a copy."""
        return decode(self._view())

    def in_use(self) -> Callable[[], Kept | None]:
        """A function that gives this again for as long as anybody refers to its memory."""
        if self._memory is None:
            return lambda: None
        there, start, nbytes = weakref.ref(self._memory), self._start, self.nbytes

        def again() -> Kept | None:
            memory = there()
            return None if memory is None else Kept(memory, b"", start, nbytes)

        return again

    def _view(self) -> memoryview:
        if self._memory is None:
            return memoryview(bytearray(self._data))
        return self._memory.map(self._start, self.nbytes)

    def __reduce_ex__(self, protocol: Any) -> Any:
        memory = self._memory
        named = getattr(_pickling, "named", None)
        if memory is None:
            return _inline, (self._data,)
        if named is None:
            view = self._view()
            return _copied, (pickle.PickleBuffer(view) if protocol >= 5 else bytes(view),)
        named[memory.name] = memory
        return _found, (memory.name, memory.nbytes, self._start, self.nbytes)


class Argument:
    """Stands for the value itself: whoever unpickles it gets that."""

    __slots__ = ("kept",)

    def __init__(self, kept: Kept) -> None:
        self.kept = kept

    def __reduce__(self) -> Any:
        return _value, (self.kept,)


_known: weakref.WeakValueDictionary[int, Memory] = weakref.WeakValueDictionary()
_spares = _Spares()
_pickling = threading.local()
_fetch: Fetch | None = None


def keep(value: Any, pickler: Dumps = pickle.dumps) -> Kept:
    """Copy a value into memory of its own; what is small is kept as bytes.

    Costs one pass over its bytes, and no other copy of large buffers.

    Raises
    ------
    OSError
        If there is no descriptor left; the message says what to do.

    Examples
    --------
    >>> keep([1, 2]).value()
    [1, 2]
    """
    return _placed(encode(value, pickler))


def keep_all(values: Sequence[Any], pickler: Dumps = pickle.dumps) -> list[Kept]:
    """Keep several values, those that are not large in memory that they share.

    Examples
    --------
    >>> [kept.value() for kept in keep_all(["a", "b"])]
    ['a', 'b']
    """
    kept: list[Kept | None] = []
    together: list[tuple[int, int, Encoded]] = []
    end = 0
    for value in values:
        encoded = encode(value, pickler)
        if _INLINE < encoded.nbytes < _ALONE:
            together.append((len(kept), end, encoded))
            kept.append(None)
            end += -(-encoded.nbytes // _ALIGN) * _ALIGN
        else:
            kept.append(_placed(encoded))
    if together:
        parts = [(start + at, part) for _, start, one in together for at, part in one.parts]
        memory = _written(parts, end)
        for place, start, one in together:
            kept[place] = Kept(memory, b"", start, one.nbytes)
    return [one for one in kept if one is not None]


def held() -> int:
    """Bytes of such memory that this process refers to or has kept for the next value."""
    return sum(memory.nbytes for memory in list(_known.values())) + _spares.nbytes


def trim(most: int) -> None:
    """Give back what is kept for the next value, all but so many bytes."""
    _spares.trim(most)


def naming(call: Callable[..., T], *args: Any) -> tuple[T, tuple[Memory, ...]]:
    """Make a call that pickles, in which what is kept is named instead of copied.

    Returns
    -------
    result
        Of the call.
    memories
        What was named: whoever unpickles must be able to fetch it, and it must be held until then.
    """
    before = getattr(_pickling, "named", None)
    named: dict[int, Memory] = {}
    _pickling.named = named
    try:
        return call(*args), tuple(named.values())
    finally:
        _pickling.named = before


def fetch_with(fetch: Fetch) -> None:
    """Say where this process gets memory from that another one made."""
    global _fetch  # noqa: PLW0603 - one way in a process
    _fetch = fetch


def offer(memory: Memory) -> Offer:
    """Tell another process of this user's where memory is to be had, for as long as it is held here."""
    return os.getpid(), memory.fd, memory.name, memory.nbytes


def accept(offered: Offer) -> Memory:
    """The memory that a process of ours offers.

    Raises
    ------
    OSError
        If that process has ended.
    """
    pid, fd, name, nbytes = offered
    memory = _known.get(name)
    return _opened(f"/proc/{pid}/fd/{fd}", name, nbytes) if memory is None else memory


def _opened(path: str, name: int, nbytes: int) -> Memory:
    fd = _locked(path)
    memory = Memory(name, fd, fd, nbytes)
    if os.pread(memory.fd, _NAME.size, 0) != _NAME.pack(name):
        raise Stuck("shared memory was given back while it was in use")
    return memory


def _placed(encoded: Encoded) -> Kept:
    if encoded.nbytes <= _INLINE or not hasattr(os, "memfd_create"):
        return Kept(None, encoded.to_bytes(), 0, encoded.nbytes)
    return Kept(_written(encoded.parts, encoded.nbytes), b"", 0, encoded.nbytes)


def _written(parts: Sequence[tuple[int, Any]], nbytes: int) -> Memory:
    fd = _spares.take(_HEAD + nbytes) if nbytes >= _REUSED else None
    if fd is None:
        fd = _made()
    name = _NAMES | secrets.randbits(61)
    try:
        os.ftruncate(fd, _HEAD + nbytes)
        for start, part in [(-_HEAD, _NAME.pack(name)), *parts]:
            _write(fd, part, _HEAD + start)
        return Memory(name, fd, _locked(f"/proc/self/fd/{fd}"), nbytes)
    except BaseException:
        os.close(fd)
        raise


def _made() -> int:
    with _scarce():
        return os.memfd_create("nbscale", os.MFD_CLOEXEC)


@contextlib.contextmanager
def _scarce() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise OSError(
                error.errno,
                "no descriptor is left, and each value in shared memory takes two: drop some, "
                "or scatter a list, whose values share them",
            ) from error
        raise


def _write(fd: int, part: Any, at: int) -> None:
    view = memoryview(part).cast("B")
    while view:  # written, not mapped: new pages cost half as much
        done = os.pwrite(fd, view, at)
        view, at = view[done:], at + done


def _locked(path: str) -> int:
    """The same memory opened anew, to be read, and locked against being used for another value."""
    import fcntl as f  # noqa: PLC0415 - not everywhere

    # A copy of the descriptor would share the lock of whoever gave it.
    with _scarce():
        mine = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        f.flock(mine, f.LOCK_SH | f.LOCK_NB)
    except BaseException:
        os.close(mine)
        raise
    return mine


def _is_free(fd: int) -> bool:
    """Whether nobody, in any process, has a map of what was made here or is about to make one."""
    import fcntl as f  # noqa: PLC0415 - not everywhere

    try:
        f.flock(fd, f.LOCK_EX | f.LOCK_NB)
    except BlockingIOError:
        return False
    f.flock(fd, f.LOCK_UN)
    return True


def _inline(data: bytes) -> Kept:
    return Kept(None, data, 0, len(data))


def _copied(data: Any) -> Kept:
    view = memoryview(data)
    return _placed(Encoded(((0, view),), view.nbytes))


def _found(name: int, size: int, start: int, nbytes: int) -> Kept:
    memory = _known.get(name)
    if memory is None:
        if _fetch is None:
            raise NbscaleError(
                "a value in shared memory was named in a process that does not share it"
            )
        memory = _opened(f"/proc/self/fd/{_fetch(name)}", name, size)
    return Kept(memory, b"", start, nbytes)


def _value(kept: Kept) -> Any:
    return kept.value()


os.register_at_fork(after_in_child=_spares.forget)
