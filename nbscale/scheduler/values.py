"""How values come and go: counted off for their readers, let go, given up, made again.

The lowest layer of the machine: it holds the machine's state, and knows nothing of signals. The
layers above are ``runs``, ``giving`` and ``machine``; each calls only what lies below it.
"""

from __future__ import annotations

from collections import deque
from typing import Self

from nbscale.scheduler.growth import become_ready
from nbscale.scheduler.ledger import Ledger
from nbscale.scheduler.protocol import Action, Drop, Load, TaskId
from nbscale.scheduler.records import Fetch, RunRecord, StageRecord, WorkerRecord
from nbscale.scheduler.states import (
    FETCHING,
    GONE,
    HELD,
    LOADING,
    LOST,
    PARKED,
    READY,
    RUNNING,
    SPILLED,
    WAITING,
    exists,
    move,
)

__all__ = ["Values"]

_named = tuple.__new__  # half the time of the constructor of a named tuple


class Values:
    """The machine's state, and what happens to it when a value comes or goes.

    Attributes
    ----------
    ledger
        Memory taken and promised.
    can_spill, can_recompute
        What may be done with values that do not fit.
    runs, turn
        Runs by number, and those that have not begun to end, the next to be served first.
    workers, free
        Workers by number, and those that can take a task, free for longest first. Who is asked to
        stop one takes none.
    fetching, fetched
        Tasks whose inputs are being loaded, and those of them whose inputs are there.
    awaited
        For each value on its way into memory: who waits for it.
    blocked, overtaken
        The head of the queue that did not fit, and how often others were let pass that did not
        free memory.
    spilling
        Bytes on their way to the disk.
    disk_full
        The last value that was to be written to disk was not.
    evicted
        Some value has left memory that is still needed.
    anew
        Lost values that are being made again.
    """

    def __init__(
        self,
        limit: int,
        headroom: int | None = None,
        *,
        can_spill: bool = False,
        can_recompute: bool = True,
        queue: int = 1,
    ) -> None:
        self.ledger = Ledger(limit, headroom)
        self.can_spill = can_spill
        self.can_recompute = can_recompute
        self.runs: dict[int, RunRecord] = {}
        self.turn: deque[int] = deque()
        self.workers: dict[int, WorkerRecord] = {}
        self.free: dict[int, WorkerRecord] = {}
        self.fetching: dict[TaskId, Fetch] = {}
        self.fetched: deque[TaskId] = deque()
        self.awaited: dict[TaskId, list[TaskId]] = {}
        self.blocked: TaskId | None = None
        self.overtaken = 0
        self.spilling = 0
        self.disk_full = False
        self.evicted = False
        self.anew: dict[TaskId, None] = {}
        self._patience = 0
        self._queue = max(1, queue)
        self._actions: list[Action] = []

    def clone(self) -> Self:
        """A machine in the same state that goes its own way. Costs a copy of every column."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.ledger = self.ledger.clone()
        copy.runs = {n: run.clone() for n, run in self.runs.items()}
        copy.turn = self.turn.copy()
        copy.workers = {n: worker.clone() for n, worker in self.workers.items()}
        copy.free = {n: copy.workers[n] for n in self.free}
        copy.fetching = {n: Fetch(f.reserved, f.missing) for n, f in self.fetching.items()}
        copy.fetched = self.fetched.copy()
        copy.anew = self.anew.copy()
        copy.awaited = {value: readers[:] for value, readers in self.awaited.items()}
        copy._actions = []
        return copy

    # Values that come and go ----------------------------------------------------------------

    def _appeared(self, run: RunRecord, record: StageRecord, task: int) -> None:
        """A value exists that did not: count it off for whoever reads it."""
        for w, reader in record.outs_of(task):
            state, pending = reader.state, reader.pending
            for i in (task,) if w.same else w.readers(task):
                s = state[i]
                if s == WAITING:
                    left = pending[i] - 1
                    pending[i] = left
                    if not left and not reader.closed:
                        move(reader, i, READY)
                        run.push(reader, i)
                elif s == PARKED:
                    pending[i] -= 1
        for w, reader in record.common_outs:
            if w.covers(task):
                reader.gates[w.slot] -= 1
                if not reader.gates[w.slot]:
                    reader.closed -= 1
                    if not reader.closed:
                        become_ready(run, reader)

    def _vanished(self, record: StageRecord, task: int) -> None:
        """A value that existed does not any more: whoever reads it must wait for it again."""
        for w, reader in record.outs_of(task):
            for i in w.readers(task):
                state = reader.state[i]
                if state in (WAITING, READY, PARKED):
                    reader.pending[i] += 1
                    if state == READY:
                        move(reader, i, WAITING)
        self._close_gates(record, task)

    def _close_gates(self, record: StageRecord, task: int) -> None:
        for w, reader in record.common_outs:
            if not w.covers(task):
                continue
            reader.gates[w.slot] += 1
            if reader.gates[w.slot] > 1:
                continue
            reader.closed += 1
            if reader.closed == 1 and reader.undone:
                at = reader.state.find(READY)
                while at >= 0:
                    move(reader, at, WAITING)
                    at = reader.state.find(READY, at + 1)

    def _release_inputs(self, run: RunRecord, record: StageRecord, task: int) -> None:
        """A task that is done reads its inputs no more."""
        for w, producer in record.ins:
            uses = producer.uses
            simple = producer.simple
            for j in (task,) if w.same else w.reads(task):
                left = uses[j] - 1
                uses[j] = left
                if not left and (simple or not producer.is_needed(j)):
                    self._let_go(run, producer, j)
        if record.common_ins and not record.undone:
            for w, producer in record.common_ins:
                for j in w.numbers(task, producer.n):
                    if not producer.is_needed(j):
                        self._let_go(run, producer, j)

    def _let_go(self, run: RunRecord, record: StageRecord, task: int) -> None:
        """Nobody needs a value: drop it, or do not make it. What is in other hands comes back."""
        state = record.state[task]
        if state == HELD or state in (SPILLED, LOST):
            nbytes = record.size.pop(task)
            if nbytes:
                record.nbytes -= nbytes
                if state == HELD:
                    self.ledger.held -= nbytes
            if state != LOST:
                self._actions.append(Drop(_named(TaskId, (run.number, record.number, task))))
            move(record, task, GONE)
            if record.common_outs:
                self._close_gates(record, task)
        elif state in (WAITING, READY, FETCHING, PARKED):
            self._give_up(run, record, task)

    def _give_up(self, run: RunRecord, record: StageRecord, task: int) -> None:
        """Give up tasks nobody needs, and what was to be made for them alone. Never recurses."""
        stack = [(record, task)]
        while stack:
            record, task = stack.pop()
            state = record.state[task]
            if exists(state):
                self._let_go(run, record, task)
            elif state != RUNNING and state < GONE:
                if state == FETCHING:
                    self._unfetch(run, record, task)
                if self.anew:
                    self.anew.pop(record.name(run.number, task), None)
                move(record, task, GONE)
                stack += self._inputs_left(record, task)

    def _inputs_left(self, record: StageRecord, task: int) -> list[tuple[StageRecord, int]]:
        """Take a task off the uses of its inputs; return those that nobody needs now."""
        found = []
        for w, producer in record.ins:
            for j in w.reads(task):
                producer.uses[j] -= 1
                if not producer.uses[j] and not producer.is_needed(j):
                    found.append((producer, j))
        if not record.undone:
            for w, producer in record.common_ins:
                numbers = w.numbers(task, producer.n)
                found += [(producer, j) for j in numbers if not producer.is_needed(j)]
        return found

    def _make_again(self, run: RunRecord, record: StageRecord, task: int) -> None:
        """A value that is lost or gone is needed: run its task again, and those below it."""
        stack = [(record, task)]
        while stack:
            record, task = stack.pop()
            state = record.state[task]
            if state == LOST:
                record.nbytes -= record.size.pop(task)
                self._vanished(record, task)
            elif state != GONE:
                continue
            move(record, task, WAITING)
            pending = 0
            for w, producer in record.ins:
                for j in w.reads(task):
                    producer.uses[j] += 1
                    if not exists(producer.state[j]):
                        pending += 1
                        stack.append((producer, j))
            for w, producer in record.common_ins:
                if record.gates[w.slot]:
                    stack += [(producer, j) for j in w.numbers(task, producer.n)]
            record.pending[task] = pending
            self._maybe_ready(run, record, task)

    def _unrepeatable(
        self, run: RunRecord, record: StageRecord, task: int
    ) -> tuple[StageRecord, int] | None:
        """What stands in the way of making a value again: a task that is run only once."""
        stack, seen = [(record, task)] if run.once else [], set()
        while stack:
            record, task = stack.pop()
            if (record.number, task) in seen or record.state[task] not in (LOST, GONE):
                continue
            seen.add((record.number, task))
            if task in record.once:
                return record, task
            for w, producer in record.ins + record.common_ins:
                stack += [(producer, j) for j in w.numbers(task, producer.n)]
        return None

    def _maybe_ready(self, run: RunRecord, record: StageRecord, task: int) -> None:
        if not record.pending[task] and not record.closed:
            move(record, task, READY)
            run.push(record, task)

    # Values that are brought ----------------------------------------------------------------

    def _load(self, run: RunRecord, record: StageRecord, task: int) -> None:
        move(record, task, LOADING)
        self.ledger.held += record.size[task]
        run.outside += 1
        self._actions.append(Load(record.name(run.number, task)))

    def _unfetch(self, run: RunRecord, record: StageRecord, task: int) -> None:
        """Bring a task's inputs no more: it is ready as before."""
        name = record.name(run.number, task)
        self.ledger.promised -= self.fetching.pop(name).reserved
        if name in self.fetched:
            self.fetched.remove(name)
        for value, readers in list(self.awaited.items()):
            if name in readers:
                readers.remove(name)
                if not readers:
                    del self.awaited[value]
        move(record, task, READY)
