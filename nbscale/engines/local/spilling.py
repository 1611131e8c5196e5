"""Moves values between shared memory and disk, on the thread ``nbscale-spill``.

::

    loop ── spill, load ──> [queue] ──> nbscale-spill ── what came of it ──> loop ──> machine

The loop's thread never waits for a disk. It makes room before a value is read and gives room back
after one was written; the other thread only copies bytes. After ``close`` nothing is told any more.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from nbscale.engines.local.remote import Handle, OnDisk, Remote
from nbscale.errors import SpillFull
from nbscale.scheduler.protocol import Loaded, Spilled, TaskId, Unreadable
from nbscale.store.codec import piece_starts
from nbscale.store.segments import Extent, Segments
from nbscale.store.spill import Spill, SpillFile, SpillStopped

__all__ = ["Spilling"]

_Told: TypeAlias = Callable[[SpillFile | None, BaseException | None], None]
"""Called on the loop's thread with the file, or with what went wrong."""


class Spilling:
    """Writes and reads one value after the other. Its thread begins with the first.

    Parameters
    ----------
    segments
        Where values lie in memory.
    answer
        Takes what the machine is told.
    retired
        Called with the name of each file that is not needed any more.
    post
        Has a call made on the loop's thread.

    Attributes
    ----------
    under_way
        How many are not done.
    """

    def __init__(
        self,
        segments: Segments,
        answer: Callable[[Spilled | Loaded | Unreadable], None],
        retired: Callable[[int], None],
        post: Callable[..., None],
    ) -> None:
        self._segments, self._answer, self._retired = segments, answer, retired
        self._post = post
        self._files: dict[int, tuple[TaskId, Remote, OnDisk]] = {}
        self._loading: set[int] = set()
        self._disk: Spill | None = None
        self._work: queue.SimpleQueue[tuple[Callable[[], SpillFile], _Told] | None]
        self._work = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False
        self.under_way = 0
        self._refused: OSError | None = None

    def write_to(self, folder: Path | None) -> None:
        """Write to this folder from now on; what was written elsewhere stays there."""
        self._disk = None if folder is None else Spill(folder)

    def spill(self, name: TaskId, remote: Remote) -> None:
        """Move a value to disk."""
        handle = remote.table[name.task]
        if type(handle) is not tuple:
            self._answer(Spilled(name))  # it takes no more here than a file would
        elif self._disk is None:
            self._answer(Spilled(name, ok=False))
        else:
            disk, extent = self._disk, Extent(*handle[:4])
            self._segments.hold(extent)
            view = self._segments.view(extent)

            ends = piece_starts(view) if len(handle) == 5 else ()

            def told(file: SpillFile | None, error: BaseException | None) -> None:
                self._spilled(name, remote, handle, file, error)

            self._add(lambda: disk.write(view, self._wanted, ends), told)

    def _spilled(
        self,
        name: TaskId,
        remote: Remote,
        handle: Handle,
        file: SpillFile | None,
        error: BaseException | None,
    ) -> None:
        extent, pieces = Extent(*handle[:4]), len(handle) == 5
        self._segments.release(extent)
        if remote.table.get(name.task) is not handle:
            return  # its run was given up
        if file is not None:
            there = remote.table[name.task] = OnDisk(file, pieces)
            self._files[file.name] = name, remote, there
            self._segments.free(extent)
        elif isinstance(error, OSError):
            self._refused = error.with_traceback(None)  # which holds what was to be written
        elif error is not None:
            raise error
        self._answer(Spilled(name, file is not None))

    def load(self, name: TaskId, remote: Remote) -> None:
        """Bring a value back."""
        handle = remote.table[name.task]
        if type(handle) is not OnDisk:
            self._answer(Loaded(name))
            return
        file = handle.file
        extent = self._segments.grant(file.nbytes, lasting=remote.is_lasting)
        view = self._segments.view(extent)
        self._loading.add(file.name)

        def bring() -> SpillFile:
            file.read_into(view, self._wanted)
            return file

        def told(file: SpillFile | None, error: BaseException | None) -> None:
            self._loaded(name, remote, handle, extent, file, error)

        self._add(bring, told)

    def _loaded(
        self,
        name: TaskId,
        remote: Remote,
        handle: OnDisk,
        extent: Extent,
        file: SpillFile | None,
        error: BaseException | None,
    ) -> None:
        self._loading.discard(handle.file.name)
        given_up = remote.table.get(name.task) is not handle
        if given_up or file is None:
            self._segments.free(extent)
        if given_up:
            return
        self.forget(handle)
        if file is not None:
            remote.table[name.task] = (*extent, True) if handle.pieces else tuple(extent)
        elif error is not None and not isinstance(error, OSError):
            raise error
        else:
            del remote.table[name.task]  # it is made again
        self._answer(Loaded(name, file is not None))

    def full(self, told: str) -> SpillFull:
        """What is said of a run that cannot go on because values stay in memory."""
        _, _, text = told.partition(": ")
        refused = self._refused
        return SpillFull(text if refused is None else f"{text}: {refused}")

    def fd(self, name: int) -> int:
        """The descriptor of a file."""
        return self._files[name][2].file.fd

    def unreadable(self, name: int) -> None:
        """A worker could not read a part of a file."""
        found = self._files.get(name)
        if found is None or name in self._loading:
            return  # it is known already, or will be in a moment
        task, remote, handle = found
        if remote.table.get(task.task) is handle:
            remote.drop(task.task)
            self._answer(Unreadable(task))

    def forget(self, handle: OnDisk) -> None:
        """A value on disk is not needed there any more."""
        if self._files.pop(handle.file.name, None) is not None:
            self._retired(handle.file.name)

    def close(self) -> None:
        """Give up what is under way; does not wait for the disk."""
        self._closed = True
        self._work.put(None)

    # The thread -----------------------------------------------------------------------------

    def _wanted(self) -> bool:
        return not self._closed

    def _add(self, call: Callable[[], SpillFile], told: _Told) -> None:
        self.under_way += 1
        self._work.put((call, told))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="nbscale-spill", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._closed:
            item = self._work.get()
            if item is None:
                return
            call, told = item
            file: SpillFile | None = None
            error: BaseException | None = None
            try:
                file = call()
            except SpillStopped:
                return
            except BaseException as mistake:  # noqa: BLE001 - whoever waits must be told
                error = mistake
            self._post(self._over, told, file, error)
            del item, call, told, file, error  # what waits here must hold no memory and no file

    def _over(self, told: _Told, file: SpillFile | None, error: BaseException | None) -> None:
        if not self._closed:
            self.under_way -= 1
            told(file, error)
