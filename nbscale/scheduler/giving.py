"""How tasks are given out: the head of the queue first, inside the memory there is.

Progress is guaranteed by four rules. P1: a task gets its inputs and its memory before it starts and
never waits for memory later. P2: what no running task reads can leave memory: spilled, or dropped
and made again, at most twice. P3: with nothing running, what must leave leaves and the head runs
even if its prediction does not fit; only if what it reads at once and what it is known to make
exceed the limit does the run fail, before the task starts, or if values that the disk did not take
leave no room for that. P4: the head is overtaken only by tasks
that free more than they make, or eight times.
"""

from __future__ import annotations

import contextlib

from nbscale.scheduler import policy
from nbscale.scheduler.ledger import inputs_of
from nbscale.scheduler.protocol import Drop, Run, Spill, TaskId
from nbscale.scheduler.records import Fetch, RunRecord, StageRecord
from nbscale.scheduler.runs import Runs
from nbscale.scheduler.states import (
    FETCHING,
    LOST,
    READY,
    RUNNING,
    SPILLED,
    SPILLING,
    move,
)
from nbscale.units import format_bytes

__all__ = ["Giving"]

Absent = list[tuple[StageRecord, int]]
"""Values that exist but are not in memory."""

_MANY = 1024

_named = tuple.__new__  # half the time of the constructor of a named tuple


class Giving(Runs):
    """Which task runs next, and what leaves memory for it."""

    def _dispatch(self) -> None:
        """Give out tasks as long as there are workers free and tasks that may start."""
        free = self.free
        while free:
            if self.fetched:
                name = self.fetched.popleft()
                run = self.runs[name.run]
                reserved = self.fetching.pop(name).reserved
                self._start(run, run.stages[name.stage], name, reserved)
            elif not (self._give_many() or self._give_out()):
                return

    def _give_many(self) -> bool:
        """Start tasks that read nothing one after the other; False if that needs a closer look.

        Does for many what ``_give_out`` does for one, where nothing else can come between: one
        run, one stage with tasks ready, nothing that waits for memory.
        """
        if self.fetching or self.blocked is not None or len(self.turn) != 1:
            return False
        run = self.runs[self.turn[0]]
        record = run.first_list()
        if record is None or record.reads or run.alone:
            return False
        free, actions = self.free, self._actions
        ledger = self.ledger
        peak = ledger.peak(record, 0)
        number, stage = run.number, record.number
        count = 0
        while free and ledger.allows(record, peak):
            head = run.take_first()
            if head is None:
                break
            task = head[1]
            name: TaskId = _named(TaskId, (number, stage, task))
            at, worker = next(iter(free.items()))
            move(record, task, RUNNING)
            ledger.promised += peak
            queue = worker.queue
            queue[name] = peak
            count += 1
            del free[at]
            if len(queue) < worker.most:
                free[at] = worker
            actions.append(Run(at, name))
        run.outside += count
        return count > 0

    def _give_out(self) -> bool:
        """Start one task, or bring its inputs; False if nothing can be done now."""
        if self.fetching and len(self.fetching) >= self._free_slots():
            return False
        if self.blocked is not None:
            return self._unblock(self.blocked)
        turn = self.turn
        for _ in range(len(turn)):
            run = self.runs[turn[0]]
            head = run.take_first()
            if head is None:
                turn.rotate(-1)
                continue
            record, task = head
            absent = self._absent(record, task) if self.evicted else []
            if absent and self._remake(run, absent):
                return True
            inputs = inputs_of(record, task) if record.reads else 0
            peak = self._peak(run, record, task, inputs)
            if absent:
                fits = self._fits(record, peak, absent) and not _any_lost(absent)
            else:
                fits = self.ledger.allows(record, peak)
            if fits:
                self._go(run, record, task, peak, absent)
                turn.rotate(-1)
                return True
            run.push(record, task)
            self.blocked, self.overtaken = record.name(run.number, task), 0
            return self._unblock(self.blocked)
        return False

    def _peak(self, run: RunRecord, record: StageRecord, task: int, inputs: int) -> int:
        """What a task is promised: more than there is if it ran out of memory before, so P3 runs it."""
        peak = self.ledger.peak(record, inputs)
        if run.alone and (record.number, task) in run.alone:
            return max(peak, self.ledger.limit + 1)
        return peak

    def _absent(self, record: StageRecord, task: int) -> Absent:
        for _, producer in record.ins:
            if producer.absent:
                return record.absent_inputs(task)
        for _, producer in record.common_ins:
            if producer.absent:
                return record.absent_inputs(task)
        return []

    def _free_slots(self) -> int:
        return sum(w.most - len(w.queue) for w in self.free.values())

    def _remake(self, run: RunRecord, absent: Absent, *, alone: bool = False) -> bool:
        """Begin to make the lost among the inputs again; their reader waits meanwhile.

        Not for more readers than there are workers: what is made too early must leave again.
        """
        lost = [(producer, j) for producer, j in absent if producer.state[j] == LOST]
        if not lost or (len(self.anew) >= len(self.workers) and not alone):
            return False
        for producer, j in lost:
            self.anew[producer.name(run.number, j)] = None
            self._again(run, producer, j)
            if run.outcome:
                break
        return True

    def _fits(self, record: StageRecord, peak: int, absent: Absent) -> bool:
        if absent and peak + _to_load(absent) > self.ledger.room:
            return False
        return self.ledger.allows(record, peak)

    def _go(
        self, run: RunRecord, record: StageRecord, task: int, peak: int, absent: Absent
    ) -> None:
        """Promise a task its memory and start it, or bring its inputs first."""
        self.ledger.promised += peak
        name: TaskId = _named(TaskId, (run.number, record.number, task))
        if not absent:
            self._start(run, record, name, peak)
            return
        move(record, task, FETCHING)
        self.fetching[name] = Fetch(peak, len(absent))
        for producer, j in absent:
            self.awaited.setdefault(producer.name(run.number, j), []).append(name)
            if producer.state[j] == SPILLED:
                self._load(run, producer, j)

    def _start(self, run: RunRecord, record: StageRecord, name: TaskId, promised: int) -> None:
        """Give a task to the worker that has been free for longest."""
        free = self.free
        number, worker = next(iter(free.items()))
        move(record, name.task, RUNNING)
        queue = worker.queue
        queue[name] = promised
        run.outside += 1
        del free[number]
        if len(queue) < worker.most:
            free[number] = worker
        self._actions.append(Run(number, name))

    # A head that does not fit ---------------------------------------------------------------

    def _unblock(self, name: TaskId) -> bool:
        """Try the head that did not fit; make room for it; else let others pass."""
        run = self.runs[name.run]
        record, task = run.stages[name.stage], name.task
        if record.state[task] != READY:
            self.blocked = None
            return True
        head = run.take_first()
        if head is not None:
            run.push(*head)
            if head[0].entry(head[1]) < record.entry(task):
                # What became ready meanwhile may stand before it, and is the head then.
                record, task = head
                name = record.name(run.number, task)
                self.blocked, self.overtaken = name, 0
        absent = self._absent(record, task)
        alone = not self.fetching and not any(r.outside for r in self.runs.values())
        if absent and self._remake(run, absent, alone=alone):
            return True
        if _any_lost(absent):
            return self._let_pass(name)
        inputs = inputs_of(record, task)
        peak = self._peak(run, record, task, inputs)
        if not self._fits(record, peak, absent):
            self._make_room(run, record, task, peak + _to_load(absent), alone=alone)
        if not self._fits(record, peak, absent):
            if not alone:
                return self._let_pass(name)
            if self.spilling:
                return False
            known = record.out if record.known else 0
            if inputs + known > self.ledger.limit:
                error = self._too_large(record, task, inputs, known)
                self._begin_end(run, "failed", error, name)
                return True
            over = self.ledger.held + _to_load(absent) + known - self.ledger.limit
            if self.disk_full and over > 0:
                self._begin_end(run, "failed", self._no_room(over))
                return True
        self.blocked = None
        self._go(run, record, task, peak, absent)
        return True

    def _too_large(self, record: StageRecord, task: int, inputs: int, known: int) -> str:
        output = f" and makes {format_bytes(known)}" if known else ""
        return (
            f"TaskMemoryError: {record.stage.name!r}, task {task + 1} of {record.n}, reads "
            f"{format_bytes(inputs)}{output} at once, but the memory limit is "
            f"{format_bytes(self.ledger.limit)}; use smaller partitions or chunks, or raise "
            "memory_limit"
        )

    def _no_room(self, over: int) -> str:
        return (
            f"SpillFull: values of {format_bytes(self.ledger.held)} cannot be written to disk, which "
            f"is {format_bytes(over)} more than fits in the memory limit of "
            f"{format_bytes(self.ledger.limit)}"
        )

    def _let_pass(self, blocked: TaskId) -> bool:
        """Start a task behind the head of the queue, if the head does not lose by it."""
        for number in list(self.turn):
            run = self.runs[number]
            at = (blocked.stage, blocked.task) if number == blocked.run else (-1, -1)
            with contextlib.closing(policy.candidates(run, at)) as queue:
                for record, task in queue:
                    if self._absent(record, task):
                        continue
                    inputs = inputs_of(record, task)
                    peak = self._peak(run, record, task, inputs)
                    if not self.ledger.allows(record, peak):
                        continue
                    output = self.ledger.output(record, inputs)
                    frees = policy.frees_more_than_it_makes(record, task, output)
                    if not frees and self.overtaken >= policy.MOST_OVERTAKEN:
                        continue
                    self.overtaken += not frees
                    self._go(run, record, task, peak, [])
                    return True
        return False

    # Making room ----------------------------------------------------------------------------

    def _make_room(
        self, run: RunRecord, record: StageRecord, task: int, wanted: int, *, alone: bool
    ) -> None:
        """Spill or drop values that are needed after a task, or any if nothing else runs."""
        missing = wanted - self.ledger.room - self.spilling
        if missing <= 0 or not (self.can_spill or self.can_recompute):
            return
        if self._patience and not alone:
            self._patience -= 1
            return
        pins = policy.Pins()
        given = [t for w in self.workers.values() for t in w.queue]
        for name in [*given, *self.fetching]:
            pins.add_inputs(name.run, self.runs[name.run].stages[name.stage], name.task)
        pins.add_inputs(run.number, record, task)
        victims = policy.victims(self.runs, pins, spill=self.can_spill)
        if len(victims) > _MANY:  # looking at so many each time would cost more than it gains
            self._patience = len(victims) >> 6
            missing = max(missing, self.ledger.held >> 6)
        # Room for less than a hundredth of the budget is not worth what it costs to make.
        missing = max(missing, self.ledger.budget >> 7)
        least = float("-inf") if alone else record.position[task]
        for _, number, stage, j in policy.worth_it(self.runs, victims, missing, least, alone=alone):
            if missing > 0:
                missing -= self._evict(self.runs[number], self.runs[number].stages[stage], j)

    def _evict(self, run: RunRecord, record: StageRecord, task: int) -> int:
        """Let a value leave memory; return its bytes, or 0 if it cannot."""
        name = record.name(run.number, task)
        nbytes = record.size[task]
        self.evicted = True
        if self.can_spill and task not in record.stuck:
            move(record, task, SPILLING)
            run.outside += 1
            self.spilling += nbytes
            self._actions.append(Spill(name))
            return nbytes
        if not (self.can_recompute and policy.may_be_dropped(record, task)):
            return 0
        if not policy.can_be_made_again(record, task, self.ledger):
            return 0
        record.dropped[task] = record.dropped.get(task, 0) + 1
        self.ledger.held -= nbytes
        move(record, task, LOST)
        self._actions.append(Drop(name))
        return nbytes


def _any_lost(absent: Absent) -> bool:
    return any(producer.state[j] == LOST for producer, j in absent)


def _to_load(absent: Absent) -> int:
    """Bytes on disk among values that are not in memory."""
    return sum(producer.size[j] for producer, j in absent if producer.state[j] == SPILLED)
