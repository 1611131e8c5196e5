"""A stage whose tasks are run by other processes: where its values lie, how a task names its inputs.

The value of a task is kept as a **handle**, made by the worker that ran it:

- ``bytes``: the value, pickled, when it is small;
- ``[bytes, ...]``: the pieces of a small value whose readers want one each;
- ``(segment, start, nbytes, generation)``: an extent of shared memory that holds the value;
- ``(segment, start, nbytes, generation, True)``: one that holds pieces;
- ``OnDisk``: it has left memory.

A task gets **references**: a handle as it is, the bytes of a piece, an extent and the number of a
piece in it, or ``(handle, piece)`` when the value was not kept in pieces. Of what is on disk it gets
``(name, span, checksum)`` of a file: see ``store.spill.read_span``.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from nbscale.engines.base import Take
from nbscale.engines.news import Wire
from nbscale.engines.running import Running
from nbscale.engines.task import index_of, is_straight, reads_of, sizes_of
from nbscale.graph.stage import Edge, Stage
from nbscale.store.codec import decode, decode_pieces
from nbscale.store.segments import Extent, Segments
from nbscale.store.spill import SpillFile

__all__ = ["Handle", "OnDisk", "Remote"]

Handle: TypeAlias = Any
"""See above."""


_MUCH = 4
"""That part of the limit may be values of one stage before it must be thought of the disk."""


class OnDisk(NamedTuple):
    """A value that was spilled: its file, and whether it holds pieces."""

    file: SpillFile
    pieces: bool


class Remote:
    """A stage of a run, made ready for its tasks to be run elsewhere.

    Attributes
    ----------
    run, stage, take, wire, sizes, dead
        As of ``Work``.
    first
        The number of its first task, in what is told of as one run.
    key
        Names the stage to workers.
    table
        Handles by task.
    index
        The original coordinates of a task.
    in_pieces
        Its values are read in pieces: "" for not; "kept" where those that are lists are kept so that
        each reader finds its piece; "cut" where all are, which costs more and lets every reader
        find its piece on disk, too.
    expected
        Bytes of the next value, as far as that is known.
    is_measured
        Some value of it is known.
    is_lasting
        Its values stay for longer than others.
    known
        Workers that were told of it.
    feeds
        Edge by edge, what finds the references of a task.
    blob
        Its program and so on, as workers get it: bytes, or an extent.
    """

    def __init__(
        self,
        run: Running,
        key: int,
        stage: Stage,
        segments: Segments,
        returned: Callable[[Extent], object],
        take: Take | None,
        wire: Wire | None,
        forget: Callable[[OnDisk], None],
    ) -> None:
        self.run, self.key, self.stage, self.take, self.wire = run, key, stage, take, wire
        self.number, self.first = run.info.run, run.info.first
        self.table: dict[int, Handle] = {}
        self.index = index_of(stage)
        self.taken = bytearray(stage.n_tasks) if take is not None else b""
        self.dead = False
        self.in_pieces = ""
        self.known: set[int] = set()
        self.expected: float | None = stage.nbytes
        self.blob: Any = None
        self.sizes = sizes_of(stage)
        self.is_lasting = stage.keep or stage.result is not None
        self._segments = segments
        self._returned = returned
        self._forget = forget
        self.is_measured = False
        self.feeds: list[Callable[[int], Any]] = []
        for edge in stage.edges:
            producer = self if edge.producer == stage.number else run.works[edge.producer]
            if edge.pieces and not producer.in_pieces:
                producer.in_pieces = "kept"
            self.feeds.append(_feed(stage, edge, producer))

    def expect(self, nbytes: int) -> None:
        """Learn from a value what the next ones will need: the most of late, slowly forgotten."""
        expected = self.expected if self.is_measured else None
        self.is_measured = True
        self.expected = max(nbytes, 0.9 * (expected or 0) + 0.1 * nbytes)

    def settle_pieces(self, limit: int) -> None:
        """Before its first task: have pieces cut if its values may have to leave memory."""
        if self.in_pieces and not self.known:
            guesses = [self.run.works[edge.producer].expected for edge in self.stage.edges]
            guess = self.stage.nbytes or max((g for g in guesses if g is not None), default=None)
            if guess is None or guess * self.stage.n_tasks * _MUCH > limit:
                self.in_pieces = "cut"

    def inputs(self, task: int) -> list[Any]:
        """References to the inputs of a task, edge by edge."""
        return [feed(task) for feed in self.feeds]

    def value(self, task: int) -> Any:
        """The value of a task that is done, in this process and to be kept."""
        handle = self.table[task]
        if type(handle) is bytes:
            return pickle.loads(handle)
        if type(handle) is list:
            return [pickle.loads(piece) for piece in handle]
        data = self._segments.lend(Extent(*handle[:4]), self._returned)
        return decode(data) if len(handle) == 4 else decode_pieces(data)

    def give(self, task: int) -> None:
        """Give a value to whoever takes this stage's, once."""
        if self.take is not None and not self.taken[task]:
            self.taken[task] = 1  # type: ignore[index]
            self.take(self.index(task), self.value(task))

    def drop(self, task: int) -> None:
        """Forget the value of a task."""
        handle = self.table.pop(task, None)
        if type(handle) is tuple:
            self._segments.free(Extent(*handle[:4]))
        elif type(handle) is OnDisk:
            self._forget(handle)

    def close(self) -> None:
        """Forget everything."""
        for task in list(self.table):
            self.drop(task)
        if type(self.blob) is tuple:
            self._segments.free(Extent(*self.blob))
        self.blob = None


def _feed(stage: Stage, edge: Edge, producer: Remote) -> Callable[[int], Any]:
    """How the references of one edge are found."""
    reads = reads_of(stage, edge, producer.stage)
    table = producer.table
    if edge.pieces:
        piece = stage.flat_original
        if edge.delivery == "one":
            return lambda task: _piece(table[next(iter(reads(task)))], piece(task))
        return lambda task: [_piece(table[j], n) for n in (piece(task),) for j in reads(task)]
    value = table.__getitem__
    if edge.delivery != "one":
        return lambda task: list(map(value, reads(task)))
    if is_straight(stage, edge, producer.stage):
        return value
    return lambda task: value(next(iter(reads(task))))


def _piece(handle: Handle, piece: int) -> Any:
    if type(handle) is list:
        return handle[piece]
    if type(handle) is tuple and len(handle) == 5:
        return (*handle[:4], piece)
    if type(handle) is OnDisk:
        if handle.pieces:
            return (handle.file.name, *handle.file.span(piece + 1))
        return ((handle.file.name, *handle.file.span(0)), piece)
    return (handle, piece)
